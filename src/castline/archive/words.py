"""Splits text into words, both in indexed lines and in queries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

#: Scripts without spaces between words: every character is a word, and a search for several is a phrase.
_SOLO = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_DIACRITICS = re.compile("[\u0300-\u036f]")


class Word(NamedTuple):
    """Attributes:
    folded: the form for comparison, without case and accents.
    start, end: its position in the text, characters.
    """

    folded: str
    start: int
    end: int


def words_of(text: str) -> Iterator[Word]:
    """The words of a text, in order."""
    for found in _pattern().finditer(text):
        folded = fold(found[0])
        if folded:
            yield Word(folded, found.start(), found.end())


def fold(text: str) -> str:
    """Remove case, accents and compatibility forms, so that text that looks alike compares equal."""
    plain = _DIACRITICS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFC", plain)


def folded(text: str) -> tuple[str, ...]:
    return tuple(word.folded for word in words_of(text))


def holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether words contain those of a phrase consecutively."""
    size = len(phrase)
    return any(tuple(words[at : at + size]) == tuple(phrase) for at in range(len(words) - size + 1))


@cache
def _pattern() -> re.Pattern[str]:
    marks = "".join(char for code in range(0x10000) if unicodedata.category(char := chr(code)).startswith("M"))
    return re.compile(f"[{_SOLO}]|(?:(?![{_SOLO}])(?:[^\\W_]|[{marks}]))+")
