"""Two ways to make texts comparable before their words are counted.

``plain`` only takes off what nobody says: case and punctuation. ``normalise`` is what published word error rates of
Whisper and of most engines since are counted with: it also takes off what is written in two ways and said in one
("Mr. Quilter", "mister quilter"; "25", "twenty-five"; "colour", "color").

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, appendix C; as the package
whisper-normalizer (https://github.com/kurianbenoy/whisper_normalizer, MIT).

Both sides of a comparison must go through the same one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from castline.engines.base import language_code

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "＇": "'"})
_HAS_SYLLABLE = "LMN"  # Unicode's letters, marks (vowels of many scripts) and numbers


def plain(text: str) -> str:
    """Lower case without punctuation; words are separated by one space.

    Apostrophes vanish ("don't" is one word, ``dont``), anything else that is no letter, mark or number
    separates ("ill-disposed" is two words). Works for every language that writes spaces.
    """
    text = unicodedata.normalize("NFC", text.lower().translate(_APOSTROPHES)).replace("'", "")
    return " ".join("".join(char if unicodedata.category(char)[0] in _HAS_SYLLABLE else " " for char in text).split())


def normalise(text: str, language: str | None = None) -> str:
    """Whisper's normaliser for English; for any other language the basic one, which knows no words.

    Args:
        language: BCP-47 tag of what is said; None is English.

    Raises:
        ImportError: whisper-normalizer is not installed.
    """
    english = language_code(language) in (None, "en")
    return " ".join(_normaliser(english)(text.translate(_APOSTROPHES)).split())


@lru_cache(maxsize=2)
def _normaliser(english: bool) -> Callable[[str], str]:
    # Late: it takes 0.08 s, and whoever only counts raw errors needs none.
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    found: Callable[[str], str] = EnglishTextNormalizer() if english else BasicTextNormalizer()
    return found
