"""Prepares text for a line."""

from __future__ import annotations

import unicodedata

from castline.display import without_acting

_NO_TEXT = dict.fromkeys(map(ord, "\ufeff\ufffe\uffff"))


def clean(text: str) -> str:
    """The text on one line: runs of white space become one space, and invalid characters are removed.

    Removed are control characters, changes of the reading direction, lone surrogates, byte order marks and anything
    else that XML does not allow.
    """
    spaced = "".join(" " if char.isspace() else char for char in text)
    return " ".join(without_acting(spaced).translate(_NO_TEXT).split())


def width(text: str) -> int:
    """Columns of a line: a wide (CJK) character takes two, so never less than its characters."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
