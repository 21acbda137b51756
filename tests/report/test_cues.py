"""Cue layout: what fits a screen, in an order a player accepts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.records import SpokenSegment, Word
from castline.report.cues import LINE_CHARS, LINES, cues, pieces
from castline.report.text import clean, width
from castline.report.timing import MIN_CUE_MS

TALK = (
    "We have prepared three short talks; each of them is about ten minutes, and after that there will be "
    "music and something to eat in the garden. Nobody has to leave before midnight."
)


def test_short_segment_is_one_cue_of_one_line(make: Any) -> None:
    (cue,) = cues([make.segment(1, "Then let us begin.", 1.5, 3.25)])
    assert (cue.start_ms, cue.end_ms, cue.lines) == (1500, 3250, ("Then let us begin.",))


def test_long_segment_is_split_at_sentences_and_clauses(make: Any) -> None:
    found = cues([make.segment(1, TALK, 0, 12)])
    texts = [" ".join(cue.lines) for cue in found]
    assert texts[0] == "We have prepared three short talks; each of them is about ten minutes,"
    assert texts[1].endswith("in the garden.")
    assert " ".join(texts) == TALK


def test_two_lines_are_balanced(make: Any) -> None:
    (cue,) = cues([make.segment(1, "It is a pleasure to be here again after a long time", 0, 4)])
    first, second = cue.lines
    assert abs(len(first) - len(second)) <= 6


def test_times_follow_the_words_not_the_characters(make: Any) -> None:
    words = make.words(TALK, 0, 12)
    # The speaker pauses for a minute before the second sentence.
    late = next(i for i, word in enumerate(words) if word.text == "Nobody")
    words = words[:late] + tuple(
        word.model_copy(update={"start_s": word.start_s + 60, "end_s": word.end_s + 60}) for word in words[late:]
    )
    found = cues([make.segment(1, TALK, 0, 72, words=words)])
    assert " ".join(found[-1].lines) == "Nobody has to leave before midnight."
    assert found[-1].start_ms == round(words[late].start_s * 1000)
    assert found[-2].end_ms == round(words[late - 1].end_s * 1000)


def test_without_words_time_is_in_proportion_to_characters(make: Any) -> None:
    found = pieces(make.segment(1, "aaaa bbbb", 0, 9))
    assert [(p.text, p.start_s, p.end_s) for p in found] == [("aaaa", 0, 4), ("bbbb", 5, 9)]


def test_a_word_that_is_not_in_the_text_moves_nothing(make: Any) -> None:
    words = (
        Word(start_s=0, end_s=1, text="hello"),
        Word(start_s=1, end_s=8, text="<noise>"),
        Word(start_s=8, end_s=9, text="world"),
    )
    found = pieces(make.segment(1, "hello world", 0, 10, words=words))
    assert [(p.text, p.start_s, p.end_s) for p in found] == [("hello", 0, 1), ("world", 8, 10 - 1)]


def test_words_outside_the_segment_are_held_inside(make: Any) -> None:
    words = (Word(start_s=-3, end_s=50, text="one"), Word(start_s=2, end_s=1, text="two"))
    found = pieces(make.segment(1, "one two", 5, 6, words=words))
    assert [(p.start_s, p.end_s) for p in found] == [(5, 6), (6, 6)]


def test_a_script_without_spaces_is_cut_at_words(make: Any) -> None:
    parts = ["今日は", "天気が", "いい", "ですね"]
    words = tuple(Word(start_s=i, end_s=i + 1, text=part) for i, part in enumerate(parts))
    assert [p.text for p in pieces(make.segment(1, "".join(parts), 0, 4, words=words))] == parts
    (cue, *rest) = cues([make.segment(1, "今日は天気がいいですね" * 9, 0, 30)])
    assert rest
    assert all(width(line) <= LINE_CHARS for line in cue.lines)


def test_suspects_and_silence_are_left_out(make: Any) -> None:
    assert cues([make.segment(1, "Thanks for watching!", 0, 2, suspect=True), make.segment(2, " \n ", 2, 3)]) == []


def test_overlapping_segments_do_not_overlap_as_cues(make: Any) -> None:
    first, second = cues([make.segment(1, "one", 0, 10), make.segment(2, "two", 4, 6)])
    assert (first.end_ms, second.start_ms, second.end_ms) == (4000, 4000, 6000)


def test_segments_without_length_can_still_be_seen(make: Any) -> None:
    found = cues([make.segment(i, f"n{i}", 5, 5) for i in range(4)])
    assert [cue.end_ms for cue in found[:-1]] == [5000 + i * MIN_CUE_MS for i in (1, 2, 3)]
    assert all(cue.end_ms - cue.start_ms >= MIN_CUE_MS for cue in found)


def test_a_silence_between_timed_words_ends_a_cue(make: Any) -> None:
    words = (Word(start_s=1, end_s=2, text="Yes."), Word(start_s=5, end_s=6, text="No."))
    assert [cue.lines for cue in cues([make.segment(1, "Yes. No.", 1, 6, words=words)])] == [("Yes.",), ("No.",)]
    assert [cue.lines for cue in cues([make.segment(1, "Yes. No.", 1, 6)])] == [("Yes. No.",)], "a guess is no silence"


def test_slowly_spoken_words_are_not_on_for_long(make: Any) -> None:
    found = cues([make.segment(1, "one two three four five six", 0, 18, timed=True)])
    assert [cue.lines[0] for cue in found] == ["one two", "three four", "five six"]


def test_who_is_on_screen_goes_with_each_cue_of_the_segment(make: Any) -> None:
    found = cues([make.segment(1, TALK, 0, 12, visible=" Ada\nLovelace"), make.segment(2, "Hm.", 13, 14)])
    assert [cue.visible for cue in found] == ["Ada Lovelace"] * (len(found) - 1) + [None]


@pytest.mark.parametrize("text", ["a\u2028b", "a\x0bb", "a\r\n\r\nb", "\ufeffa \x00\x1b b"])
def test_clean_leaves_one_line(text: str) -> None:
    assert clean(text) == "a b"


time = st.floats(0, 20_000, allow_nan=False)
word = st.builds(lambda a, b, text: Word(start_s=a, end_s=b, text=text), time, time, st.text(max_size=12))
segment = st.builds(
    lambda a, b, text, words: SpokenSegment(id="speech-1", start_s=a, end_s=b, text=text, words=tuple(words)),
    time,
    time,
    st.text(max_size=260) | st.lists(st.text(min_size=1, max_size=60), max_size=30).map(" ".join),
    st.lists(word, max_size=20),
)


@given(st.lists(segment, max_size=6))
def test_any_transcript_gives_cues_a_player_accepts(segments: list[SpokenSegment]) -> None:
    found = cues(segments)
    for cue in found:
        assert 0 <= cue.start_ms < cue.end_ms
        assert 1 <= len(cue.lines) <= LINES
        assert all(0 < len(line) <= LINE_CHARS and line == clean(line) for line in cue.lines)
    for cue, following in pairwise(found):
        assert cue.end_ms <= following.start_ms


@given(segment)
def test_no_character_is_lost_and_time_never_runs_back(one: SpokenSegment) -> None:
    found = pieces(one)
    assert "".join((" " if p.space else "") + p.text for p in found).strip() == clean(one.text)
    times = [time for p in found for time in (p.start_s, p.end_s)]
    assert times == sorted(times)
    text = "".join("".join(cue.lines) for cue in cues([one]))
    assert text.replace(" ", "") == clean(one.text).replace(" ", "")
