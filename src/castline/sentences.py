"""Where sentences end: one rule for segments and for subtitle cues.

The rule is that of the library sentencex (Wikimedia, MIT, https://github.com/wikimedia/sentencex), which knows
the abbreviations of some 300 languages. The corrections here are for mistakes found with tests/test_sentences.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

import sentencex

#: Characters that may stand between a sentence's last word and the white space after it.
CLOSING = "\"'”’“»›)]}」』）】》"
_OPENING = "\"'“‘„‚«‹»›([{"
_FULL_STOPS = tuple(".!?…。！？")

# The library treats text in quotes or brackets as one sentence, even a quotation of a minute. Without the marks it
# splits inside. Japanese and Chinese marks stay: 「本当？」と is recognised by them.
_MARKS = _OPENING + "”’“»›)]}"
# A sentence continues with a small letter after a closing mark ("Really?" he asked), and after an abbreviation
# with a full stop for each of its words (d.w.z., t.ex., т.е.).
_LETTERS = re.compile(r"(?:[^\W\d_]{1,3}\.){2,}")
# In these languages a number with a full stop is an ordinal (19. Jahrhundert, 3. října); the library knows this for
# German dates only. A sentence that ends in such a number is joined with the next, the smaller mistake.
_ORDINAL = re.compile(r"\d{1,2}\.")
_ORDINALS = frozenset("bs cs da de et eu fi fo hr hu is lb lv nn no pl sk sl sr tr".split())
# Titles before a name that the library lacks.
_TITLES = {
    "fr": frozenset({"m.", "mm.", "mme.", "mlle.", "mgr.", "st.", "ste."}),
    "hi": frozenset({"डॉ.", "श्री.", "प्रो."}),
    "nl": frozenset({"mevr."}),
    "pt": frozenset({"av.", "exa."}),
}
# Abbreviations that are mostly ordinary words; as abbreviations they are followed by a number.
_WORDS = {"en": frozenset({"no.", "may."}), "es": frozenset({"no."}), "it": frozenset({"no."})}
# Khmer's full stop, which the library does not know.
_OTHER_STOPS = ("។",)


def ends(words: Sequence[str], language: str | None) -> list[bool]:
    """Whether a sentence ends after each word; after the last one it always does.

    Args:
        words: as Whisper writes them, with punctuation attached and the preceding white space.
        language: a BCP 47 code or Whisper's; None or an unknown one is treated as English, for the sake of its
            abbreviations.
    """
    code = re.split("[-_]", language or "en")[0].lower()
    plain = [_plain(word, code) for word in words]
    text = "".join(plain)
    found = {len(text[: each["end_index"]].rstrip()) for each in sentencex.get_sentence_boundaries(code, text)}
    places = list(accumulate(len(word) for word in plain))
    flags = [place in found for place in places]
    for i in range(len(words) - 1):
        flags[i] = _corrected(flags[i], words[i].strip(), words[i + 1].strip(), code)
    for i in range(len(words) - 1):
        if flags[i] and not words[i + 1].strip(CLOSING + "".join(_FULL_STOPS) + " "):
            flags[i], flags[i + 1] = False, True  # a closing mark by itself belongs to what it closes
    if flags:
        flags[-1] = True
    return flags


def _plain(word: str, language: str) -> str:
    """The form of a word that is passed to the library."""
    body = " ".join(word.encode("utf-8", "replace").decode().split())
    space = " " if word[:1].isspace() else ""
    if language not in ("ja", "zh", "yue"):
        # Three full stops can end a sentence, one ellipsis cannot; the next word's first letter decides.
        body = body.lstrip(_OPENING).rstrip(_MARKS).replace("…", "...")
    return space + body


def _corrected(ends_here: bool, word: str, following: str, language: str) -> bool:
    bare, next_ = word.strip(_MARKS), following.lstrip(_OPENING)
    low = bare.lower()
    if bare.endswith(_OTHER_STOPS):
        return True
    if not ends_here:
        return low in _WORDS.get(language, ()) and not next_[:1].isdigit()
    if next_[:1].islower() and (_LETTERS.fullmatch(bare) or word[-1:] in _MARKS):
        return False
    if language in _ORDINALS and _ORDINAL.fullmatch(bare):
        return False
    return low not in _TITLES.get(language, ())
