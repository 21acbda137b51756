"""Cue layout: cues fit a screen, stay long enough to be read, and read well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.cues import clean, cues_of, width
from castline.cues.layout import LINES, ORPHAN_CHARS, PAUSE_MS
from castline.cues.timing import GAP_MS, LEAD_MS, MAX_CPS, MAX_CUE_MS, MIN_CUE_MS, MIN_READ_MS
from castline.cues.units import LINE_CHARS
from castline.records import Cue, SpokenSegment, Word

TALK = (
    "We have prepared three short talks; each of them is about ten minutes, and after that there will be "
    "music and something to eat in the garden. Nobody has to leave before midnight."
)


def texts(cues: Sequence[Cue]) -> list[str]:
    return [" ".join(cue.lines) for cue in cues]


def length_ms(cue: Cue) -> int:
    return cue.end_ms - cue.start_ms


def test_short_segment_is_one_cue_of_one_line(make: Any) -> None:
    (cue,) = cues_of([make.segment(1, "Then let us begin.", 1.5, 3.25)])
    assert (cue.start_ms, cue.end_ms, cue.lines) == (1500, 3250, ("Then let us begin.",))


@pytest.mark.parametrize("timed", [True, False])
def test_long_segment_is_split_at_sentences_and_clauses(make: Any, timed: bool) -> None:
    found = cues_of([(make.spoken if timed else make.segment)(1, TALK, 0, 12)], "en")
    assert texts(found) == [
        "We have prepared three short talks; each of them is about ten minutes,",
        "and after that there will be music and something to eat in the garden.",
        "Nobody has to leave before midnight.",
    ]


def test_short_sentences_share_a_cue(make: Any) -> None:
    found = cues_of(make.talk(["Wait... what?", "No!?"]), "en")
    assert texts(found) == ["Wait... what? No!?"]
    assert texts(cues_of([make.spoken(1, "Wait... what? No!?", 0, 1)], "en")) == ["Wait... what? No!?"]


def test_sentences_with_enough_time_have_a_cue_each(make: Any) -> None:
    said = ["It is a pleasure to be here.", "Is everybody well?", "“Yes.”", "Then I would like to begin."]
    assert texts(cues_of(make.talk(said), "en")) == [said[0], f"{said[1]} {said[2]}", said[3]]


@pytest.mark.parametrize("last", ["now", "now."])
def test_no_word_is_orphaned(make: Any, last: str) -> None:
    text = f"I would like to begin by telling you a thing that I have never said to anybody before {last}"
    first, second = cues_of([make.spoken(1, text, 0, 7)])
    assert abs(length_ms(first) - length_ms(second)) < 1500
    assert f"{texts([first])[0]} {texts([second])[0]}" == text


def test_a_single_word_in_silence_is_a_cue(make: Any) -> None:
    said = [make.spoken(1, "Are you sure of that?", 0, 2), make.spoken(2, "Yes.", 3.2, 3.5)]
    said.append(make.spoken(3, "Then let us begin.", 5, 6))
    assert texts(cues_of(said, "en")) == ["Are you sure of that?", "Yes.", "Then let us begin."]


def test_an_abbreviation_is_not_a_place_to_cut(make: Any) -> None:
    said = "We are glad to welcome the gospel of the one and only Mr. Quilter, an apostle of the middle classes."
    assert texts(cues_of([make.spoken(1, said, 0, 7)], "en")) == [
        "We are glad to welcome the gospel of the one and only Mr. Quilter,",
        "an apostle of the middle classes.",
    ]


def test_a_fast_sentence_takes_time_from_a_slow_one(make: Any) -> None:
    fast, slow = "He tells us a great many things about it,", "and then he goes"
    words = (*make.words(fast, 0, 1.5), *make.words(slow, 1.5, 4.5))
    assert texts(cues_of([make.segment(1, f"{fast} {slow}", 0, 4.5, words=words)])) == [f"{fast} {slow}"]


def test_two_lines_are_balanced(make: Any) -> None:
    (cue,) = cues_of([make.segment(1, "It is a pleasure to be here again after a long time", 0, 4)])
    first, second = cue.lines
    assert abs(len(first) - len(second)) <= 6


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is quite a pleasure to be here. Is everybody well?", "It is quite a pleasure to be here."),
        ("It is a pleasure to be here, so let us now begin with the talk", "It is a pleasure to be here,"),
        ("Yes. It is quite a pleasure to be here with everybody.", "Yes. It is quite a pleasure"),
    ],
)
def test_lines_break_at_sentences_and_clauses_unless_too_uneven(make: Any, text: str, first: str) -> None:
    (cue,) = cues_of([make.segment(1, text, 0, 6)], "en")
    assert cue.lines[0] == first


def test_times_follow_the_words_not_the_characters(make: Any) -> None:
    words = make.words(TALK, 0, 12)
    # The speaker pauses for a minute before the second sentence.
    late = next(i for i, word in enumerate(words) if word.text == "Nobody")
    words = words[:late] + tuple(
        word.model_copy(update={"start_s": word.start_s + 60, "end_s": word.end_s + 60}) for word in words[late:]
    )
    found = cues_of([make.segment(1, TALK, 0, 72, words=words)])
    assert " ".join(found[-1].lines) == "Nobody has to leave before midnight."
    assert found[-1].start_ms == round(words[late].start_s * 1000)
    assert found[-2].end_ms == round(words[late - 1].end_s * 1000)


def test_a_script_without_spaces_is_cut_at_words(make: Any) -> None:
    parts = ["今日", "は", "、", "天気", "が", "いい", "です", "ね", "。"] * 6
    words = tuple(Word(start_s=i / 2, end_s=i / 2 + 0.5, text=part) for i, part in enumerate(parts))
    found = cues_of([make.segment(1, "".join(parts), 0, 27, words=words)], "ja")
    assert [cue.lines for cue in found] == [("今日は、天気がいいですね。",)] * 6
    found = cues_of([make.segment(1, "今日は天気がいいですね" * 9, 0, 30)])
    assert len(found) > 1
    assert all(width(line) <= LINE_CHARS for cue in found for line in cue.lines)


def test_no_line_begins_with_closing_punctuation(make: Any) -> None:
    parts = list("これはとても長い文なのでどこかで切らなければなりませんけれども、「ここだ」とは言えないでしょう。")
    words = tuple(Word(start_s=i / 9, end_s=i / 9 + 0.1, text=part) for i, part in enumerate(parts))
    lines = [line for cue in cues_of([make.segment(1, "".join(parts), 0, 6, words=words)], "ja") for line in cue.lines]
    assert "".join(lines) == "".join(parts)
    assert all(line[0] not in "、。」ょ" and line[-1] != "「" for line in lines)


def test_suspects_and_silence_are_left_out(make: Any) -> None:
    assert not cues_of([make.segment(1, "Thanks for watching!", 0, 2, suspect=True), make.segment(2, " \n ", 2, 3)])


def test_overlapping_segments_do_not_overlap_as_cues(make: Any) -> None:
    long = "as much as fits two lines of a cue, and so it cannot be joined with another"
    first, second = cues_of([make.segment(1, long, 0, 10), make.segment(2, "what is said meanwhile", 6, 8)])
    assert (first.end_ms, second.start_ms, second.end_ms) == (6000, 6000, 8000)


def test_segments_without_duration_can_still_be_seen(make: Any) -> None:
    found = cues_of([make.segment(i, f"{i} " + "x" * 40 + " " + "y" * 30, 5, 5) for i in range(4)])
    assert [cue.end_ms for cue in found[:-1]] == [5000 + i * MIN_CUE_MS for i in (1, 2, 3)]
    assert all(length_ms(cue) >= MIN_CUE_MS for cue in found)


def test_a_silence_between_timed_words_ends_a_cue(make: Any) -> None:
    words = (Word(start_s=1, end_s=2, text="Yes."), Word(start_s=5, end_s=6, text="No."))
    assert texts(cues_of([make.segment(1, "Yes. No.", 1, 6, words=words)])) == ["Yes.", "No."]
    assert texts(cues_of([make.segment(1, "Yes. No.", 1, 6)])) == ["Yes. No."], "an estimated time is not a silence"


def test_slowly_spoken_words_do_not_stay_long(make: Any) -> None:
    found = cues_of([make.spoken(1, "one two three four five six", 0, 18)])
    assert texts(found) == ["one two", "three four", "five six"]


def test_who_is_on_screen_goes_with_each_cue_and_ends_one(make: Any) -> None:
    said = [make.segment(1, TALK, 0, 12, visible=" Ada\nLovelace"), make.spoken(2, "Hm.", 12, 12.3)]
    said.append(make.spoken(3, "I see.", 12.3, 13))
    found = cues_of(said, "en")
    assert [cue.visible for cue in found] == ["Ada Lovelace"] * (len(found) - 1) + [None]
    assert texts(found)[-1] == "Hm. I see."


any_time = st.floats(0, 20_000, allow_nan=False)
any_word = st.builds(lambda a, b, text: Word(start_s=a, end_s=b, text=text), any_time, any_time, st.text(max_size=12))
any_segment = st.builds(
    lambda a, b, text, words, suspect: SpokenSegment(
        id="speech-1", start_s=a, end_s=b, text=text, words=tuple(words), suspect=suspect
    ),
    any_time,
    any_time,
    st.text(max_size=260) | st.lists(st.text(min_size=1, max_size=60), max_size=30).map(" ".join),
    st.lists(any_word, max_size=20),
    st.booleans(),
)


def squeezed(parts: Sequence[str]) -> str:
    """Without spaces: a line may end between two characters that have no space between them."""
    return clean("".join(parts)).replace(" ", "")


@given(st.lists(any_segment, max_size=6))
def test_any_transcript_gives_cues_that_players_accept(segments: list[SpokenSegment]) -> None:
    found = cues_of(segments)
    for cue in found:
        assert 0 <= cue.start_ms < cue.end_ms
        assert 1 <= len(cue.lines) <= LINES
        assert all(len(line) > 0 and width(line) <= LINE_CHARS and line == clean(line) for line in cue.lines)
    for cue, following in pairwise(found):
        assert cue.end_ms <= following.start_ms
    assert squeezed([line for cue in found for line in cue.lines]) == squeezed(
        [clean(segment.text) for segment in segments if not segment.suspect]
    )


@st.composite
def speech(draw: st.DrawFn) -> list[SpokenSegment]:
    """What an engine writes: words with times in order, segments at pauses and elsewhere."""
    word = st.text("abcdefgh", min_size=1, max_size=12)
    mark = st.sampled_from(["", "", "", "", ",", ".", "?", "..."])
    segments: list[SpokenSegment] = []
    at = 0
    for number in range(draw(st.integers(0, 6))):
        words = []
        for _ in range(draw(st.integers(1, 14))):
            at += draw(st.sampled_from([0, 0, 0, 0, 40, 120, 300, 900, 1600]))
            end = at + draw(st.integers(100, 900))
            words.append(Word(start_s=at / 1000, end_s=end / 1000, text=draw(word) + draw(mark)))
            at = end
        segments.append(
            SpokenSegment(
                id=f"speech-{number}",
                start_s=words[0].start_s,
                end_s=words[-1].end_s,
                text=" ".join(word.text for word in words),
                words=tuple(words),
                visible=draw(st.sampled_from([None, None, "Ada"])),
                suspect=draw(st.sampled_from([False, False, False, True])),
            )
        )
    return segments


class Spoken:
    """Cues beside the words that they consist of."""

    def __init__(self, segments: Sequence[SpokenSegment]) -> None:
        said = iter([word for segment in segments if not segment.suspect for word in segment.words])
        self.cues = cues_of(segments, "en")
        self.words = [[next(said) for _ in text.split()] for text in texts(self.cues)]
        assert next(said, None) is None

    def first_ms(self, at: int) -> int:
        return round(self.words[at][0].start_s * 1000)

    def last_ms(self, at: int) -> int:
        return round(self.words[at][-1].end_s * 1000)

    def could_join(self, at: int) -> bool:
        """Whether a cue and the next one could be one: same person, no silence, and it fits."""
        if not 0 <= at < len(self.cues) - 1 or self.cues[at].visible != self.cues[at + 1].visible:
            return False
        silence = round((self.words[at + 1][0].start_s - self.words[at][-1].end_s) * 1000)
        words = [word.text for word in (*self.words[at], *self.words[at + 1])]
        two_lines = any(
            len(" ".join(words[:i])) <= LINE_CHARS and len(" ".join(words[i:])) <= LINE_CHARS for i in range(len(words))
        )
        return silence < PAUSE_MS and two_lines and self.last_ms(at + 1) - self.first_ms(at) <= MAX_CUE_MS


@given(speech())
def test_cues_have_the_transcript_s_text_and_the_words_times(segments: list[SpokenSegment]) -> None:
    spoken = Spoken(segments)
    assert " ".join(texts(spoken.cues)) == " ".join(segment.text for segment in segments if not segment.suspect)
    for at, cue in enumerate(spoken.cues):
        assert cue.start_ms <= spoken.first_ms(at) <= cue.start_ms + LEAD_MS
        assert spoken.last_ms(at) <= cue.end_ms
        assert len(spoken.words[at]) == 1 or spoken.last_ms(at) - spoken.first_ms(at) <= MAX_CUE_MS


@given(speech())
def test_a_cue_is_too_short_or_an_orphan_only_if_it_cannot_be_joined(segments: list[SpokenSegment]) -> None:
    spoken = Spoken(segments)
    for at, cue in enumerate(spoken.cues):
        orphan = len(spoken.words[at]) == 1 and len(cue.lines[0]) <= ORPHAN_CHARS
        if length_ms(cue) < MIN_READ_MS or orphan:
            assert not spoken.could_join(at)
            assert not spoken.could_join(at - 1)
        if length_ms(cue) < MIN_READ_MS:
            assert spoken.first_ms(at + 1) - spoken.first_ms(at) < MIN_READ_MS + GAP_MS, "there was time for it"


@given(speech())
def test_a_cue_is_too_fast_only_if_no_silence_is_left(segments: list[SpokenSegment]) -> None:
    spoken = Spoken(segments)
    for at, cue in enumerate(spoken.cues):
        if len(" ".join(cue.lines)) * 1000 <= MAX_CPS * length_ms(cue):
            continue
        before = spoken.cues[at - 1].end_ms if at else 0
        assert spoken.cues[at + 1].start_ms - cue.end_ms <= GAP_MS, "no gap to the next one, and the last has none"
        assert cue.start_ms - before <= (GAP_MS if at else 0) or cue.start_ms == spoken.first_ms(at) - LEAD_MS
