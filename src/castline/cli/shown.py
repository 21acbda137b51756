"""Other people's text on the terminal."""

from __future__ import annotations

from rich import markup
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from castline.display import visible


def escape(text: str) -> str:
    """A text as rich's markup, in which it is no style, no escape sequence, and no turn of the reading direction."""
    return markup.escape(visible(text))


def wrapped(console: Console, line: str) -> None:
    """Print markup that a terminal breaks between words; elsewhere it stays one line."""
    console.print(line, soft_wrap=not console.is_terminal)


def below(console: Console, line: str) -> None:
    """Print markup as a line of what is above it: indented, also where a terminal is too narrow for it in one piece."""
    if console.is_terminal:
        console.print(Padding(Text.from_markup(line), (0, 0, 0, 2), expand=False))
    else:
        console.print(f"  {line}", soft_wrap=True)
