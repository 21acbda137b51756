"""Other people's text on the terminal."""

from __future__ import annotations

from rich import markup
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from castline.display import visible


def escape(text: str) -> str:
    """A text as rich's markup, in which it is no style, no escape sequence, and no turn of the reading direction."""
    return markup.escape(visible(text))


def wrapped(console: Console, line: str) -> None:
    """Print markup that a terminal breaks between words; elsewhere it stays one line."""
    console.print(line, soft_wrap=not console.is_terminal)


def beside(console: Console, head: str, line: str) -> None:
    """Print markup beside its head, and to the right of it also where a terminal is too narrow for one line."""
    if not console.is_terminal:
        console.print(f"{head}{line}", soft_wrap=True)
        return
    row = Table.grid()
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(head, line)
    console.print(row)


def below(console: Console, line: str) -> None:
    """Print markup as a line of what is above it: indented, also where a terminal is too narrow for it in one piece."""
    if console.is_terminal:
        console.print(Padding(Text.from_markup(line), (0, 0, 0, 2), expand=False))
    else:
        console.print(f"  {line}", soft_wrap=True)
