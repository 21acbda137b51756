"""Pieces of a segment: no character lost, and the times of the words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.cues import clean, pieces
from castline.records import Segment, Word


def test_without_words_time_is_in_proportion_to_characters(make: Any) -> None:
    found = pieces(make.segment(1, "aaaa bbbb", 0, 9))
    assert [(p.text, p.start_s, p.end_s) for p in found] == [("aaaa", 0, 4), ("bbbb", 5, 9)]


def test_words_that_do_not_spell_the_text_give_no_times(make: Any) -> None:
    words = (
        Word(start_s=0, end_s=1, text="hello"),
        Word(start_s=1, end_s=8, text="<noise>"),
        Word(start_s=8, end_s=9, text="world"),
    )
    found = pieces(make.segment(1, "hello world", 0, 11, words=words))
    assert [(p.text, p.start_s, p.end_s) for p in found] == [("hello", 0, 5), ("world", 6, 11)]


def test_words_outside_the_segment_are_clamped_to_it(make: Any) -> None:
    words = (Word(start_s=-3, end_s=50, text="one"), Word(start_s=2, end_s=1, text="two"))
    found = pieces(make.segment(1, "one two", 5, 6, words=words))
    assert [(p.start_s, p.end_s) for p in found] == [(5, 6), (6, 6)]


@pytest.mark.parametrize("text", ["a\u2028b", "a\x0bb", "a\r\n\r\nb", "\ufeffa \x00\x1b b"])
def test_clean_leaves_one_line(text: str) -> None:
    assert clean(text) == "a b"


time = st.floats(0, 20_000, allow_nan=False)
word = st.builds(lambda a, b, text: Word(start_s=a, end_s=b, text=text), time, time, st.text(max_size=12))
segment = st.builds(
    lambda a, b, text, words: Segment(start_s=a, end_s=b, text=text, words=tuple(words)),
    time,
    time,
    st.text(max_size=260),
    st.lists(word, max_size=20),
)


@given(segment)
def test_no_character_is_lost_and_times_never_decrease(one: Segment) -> None:
    found = pieces(one)
    assert "".join((" " if p.space else "") + p.text for p in found).strip() == clean(one.text)
    times = [time for p in found for time in (p.start_s, p.end_s)]
    assert times == sorted(times)
