"""Samples are placed according to the times of their packets."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.media.chunks import SAMPLE_RATE
from castline.media.timeline import Packet, Placed, Timeline, read_packets


def _packet(time_s: float, seconds: float = 1.0) -> Packet:
    return Packet(time_s, np.ones((round(seconds * SAMPLE_RATE), 1), np.float32))


def _places(placed: list[Placed]) -> list[tuple[float, float, bool]]:
    """(start, end, sound?) in seconds."""
    return [
        (each.start / SAMPLE_RATE, (each.start + len(each.samples)) / SAMPLE_RATE, bool(each.samples.any()))
        for each in placed
    ]


@pytest.mark.parametrize(
    ("times", "places"),
    [
        ([0, 1], [(0, 1, True), (1, 2, True)]),
        ([0.25], [(0, 0.25, False), (0.25, 1.25, True)]),
        ([0, 1.05], [(0, 1, True), (1, 2, True)]),  # jitter
        ([0, 3], [(0, 1, True), (1, 3, False), (3, 4, True)]),
        ([0, 300], [(0, 1, True), (300, 301, True)]),
        ([300], [(300, 301, True)]),
        ([-0.5, 0.5], [(0, 0.5, True), (0.5, 1.5, True)]),
        ([-5, 0], [(0, 1, True)]),
        ([5, 0, 1], [(0, 5, False), (5, 6, True), (6, 7, True), (7, 8, True)]),  # the clock goes back
        ([0, 999.5, 5000], [(0, 1, True), (999.5, 1000, True)]),  # the end
    ],
)
def test_packets_are_placed_by_their_times(times: list[float], places: list[tuple[float, float, bool]]) -> None:
    timeline = Timeline(fill_s=10, end_s=1000)
    assert _places([each for time in times for each in timeline.place(_packet(time))]) == places


@given(st.lists(st.floats(-20, 200), max_size=12), st.integers(0, 12))
def test_repeated_packets_are_used_once(times: list[float], broken: int) -> None:
    once = Timeline(10, 150)
    whole = [place for time in times for place in _places(once.place(_packet(time)))]
    twice = Timeline(10, 150)
    parts = [place for time in times[:broken] for place in _places(twice.place(_packet(time)))]
    twice.again()
    parts += [place for time in times for place in _places(twice.place(_packet(time)))]
    assert parts == whole
    starts = [start for start, _, _ in whole]
    assert starts == sorted(starts)


@given(st.binary(max_size=200))
def test_a_broken_stream_ends(body: bytes) -> None:
    list(read_packets(io.BytesIO(body), 1))
