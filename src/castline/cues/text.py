"""Text as it fits a line."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """The text on one line: runs of white space become one space, and what is no text goes.

    Control characters go, lone surrogates, byte order marks and what else XML does not allow.
    """
    spaced = (" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in spaced if not _is_noise(char)).split())


def _is_noise(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or char in "\ufeff\ufffe\uffff"


def width(text: str) -> int:
    """Columns of a line: a wide (CJK) character takes two, so never less than its characters."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
