"""Other people's text on the terminal."""

from __future__ import annotations

from rich import markup

from castline.display import visible


def escape(text: str) -> str:
    """A text as rich's markup, in which it is no style, no escape sequence, and no turn of the reading direction."""
    return markup.escape(visible(text))
