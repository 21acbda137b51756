"""Cutting audio: nothing lost, nothing moved, and preferably in silence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE, Chunk, Chunker, plan_cut

_TARGET_S = 5.0
_TARGET = int(_TARGET_S * SAMPLE_RATE)
_NOISE = np.random.default_rng(1).integers(-8000, 8000, 60 * SAMPLE_RATE).astype(np.int16)


def _sound(seconds: float, *silences: tuple[float, float]) -> NDArray[np.int16]:
    """Noise with silence in the given ranges, in seconds."""
    samples = _NOISE[: int(seconds * SAMPLE_RATE)].copy()
    for start, end in silences:
        samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] = 0
    return samples


def _chunks(samples: NDArray[np.int16], portions: list[int] | None = None, target_s: float = _TARGET_S) -> list[Chunk]:
    chunker = Chunker(target_s)
    found: list[Chunk] = []
    at = 0
    for size in portions or []:
        found += chunker.feed(samples[at : at + size])
        at += size
    found += chunker.feed(samples[at:])
    return found + chunker.finish()


_TALK = st.builds(
    lambda seconds, silences: _sound(seconds, *[(start, start + length) for start, length in silences]),
    st.floats(0, 30),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.05, 3)), max_size=8),
)


@settings(max_examples=40, deadline=None)
@given(_TALK)
def test_chunks_cover_every_sample_in_order(samples: NDArray[np.int16]) -> None:
    chunks = _chunks(samples)
    if not len(samples):
        assert chunks == []
        return
    assert chunks[0].start_s == 0
    assert chunks[-1].end_s == len(samples) / SAMPLE_RATE
    assert not chunks[-1].hard_cut
    for chunk in chunks:
        start, end = round(chunk.start_s * SAMPLE_RATE), round(chunk.end_s * SAMPLE_RATE)
        assert np.array_equal(chunk.samples, samples[start:end])
        assert end > start
    for chunk, following in pairwise(chunks):
        if chunk.hard_cut:
            assert chunk.start_s < following.start_s < chunk.end_s
            assert chunk.end_s - following.start_s == pytest.approx(6)
        else:
            assert following.start_s == chunk.end_s


@settings(max_examples=40, deadline=None)
@given(_TALK, st.lists(st.integers(0, 4 * SAMPLE_RATE), max_size=12))
def test_the_size_of_portions_does_not_matter(samples: NDArray[np.int16], portions: list[int]) -> None:
    whole, pieces = _chunks(samples), _chunks(samples, portions)
    assert [(chunk.start_s, chunk.end_s, chunk.hard_cut) for chunk in whole] == [
        (chunk.start_s, chunk.end_s, chunk.hard_cut) for chunk in pieces
    ]
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(whole, pieces, strict=True))


def test_a_chunk_is_ready_long_before_the_end() -> None:
    chunker = Chunker(_TARGET_S)
    ready = [len(chunker.feed(_NOISE[at * SAMPLE_RATE : (at + 1) * SAMPLE_RATE])) for at in range(20)]
    assert sum(ready[:10]) >= 1


def test_the_cut_is_in_the_middle_of_the_pause_nearest_the_target() -> None:
    samples = _sound(12, (4.0, 4.4), (5.2, 5.6), (6.0, 6.2))
    cut, hard = plan_cut(samples, _TARGET)
    assert not hard
    assert cut / SAMPLE_RATE == pytest.approx(5.4, abs=0.02)


def test_a_longer_pause_is_a_safer_place() -> None:
    cut, hard = plan_cut(_sound(12, (4.1, 4.8), (5.0, 5.3)), _TARGET)
    assert (cut / SAMPLE_RATE, hard) == (pytest.approx(4.45, abs=0.02), False)


def test_pauses_of_a_second_and_more_are_equally_safe() -> None:
    cut, _ = plan_cut(_sound(60, (46, 50), (56, 57.4)), 48 * SAMPLE_RATE)
    assert cut / SAMPLE_RATE == pytest.approx(48, abs=0.02)
    cut, _ = plan_cut(_sound(60, (38, 43), (47, 48.4)), 48 * SAMPLE_RATE)
    assert cut / SAMPLE_RATE == pytest.approx(47.7, abs=0.02)


@pytest.mark.parametrize("silences", [(), ((4.9, 5.05),), ((1, 3),), ((6.6, 8),)])
def test_without_a_pause_near_the_target_the_cut_is_hard(silences: tuple[tuple[float, float], ...]) -> None:
    cut, hard = plan_cut(_sound(12, *silences), _TARGET)
    assert hard
    assert 0.75 * _TARGET <= cut <= 1.25 * _TARGET


def test_a_hard_cut_takes_the_quietest_moment() -> None:
    samples = _sound(12)
    dip = slice(int(5.5 * SAMPLE_RATE), int(5.7 * SAMPLE_RATE))
    samples[dip] //= 2
    cut, hard = plan_cut(samples, _TARGET)
    assert hard
    assert cut / SAMPLE_RATE == pytest.approx(5.6, abs=0.05)


def test_a_quiet_recording_has_pauses_too() -> None:
    faint = (_sound(12, (5.0, 5.5)) // 20).astype(np.int16)
    faint[int(5.0 * SAMPLE_RATE) : int(5.5 * SAMPLE_RATE)] = _NOISE[: SAMPLE_RATE // 2] // 400
    cut, hard = plan_cut(faint, _TARGET)
    assert (cut / SAMPLE_RATE, hard) == (pytest.approx(5.25, abs=0.02), False)


def test_pure_silence_is_cut_at_the_target() -> None:
    chunks = _chunks(np.zeros(17 * SAMPLE_RATE, np.int16))
    assert [round(chunk.end_s, 2) for chunk in chunks[:2]] == [5.0, 10.0]
    assert not any(chunk.hard_cut for chunk in chunks)


def test_no_sound_gives_no_chunk() -> None:
    assert _chunks(np.empty(0, np.int16)) == []
