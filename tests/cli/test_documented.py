"""What the documentation says about commands: the README's table is complete, and documented options exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from castline.cli import main as commands

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def _table() -> set[str]:
    """Commands, and ``group inner`` for those of a group, from the first column of the table."""
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


def _documented() -> Iterator[tuple[str, list[str]]]:
    """Every command on a page, in a sentence or a block, up to the end of its shell words."""
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")):
        body = page.read_text(encoding="utf-8")
        lines = re.findall(r"`(castline [^`]+)`", body)
        for block in re.findall(r"```\w*\n(.*?)```", body, re.DOTALL):
            lines += re.findall(r"^ *(?:\$ )?(castline .*)$", block, re.MULTILINE)
        for line in lines:
            words = re.split(r"\s+(?:[|>&#…]|\.\.\.)|;", " ".join(line.split()))[0].split()[1:]
            yield f"{page.name}: {line}", [word.strip("[]") for word in words]


def test_commands_and_options_that_are_documented_exist() -> None:
    wrong = []
    for where, words in _documented():
        command: Any = get_command(commands.app)
        for word in words:
            inner = getattr(command, "commands", {})
            if word in commands.COMMANDS and command.name != word:
                command = commands._loaded(word)
            elif word in inner:
                command = inner[word]
            elif word.startswith("-") and not word.lstrip("-").isdigit():
                known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {
                    "-h",
                    "--help",
                }
                flag = next((each for each in command.params if word.partition("=")[0] in each.opts), None)
                if word.partition("=")[0] not in known:
                    wrong.append((where, word))
                elif flag is not None and getattr(flag, "is_flag", False):
                    following = words[words.index(word) + 1 : words.index(word) + 2]
                    wrong += [(where, word, each) for each in following if each in ("auto", "off", "voices")]
    assert wrong == []
