"""Chunks become one transcript: nothing lost, nothing twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline.assembly.stitch import stitch
from castline.records import Segment


def _said(segments: list[Segment]) -> list[str]:
    return [word.text for segment in segments for word in segment.words]


def test_times_become_those_of_the_media_file(make) -> None:
    chunks = [
        (make.audio_unit(0, 0, 10), make.audio_part(0, make.segment((1, 2, "one")))),
        (make.audio_unit(1, 10, 20), make.audio_part(1, make.segment((0.5, 1, "two"), (1, 1.25, "three")))),
    ]
    first, second = stitch(chunks)
    assert (first.start_s, first.end_s) == (1, 2)
    assert (second.start_s, second.end_s) == (10.5, 11.25)
    assert [(word.start_s, word.end_s) for word in second.words] == [(10.5, 11), (11, 11.25)]


def test_a_cut_in_silence_drops_nothing(make) -> None:
    chunks = [
        (make.audio_unit(0, 0, 10), make.audio_part(0, make.segment((9, 10, "same")))),
        (make.audio_unit(1, 10, 20), make.audio_part(1, make.segment((0, 1, "same")))),
    ]
    assert _said(stitch(chunks)) == ["same", "same"]


def _overlapping(make, old: list[tuple[float, float, str]], new: list[tuple[float, float, str]]):
    """Two chunks with a hard cut at 10 s: the first one ends at 13 s, the second one begins at 7 s."""
    moved = [(start - 7, end - 7, text) for start, end, text in new]
    return [
        (make.audio_unit(0, 0, 13, hard_cut=True), make.audio_part(0, make.segment(*old))),
        (make.audio_unit(1, 7, 20), make.audio_part(1, make.segment(*moved))),
    ]


def test_what_both_chunks_heard_appears_once(make) -> None:
    old = [(6, 7, "the"), (7.5, 8, "quick"), (9, 9.5, "brown"), (10.5, 11, "fox"), (12, 12.9, "jum")]
    new = [(7.4, 8, "quick"), (9.05, 9.5, "Brown,"), (10.5, 11.1, "fox"), (12, 13, "jumps"), (14, 15, "over")]
    found = stitch(_overlapping(make, old, new))
    assert [text.strip(",").lower() for text in _said(found)] == ["the", "quick", "brown", "fox", "jumps", "over"]
    starts = [word.start_s for segment in found for word in segment.words]
    assert starts == sorted(starts)
    for segment in found:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)


def test_where_chunks_disagree_the_one_with_more_context_wins(make) -> None:
    old = [(8, 8.4, "ice"), (9, 9.4, "cream"), (11, 11.4, "garbled")]
    new = [(8.1, 8.4, "eyes"), (10.2, 10.6, "is"), (11, 11.4, "good")]
    assert _said(stitch(_overlapping(make, old, new))) == ["ice", "cream", "is", "good"]


def test_what_only_one_chunk_heard_is_kept(make) -> None:
    old = [(6, 6.5, "we"), (7.5, 8, "deaf"), (9, 9.5, "here"), (12, 12.4, "last")]
    new = [(7.6, 8, "deaf"), (8.3, 8.7, "not"), (10.2, 10.5, "at"), (10.6, 11, "all"), (14, 14.5, "said")]
    expected = ["we", "deaf", "not", "here", "at", "all", "last", "said"]
    assert _said(stitch(_overlapping(make, old, new))) == expected
    assert _said(stitch(_overlapping(make, old[:2], new[:2]))) == ["we", "deaf", "not"]
    assert _said(stitch(_overlapping(make, old, [(14, 14.5, "said")]))) == [*[text for _, _, text in old], "said"]


def test_a_sentence_that_the_switch_cuts_is_one_segment(make) -> None:
    old = [(8.8, 9.1, "The"), (9.1, 9.5, "quick"), (9.6, 10.1, "brown"), (10.2, 10.9, "fo")]
    new = [(9.2, 9.5, "quick"), (9.6, 10.1, "brown"), (10.2, 10.6, "fox"), (10.6, 11, "jumps.")]
    more = [(11.2, 11.5, "Then"), (11.5, 12, "rests.")]
    moved = [[(start - 7, end - 7, text) for start, end, text in words] for words in (new, more)]
    chunks = [
        (make.audio_unit(0, 0, 13, hard_cut=True), make.audio_part(0, make.segment(*old))),
        (make.audio_unit(1, 7, 20), make.audio_part(1, *(make.segment(*words) for words in moved))),
    ]
    first, second = stitch(chunks)
    assert (first.text, second.text) == ("The quick brown fox jumps.", "Then rests.")
    assert (first.start_s, first.end_s) == (8.8, 11)
    assert [word.text for word in first.words] == first.text.split()


def test_the_same_word_said_twice_is_not_one_word(make) -> None:
    both = [(8, 8.3, "no"), (9, 9.3, "no"), (10.1, 10.4, "no"), (11, 11.3, "no")]
    found = stitch(_overlapping(make, both, both))
    assert [word.start_s for segment in found for word in segment.words] == [8, 9, 10.1, 11]


def test_repeated_words_are_paired_by_time_and_not_in_order(make) -> None:
    # 0.3 s apart; each chunk missed one at its own edge, so their first words are not the same word.
    said = [(9 + 0.3 * at, 9.2 + 0.3 * at, "yes") for at in range(5)]
    found = stitch(_overlapping(make, said[:-1], said[1:]))
    assert [word.start_s for segment in found for word in segment.words] == [start for start, _, _ in said]
    found = stitch(_overlapping(make, said[1:], said[:-1]))
    starts = [word.start_s for segment in found for word in segment.words]
    assert starts == sorted(set(starts)), "nothing twice"


_OFF = st.lists(st.floats(-0.09, 0.09), min_size=24, max_size=24)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 24), st.floats(0.21, 0.5), _OFF, _OFF)
def test_a_word_repeated_across_a_cut_is_counted_correctly(make, count, step, off_old, off_new) -> None:
    times = [at for at in (7.2 + step * number for number in range(count)) if at < 12.7]
    old, new = (
        [(at + off, at + off + 0.2, "no") for at, off in zip(times, offs, strict=False)] for offs in (off_old, off_new)
    )
    found = _said(stitch(_overlapping(make, old, new)))
    assert found == ["no"] * len(times)


def test_where_nothing_agrees_no_word_is_cut_in_two(make) -> None:
    # The middle is 10 s; both chunks have speech there, and neither has a word at 10.4 s.
    old = [(9.6, 10.4, "recognise"), (10.5, 11.0, "speech")]
    new = [(9.5, 9.9, "wreck"), (9.9, 10.3, "a"), (10.45, 11.0, "beach")]
    assert _said(stitch(_overlapping(make, old, new))) == ["recognise", "beach"]
    # The longer word is taken alone, whichever chunk it is in.
    assert _said(stitch(_overlapping(make, new, old))) == ["wreck", "a", "speech"]


def test_a_cut_segment_keeps_its_punctuation(make) -> None:
    old = Segment(
        start_s=8,
        end_s=11.4,
        text="Well, yes! – no",
        words=make.words((8, 8.4, "Well"), (9, 9.4, "yes"), (11, 11.4, "no")),
    )
    new = Segment(
        start_s=2,
        end_s=6,
        text="Yes! – no… wait.",
        words=make.words((2, 2.4, "Yes"), (4, 4.4, "no"), (5.5, 6, "wait")),
    )
    chunks = [
        (make.audio_unit(0, 0, 13, hard_cut=True), make.audio_part(0, old)),
        (make.audio_unit(1, 7, 20), make.audio_part(1, new)),
    ]
    assert [segment.text for segment in stitch(chunks)] == ["Well, yes! –", "no… wait."]
    # A text that does not consist of the words cannot be divided, only written anew.
    odd = [(unit, part.model_copy(update={"segments": (part.segments[0].model_copy(update={"text": "?"}),)}))
           for unit, part in chunks]  # fmt: skip
    assert [segment.text for segment in stitch(odd)] == ["Well, yes! –", "no… wait."]


def test_engines_without_word_times_switch_by_segment(make) -> None:
    def plain(start: float, end: float, text: str) -> Segment:
        return Segment(start_s=start, end_s=end, text=text)

    chunks = [
        (
            make.audio_unit(0, 0, 13, hard_cut=True),
            make.audio_part(0, plain(2, 6, "before"), plain(7.5, 9.5, "both heard this"), plain(11, 13, "cut o")),
        ),
        (
            make.audio_unit(1, 7, 20),
            make.audio_part(1, plain(0.5, 2.5, "both heard this"), plain(4, 6.5, "cut off"), plain(8, 9, "after")),
        ),
    ]
    assert [segment.text for segment in stitch(chunks)] == ["before", "both heard this", "cut off", "after"]
    assert all(segment.words == () for segment in stitch(chunks))


@pytest.mark.parametrize("gap", [" ", ""])
def test_segments_without_word_times_that_span_the_switch_are_divided(make, gap: str) -> None:
    # 40 words, half a second each; in the second case a script without spaces.
    said = [chr(0x4E00 + at) for at in range(40)] if not gap else [f"w{at:02d}" for at in range(40)]

    def plain(first: int, last: int, chunk_s: float) -> Segment:
        return Segment(start_s=first / 2 - chunk_s, end_s=last / 2 - chunk_s, text=gap.join(said[first:last]))

    for split_old, split_new in ((18, 22), (14, 26), (25, 15), (20, 20)):
        old = make.audio_part(0, plain(0, split_old, 0), plain(split_old, 26, 0))
        new = make.audio_part(
            1, plain(14, split_new, 7) if split_new > 14 else plain(14, 15, 7), plain(split_new, 40, 7)
        )
        found = stitch([(make.audio_unit(0, 0, 13, hard_cut=True), old), (make.audio_unit(1, 7, 20), new)])
        assert not any(segment.words for segment in found)
        assert "".join(segment.text for segment in found).replace(" ", "") == "".join(said)
        assert all(one.end_s <= other.start_s + 0.2 for one, other in pairwise(found))


def test_a_failed_chunk_leaves_a_gap_and_harms_nothing_else(make) -> None:
    chunks = [
        (make.audio_unit(0, 0, 13, hard_cut=True), make.audio_part(0, make.segment((11, 12, "kept")))),
        (make.audio_unit(2, 27, 40), make.audio_part(2, make.segment((1, 2, "later")))),
    ]
    found = stitch(chunks)
    assert _said(found) == ["kept", "later"]
    assert found[1].start_s == 28


def test_silence_in_either_chunk_loses_nothing(make) -> None:
    heard = [(8, 8.5, "early"), (11, 11.5, "late")]
    first_silent = [
        (make.audio_unit(0, 0, 13, hard_cut=True), make.audio_part(0)),
        (make.audio_unit(1, 7, 20), make.audio_part(1, make.segment((5, 5.5, "twelve")))),
    ]
    assert _said(stitch(first_silent)) == ["twelve"]
    assert stitch([]) == []
    assert _said(stitch(_overlapping(make, heard, heard))) == ["early", "late"]


_WORD = st.tuples(st.floats(0.05, 1.2), st.floats(0.1, 1.0), st.sampled_from("a b c the of".split()))


@settings(max_examples=120, deadline=None)
@given(st.lists(_WORD, max_size=60), st.lists(st.floats(0.75, 1.25), min_size=1, max_size=10), st.data())
def test_no_word_is_lost_or_doubled_where_both_chunks_hear_the_same(make, talk, cuts, data) -> None:
    spoken: list[tuple[float, float, str]] = []
    at = 0.0
    for pause, length, text in talk:
        spoken.append((at + pause, at + pause + length, text))
        at += pause + length
    end = max(at, 1.0)
    # Chunks of about 10 s, all cut hard: 3 s beyond the cut on both sides, as the chunker cuts them.
    bounds: list[tuple[float, float, bool]] = []
    start, cut = 0.0, 0.0
    for share in cuts * 10:
        cut = start + 10 * share
        if cut + 3 >= end:
            break
        bounds.append((start, cut + 3, True))
        start = cut - 3
    bounds.append((start, end + 1, False))
    chunks = []
    for index, (begin, until, hard) in enumerate(bounds):
        heard = [(s - begin, e - begin, text) for s, e, text in spoken if s >= begin and e <= until]
        size = data.draw(st.integers(1, 5), label="words in a segment")
        segments = [make.segment(*heard[at : at + size]) for at in range(0, len(heard), size)]
        unit = make.audio_unit(index, begin, until, hard_cut=hard)
        chunks.append((unit, make.audio_part(index, *segments)))
    found = [word for segment in stitch(chunks) for word in segment.words]
    assert [word.text for word in found] == [text for _, _, text in spoken]
    assert all(abs(word.start_s - s) < 0.002 for word, (s, _, _) in zip(found, spoken, strict=True))
