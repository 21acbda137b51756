"""Queries are understood, or refused in one line; nothing in them reaches FTS5's own syntax."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.archive.query import Phrase, parse
from castline.archive.sqlite import _match
from castline.errors import SearchError


def test_words_phrases_and_fields() -> None:
    query = parse(
        'budget "next  year" person:"Ada King" with:Grace before:2026-03-31 after:2026 file:Week1 language:EN'
    )
    assert query.phrases == [Phrase(("budget",)), Phrase(("next", "year"))]
    assert (query.people, query.together) == ([(("ada", "king"), "Ada King")], [(("grace",), "Grace")])
    assert (query.before, query.after) == (1774915200, 1767225600)
    assert (query.files, query.languages) == (["week1"], ["en"])


def test_words_match_without_case_accents_and_marks() -> None:
    assert parse("Éclair don't").phrases == [Phrase(("eclair",)), Phrase(("don", "t"))]
    assert parse("予算").phrases == [Phrase(("予", "算"))]
    assert parse("budg*").phrases == [Phrase(("budg",), prefix=True)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing is asked"),
        ("   ", "nothing is asked"),
        ('"open', "quote is not closed"),
        ('a"', "quote is not closed"),
        ("colour:red", "colour: is not a field"),
        ("said-by:?", "is not a name"),
        ("before:yesterday", "is not a date"),
        ("before:2026-02-30", "is not a date"),
        ("after:99999", "is not a date"),
        ("after:0001", "is not a date"),
        ('person:""', "has no value"),
        ("person:***", "is not a name"),
        ("a " * 40, "at most 32 parts"),
        ("a" * 501, "at most 500 characters"),
    ],
)
def test_a_mistake_is_one_line(text: str, said: str) -> None:
    with pytest.raises(SearchError, match=said) as caught:
        parse(text)
    assert "\n" not in caught.value.message


@given(st.one_of(st.text(max_size=60), st.text(alphabet='ab"*:^(){}-+ ANDORNEAR\x00\u202e\ud800é', max_size=60)))
def test_any_text_is_a_query_or_an_error(text: str) -> None:
    try:
        query = parse(text)
    except SearchError:
        return
    if query.phrases:
        table = sqlite3.connect(":memory:")
        table.execute("CREATE VIRTUAL TABLE said USING fts5 (text)")
        table.execute("SELECT rowid FROM said WHERE said MATCH ?", (_match(query.phrases),)).fetchall()
        table.close()
