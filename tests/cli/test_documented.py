"""The README's table of commands is the list of commands."""

from __future__ import annotations

import re
from pathlib import Path

from castline.cli import main as commands

README = Path(__file__).parents[2] / "README.md"


def _table() -> set[str]:
    """Commands, and ``group inner`` of a group, as the first column of the table names them."""
    page = README.read_text(encoding="utf-8").partition("\n| command | what |\n| --- | --- |\n")[2]
    found: set[str] = set()
    for row in page.partition("\n\n")[0].splitlines():
        cell = re.split(r"(?<!\\)\|", row)[1]
        above = ""
        for code in re.findall(r"`([^`]+)`", cell):
            first, _, rest = code.replace("\\|", "|").partition(" ")
            if first in commands.COMMANDS:
                above, first = first, rest.partition(" ")[0]
                if not hasattr(commands._loaded(above), "commands"):
                    found.add(above)
                    continue
            found |= {f"{above} {inner}" for inner in first.split("|")}
    return found


def test_the_table_of_commands_is_complete() -> None:
    groups = {name: getattr(commands._loaded(name), "commands", {}) for name in commands.COMMANDS}
    assert _table() == {f"{name} {inner}" if inner else name for name, all_ in groups.items() for inner in all_ or [""]}
