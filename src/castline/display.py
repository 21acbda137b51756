"""Makes untrusted text safe to show: nothing in it has an effect on the terminal, the spreadsheet or the page."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters, line and paragraph separators, lone surrogates, and characters that change the reading direction
# of the following text (overrides, embeddings, isolates). Marks (U+200E, U+200F, U+061C) stay: right-to-left text needs
# them.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with characters that act instead of being visible escaped: ``‹U+202E›``.

    Args:
        lines: whether line ends and tabs stay, because the text may have several lines.
    """
    return _ACTING.sub(lambda found: found[0] if lines and found[0] in "\n\t" else f"‹U+{ord(found[0]):04X}›", text)


def is_plain(text: str) -> bool:
    """Whether all of a text is visible, and none of it acts."""
    return _ACTING.search(text) is None


def without_acting(text: str, instead: str = "") -> str:
    """The text without acting characters."""
    return _ACTING.sub(instead, text)


def counted(count: int, one: str, several: str = "") -> str:
    """``1 photo``, ``2 photos``.

    Args:
        several: the plural, where it is not ``one`` with an s.
    """
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def some(names: Sequence[str], most: int) -> str:
    """``a, b, c and 12 more``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def cell(text: str) -> str:
    """A text as a cell of a table: text that a spreadsheet would execute gets an apostrophe in front.

    Spreadsheets treat text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end as a formula, also in full
    width.
    """
    return f"'{text}" if _FORMULA.match(text) else text
