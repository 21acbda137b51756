"""Time to read: taken from silence, never from another cue."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.cues.timing import GAP_MS, LEAD_MS, MAX_CPS, MIN_CUE_MS, MIN_READ_MS, Timed, lay_out

TWO_SECONDS_OF_TEXT = ("x" * 40,)


def spans(*drafts: Timed) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in lay_out(drafts)]


def test_a_cue_that_can_be_read_in_time_keeps_its_times() -> None:
    assert spans(Timed(1000, 3000, TWO_SECONDS_OF_TEXT), Timed(3000, 9000, ("slow",))) == [(1000, 3000), (3000, 9000)]


def test_a_fast_cue_stays_as_long_as_reading_it_takes() -> None:
    assert spans(Timed(1000, 1500, TWO_SECONDS_OF_TEXT), Timed(9000, 9900, ("far",))) == [(1000, 3000), (9000, 9900)]


def test_a_cue_appears_early_only_if_the_silence_after_it_is_too_short() -> None:
    assert spans(Timed(1000, 1500, TWO_SECONDS_OF_TEXT), Timed(3000, 4000, ("near",))) == [
        (1000 - GAP_MS, 3000 - GAP_MS),
        (3000, 4000),
    ]


def test_a_cue_never_appears_much_too_early_nor_before_the_start() -> None:
    assert spans(Timed(5000, 5500, TWO_SECONDS_OF_TEXT), Timed(5500, 9000, ("next",)))[0] == (5000 - LEAD_MS, 5500)
    assert spans(Timed(50, 500, TWO_SECONDS_OF_TEXT), Timed(500, 9000, ("next",)))[0] == (0, 500)


def test_two_frames_of_a_silence_are_left() -> None:
    assert spans(Timed(0, 200, TWO_SECONDS_OF_TEXT), Timed(500, 700, TWO_SECONDS_OF_TEXT)) == [(0, 417), (500, 2500)]
    assert spans(Timed(0, 200, TWO_SECONDS_OF_TEXT), Timed(250, 2250, TWO_SECONDS_OF_TEXT)) == [(0, 200), (250, 2250)]
    slow, fast, next_ = Timed(0, 5000, ("slow",)), Timed(5150, 5500, TWO_SECONDS_OF_TEXT), Timed(5500, 9000, ("next",))
    assert spans(slow, fast, next_)[1] == (5083, 5500)


@pytest.mark.parametrize(("lines", "ms"), [(("Hm.",), MIN_READ_MS), (("x" * 30,), 1500), (("今" * 15,), 1500)])
def test_reading_time(lines: tuple[str, ...], ms: int) -> None:
    assert spans(Timed(1000, 1001, lines)) == [(1000, 1000 + ms)]


moment = st.integers(0, 12_000)
draft = st.builds(
    lambda start, length, text: Timed(start, start + length, text),
    moment,
    st.integers(0, 4000),
    st.lists(st.text("abc de", min_size=1, max_size=42), min_size=1, max_size=2).map(tuple),
)


@given(st.lists(draft, max_size=8))
def test_no_cue_overlaps_another_and_none_is_lost(drafts: list[Timed]) -> None:
    found = lay_out(drafts)
    assert [cue.lines for cue in found] == [cue.lines for cue in sorted(drafts, key=lambda cue: cue.start_ms)]
    assert all(cue.start_ms >= 0 and cue.end_ms - cue.start_ms >= MIN_CUE_MS for cue in found)
    assert all(cue.end_ms <= following.start_ms for cue, following in pairwise(found))


@given(st.lists(draft, max_size=8, unique_by=lambda cue: cue.start_ms // 500))
def test_a_cue_is_too_fast_only_if_there_is_no_silence_left(drafts: list[Timed]) -> None:
    drafts = [Timed(cue.start_ms // 500 * 500, cue.end_ms, cue.lines) for cue in drafts]  # far apart
    said = {cue.start_ms // 500: cue.start_ms for cue in drafts}
    found = lay_out(drafts)
    for before, cue, after in zip([None, *found], found, [*found[1:], None], strict=False):
        length = cue.end_ms - cue.start_ms
        spoken = next(start for start in said.values() if cue.start_ms <= start <= cue.start_ms + LEAD_MS)
        if length < MIN_READ_MS or len(" ".join(cue.lines)) * 1000 > MAX_CPS * length:
            assert after is not None, "there is unlimited time after the last one"
            assert after.start_ms - cue.end_ms <= GAP_MS
            silence = cue.start_ms - before.end_ms if before else cue.start_ms
            assert silence <= (GAP_MS if before else 0) or cue.start_ms == spoken - LEAD_MS
        elif cue.start_ms < spoken:
            assert length <= max(MIN_READ_MS, len(" ".join(cue.lines)) * 1000 / MAX_CPS + 1), "not earlier than needed"


@given(st.lists(draft, max_size=8))
def test_a_cue_outlasts_its_words_only_to_be_read(drafts: list[Timed]) -> None:
    found = lay_out(drafts)
    starts = sorted(cue.start_ms for cue in drafts)
    for cue, start in zip(found, starts, strict=True):
        longest = max(MIN_READ_MS, len(" ".join(cue.lines)) * 1000 / MAX_CPS + 1)
        assert cue.start_ms >= start - LEAD_MS
        spoken = max(draft.end_ms for draft in drafts if draft.lines == cue.lines)
        assert cue.end_ms <= max(spoken, cue.start_ms + longest, cue.start_ms + MIN_CUE_MS)
