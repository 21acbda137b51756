"""Prints untrusted text on the terminal."""

from __future__ import annotations

from rich import markup
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from castline.display import visible


def escape(text: str) -> str:
    """A text as rich markup, without effect as style, escape sequence or change of the reading direction."""
    return markup.escape(visible(text))


def wrapped(console: Console, line: str) -> None:
    """Print markup, wrapped between words on a terminal, and as one line elsewhere."""
    console.print(line, soft_wrap=not console.is_terminal)


def beside(console: Console, head: str, line: str) -> None:
    """Print markup to the right of its head, also if it needs several lines on a narrow terminal."""
    if not console.is_terminal:
        console.print(f"{head}{line}", soft_wrap=True)
        return
    row = Table.grid()
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(head, line)
    console.print(row)


def below(console: Console, line: str) -> None:
    """Print markup as an indented line below its heading, also if it needs several lines on a narrow terminal."""
    if console.is_terminal:
        console.print(Padding(Text.from_markup(line), (0, 0, 0, 2), expand=False))
    else:
        console.print(f"  {line}", soft_wrap=True)
