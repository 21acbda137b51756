"""Two ways to make texts comparable before their words are counted.

``plain`` only takes off what nobody says: case and punctuation. ``normalise`` also takes off what is
written in two ways and said in one ("Mr. Quilter", "mister quilter"; "25", "twenty-five"), in the
spirit of the English normaliser of Whisper (Radford et al., "Robust Speech Recognition via Large-Scale
Weak Supervision", 2022, appendix C). The rules here are fewer, so its error rates are not digit for
digit those of Whisper's own: British and American spelling, ordinals and spelt-out times stay as they are.

Both sides of a comparison must go through the same one.
"""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "＇": "'"})
_HAS_SYLLABLE = "LMN"  # Unicode's letters, marks (vowels of many scripts) and numbers

_BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_FILLERS = frozenset("ah eh er erm hm hmm mhm mm mmm uh uhm um umm".split())

#: What an apostrophe (or a slack tongue) hides; in this order.
_CONTRACTIONS = tuple(
    (re.compile(rf"{short}\b"), long)
    for short, long in (
        (r"\bwon't", "will not"),
        (r"\bshan't", "shall not"),
        (r"\b(?:can't|cannot)", "can not"),
        (r"\blet's", "let us"),
        (r"\bgonna", "going to"),
        (r"\bwanna", "want to"),
        (r"\bgotta", "got to"),
        (r"n't", " not"),
        # Elsewhere 's is nearly always a possessive, which stays part of its word.
        (r"\b(it|he|she|that|there|here|what|where|who|how)'s(?= (?:been|got|gone|done)\b)", r"\1 has"),
        (r"\b(it|he|she|that|there|here|what|where|who|how)'s", r"\1 is"),
        (r"'d(?= (?:been|gone|done)\b)", " had"),
        (r"'d", " would"),
        (r"'re", " are"),
        (r"'ve", " have"),
        (r"'ll", " will"),
        (r"'m", " am"),
    )
)
_SYMBOLS = (
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"(?<=\d)\.(?=\d)"), " point "),
    (re.compile(r"\$(\d+(?: point \d+)?)"), r"\1 dollars "),
    (re.compile(r"%|\bper cent\b"), " percent "),
    (re.compile(r"&"), " and "),
)
_SPELLINGS = {
    "dr": "doctor",
    "jr": "junior",
    "mr": "mister",
    "mrs": "missus",
    "ok": "okay",
    "prof": "professor",
    "sr": "senior",
}

_ONES = {word: number for number, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen".split()
)}  # fmt: skip
_TENS = {word: 10 * number for number, word in enumerate(
    "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
)}  # fmt: skip
_SCALES = {"thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}


def plain(text: str) -> str:
    """Lower case without punctuation; words are separated by one space.

    Apostrophes vanish ("don't" is one word, ``dont``), anything else that is no letter, mark or number
    separates ("ill-disposed" is two words). Works for every language that writes spaces.
    """
    text = unicodedata.normalize("NFC", text.lower().translate(_APOSTROPHES)).replace("'", "")
    return " ".join("".join(char if unicodedata.category(char)[0] in _HAS_SYLLABLE else " " for char in text).split())


def normalise(text: str) -> str:
    """English as it is said: ``plain``, and one spelling for what has several.

    - Remarks in brackets ("[applause]", "(inaudible)") and fillers (uh, um, er, hmm …) go.
    - Contractions are expanded (don't, it's, they're, I'd, gonna …); possessives stay one word.
    - Titles are written out: mister, missus, doctor, professor, junior, senior. ``ok`` is ``okay``.
    - Numbers become digits: cardinals in words below 10^12, "1,000" is 1000, "3.5" is ``3 point 5``, and
      two numbers from 10 to 99 in a row are a year ("eighteen thirteen" is 1813).
    - ``&`` is ``and``, ``%`` and "per cent" are ``percent``, ``$5`` is ``5 dollars``; Latin accents go.
    """
    text = unicodedata.normalize("NFKD", text.lower().translate(_APOSTROPHES))
    text = _BRACKETED.sub(" ", unicodedata.normalize("NFC", _LATIN_ACCENTS.sub("", text)))
    for pattern, replacement in (*_CONTRACTIONS, *_SYMBOLS):
        text = pattern.sub(replacement, text)
    words = [_SPELLINGS.get(word, word) for word in plain(text).split() if word not in _FILLERS]
    return " ".join(_digits(words))


def _digits(words: list[str]) -> list[str]:
    """Cardinals in words as digits."""
    found: list[str] = []
    words = [*words, "", ""]  # so that looking ahead needs no care
    at = 0
    while at < len(words) - 2:
        value, after = _cardinal(words, at)
        if after == at:
            found.append(words[at])
            at += 1
            continue
        if after - at <= 2 and 10 <= value <= 99:
            second, end = _below_hundred(words, after)
            if 10 <= second <= 99 and words[end] not in ("hundred", *_SCALES):
                value, after = 100 * value + second, end
        found.append(str(value))
        at = after
    return found


def _cardinal(words: list[str], at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where it ends; the same place when there is none."""
    total, limit, end = 0, 10**12, at
    while True:
        start = end + 1 if total and words[end] == "and" else end
        value, after = _below_thousand(words, start)
        scale = _SCALES.get(words[after], 1)
        scaled = value > 0 and words[after] in _SCALES
        if after == start or (total and (value == 0 or (scaled and scale >= limit))):
            return total, end
        if not scaled:
            return total + value, after
        total, limit, end = total + value * scale, scale, after + 1


def _below_thousand(words: list[str], at: int) -> tuple[int, int]:
    value, after = _below_hundred(words, at)
    counts = words[at + 1] in ("hundred", *_SCALES)
    if counts and words[at] == "a":
        value, after = 1, at + 1
    elif counts and words[at].isascii() and words[at].isdigit() and len(words[at]) <= 3:
        value, after = int(words[at]), at + 1
    if value and words[after] == "hundred":
        value, after = 100 * value, after + 1
        start = after + 1 if words[after] == "and" else after
        rest, end = _below_hundred(words, start)
        if rest and words[end] != "hundred":
            value, after = value + rest, end
    return value, after


def _below_hundred(words: list[str], at: int) -> tuple[int, int]:
    if words[at] in _ONES:
        return _ONES[words[at]], at + 1
    if words[at] in _TENS:
        unit = _ONES.get(words[at + 1], 0)
        return (_TENS[words[at]] + unit, at + 2) if 1 <= unit <= 9 else (_TENS[words[at]], at + 1)
    return 0, at
