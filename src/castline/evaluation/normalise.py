"""Two ways to make texts comparable before their words are counted.

``plain`` only removes what is not spoken: case and punctuation. ``normalise`` is used for published word error rates of
Whisper and of most engines since: it also unifies spellings of the same words ("Mr. Quilter", "mister quilter"; "25",
"twenty-five"; "colour", "color").

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

    Apostrophes vanish ("don't" is one word, ``dont``), anything else that is not a letter, mark or number separates
    words ("ill-disposed" is two). Works for every language that writes spaces.
    """
    text = unicodedata.normalize("NFC", text.lower().translate(_APOSTROPHES)).replace("'", "")
    return " ".join("".join(char if unicodedata.category(char)[0] in _HAS_SYLLABLE else " " for char in text).split())


def normalise(text: str, language: str | None = None) -> str:
    """Whisper's normaliser for English; for any other language the basic one, which has no vocabulary.

    Args:
        language: BCP-47 tag of the speech; None means English.

    Raises:
        ImportError: whisper-normalizer is not installed.
    """
    english = language_code(language) in (None, "en")
    return " ".join(_normaliser(english)(text.translate(_APOSTROPHES)).split())


@lru_cache(maxsize=2)
def _normaliser(english: bool) -> Callable[[str], str]:
    # Imported late: it takes 0.08 s, and raw errors do not need it.
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    found: Callable[[str], str] = EnglishTextNormalizer() if english else BasicTextNormalizer()
    return found
