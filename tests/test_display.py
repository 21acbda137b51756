"""Foreign text: characters that act on a terminal, a spreadsheet or a page are made visible."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from castline.cli.shown import escape
from castline.cues import clean
from castline.display import cell, counted, is_plain, some, visible

CHECKOUT = Path(__file__).parents[1]


@pytest.mark.parametrize("char", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\x1b\x00\x7f\x9b\r\n")
def test_active_characters_are_escaped(char: str) -> None:
    assert visible(f"gpj{char}4pm.exe") == f"gpj‹U+{ord(char):04X}›4pm.exe"
    assert not is_plain(char)


def test_ordinary_text_stays() -> None:
    for text in ("Zoë 👨‍👩‍👧", "שלום\u200f!", "a\u00a0b", "日本語", "[bold]"):
        assert visible(text) == text
    assert visible("a\n\tb", lines=True) == "a\n\tb"


def test_one_is_singular() -> None:
    assert [counted(count, "photo") for count in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert [counted(count, "more person", "more people") for count in (1, 2)] == ["1 more person", "2 more people"]


def test_no_message_leaves_the_plural_open() -> None:
    found = [path for path in (CHECKOUT / "src").rglob("*.py") if re.search(r"\} [a-z -]+\(e?s\)", path.read_text())]
    assert found == []


@given(st.text(st.characters()))
def test_a_message_on_the_terminal_is_one_line_that_shows_what_was_given(text: str) -> None:
    file = io.StringIO()
    Console(file=file, width=10_000, force_terminal=True, highlight=False).print(f"[red]{escape(text)}[/]", end="")
    shown = file.getvalue().removeprefix("\x1b[31m").removesuffix("\x1b[0m")
    assert is_plain(shown)
    assert shown == visible(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "－1"])
def test_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_other_cells_stay() -> None:
    for text in ("", "a=1", " =1", "'=1", "1-2"):
        assert cell(text) == text


def test_words_and_names_do_not_change_the_reading_direction() -> None:
    assert clean("Ada\u202e ecalevoL\u2069") == "Ada ecalevoL"


def test_of_many_names_the_first_are_listed() -> None:
    assert some(["Ada", "Bob"], 2) == "Ada, Bob"
    assert some(["Ada", "Bob", "Eve", "Joe"], 2) == "Ada, Bob and 2 more"
