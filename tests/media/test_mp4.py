"""The index of an MP4, read from hostile bytes: correctly, or not at all."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.media.decode import Part
from castline.media.mp4 import Index, NotIndexed, read_index
from castline.media.ranges import Pictures, cut, joined
from castline.media.sampling import Grid


def _index(body: bytes) -> Index:
    return read_index(lambda offset, length: body[offset : offset + length], len(body))


def test_every_sample_lies_where_the_index_says(odd_media: dict[str, Path]) -> None:
    """An access unit of H.264 in MP4 begins with the length of its first NAL unit."""
    body = odd_media["both.mp4"].read_bytes()
    index = _index(body)
    assert [track.kind for track in index.tracks] == ["vide", "soun"]
    video = index.tracks[0]
    assert (len(video.size), int(video.keyframe.sum())) == (50, 1)
    for offset, size in zip(video.offset, video.size, strict=True):
        at, end = int(offset), int(offset + size)
        while at < end:
            at += 4 + struct.unpack_from(">I", body, at)[0]
        assert at == end
    assert sum(int(track.size.sum()) for track in index.tracks) <= len(body)


def test_chunks_may_hold_different_numbers_of_samples(ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=7", "-f", "lavfi", "-i", "sine=d=9:r=44100",
           "-c:v", "libx264", "-bf", 2, "-c:a", "aac", path)  # fmt: skip
    index = _index(path.read_bytes())
    spans = sorted(
        (int(a), int(a + n)) for track in index.tracks for a, n in zip(track.offset, track.size, strict=True)
    )
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert len(index.tracks[0].size) == 175


@pytest.mark.parametrize(
    "name", ["voice.ogg", "voice.mp3", "text.mp4", "zero.mp4", "truncated.mp4", "cut-off-index.mp4", "whole.ts"]
)
def test_files_without_a_plain_index_are_not_indexed(name: str, odd_media: dict[str, Path]) -> None:
    with pytest.raises(NotIndexed):
        _index(odd_media[name].read_bytes())


def test_fragments_are_not_indexed(ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x36:duration=2", "-movflags", "frag_keyframe+empty_moov", path)
    with pytest.raises(NotIndexed, match="fragmented"):
        _index(path.read_bytes())


def test_any_damage_gives_an_index_or_none(odd_media: dict[str, Path]) -> None:
    body = odd_media["both.mp4"].read_bytes()
    moov = body.find(b"moov")
    dice = np.random.default_rng(16)
    for _ in range(300):
        damaged = bytearray(body)
        for at in dice.integers(moov, len(body), 3):
            damaged[at] = dice.choice([0, 1, 127, 128, 255])
        try:
            index = _index(bytes(damaged))
        except NotIndexed:
            continue
        for track in index.tracks:
            assert len(track.size) <= len(body)
            assert not len(track.size) or int((track.offset + track.size).max()) <= len(body)


def test_a_table_cannot_use_more_memory_than_it_has_samples(odd_media: dict[str, Path]) -> None:
    body = bytearray(odd_media["both.mp4"].read_bytes())
    at = body.find(b"stts") + 12
    body[at : at + 4] = b"\xff\xff\xff\xff"  # four thousand million samples of equal length
    with pytest.raises(NotIndexed, match="damaged"):
        _index(bytes(body))


def _pictures(starts: list[float], every: int) -> Pictures:
    start = np.array(starts)
    return Pictures(start, np.full(len(start), 0.04), np.arange(len(start)) % every == 0)


def test_ranges_are_whole_stretches_and_cover_all_frames() -> None:
    grid = Grid.of(1.0, 30)
    parts = cut(_pictures([at / 25 for at in range(25 * 400)], 200), grid, False, 100.0)
    assert [(part.begin, part.end) for part in parts] == [(0, 120), (120, 240), (240, 360), (360, None)]
    assert [part.seek_s for part in parts] == [None, 112.001, 232.001, 352.001]


@pytest.mark.parametrize(
    ("every", "length_s"), [(10_000_000, 4000.0), (25 * 300, 250.0)], ids=["one keyframe", "keyframes too rare"]
)
def test_there_is_no_border_that_gains_nothing(every: int, length_s: float) -> None:
    grid = Grid.of(1.0, 30)
    starts = [float(at) for at in range(int(length_s))]
    assert cut(_pictures(starts, every), grid, False, 60.0) == [Part(0, None)]


def test_with_keyframes_only_a_keyframe_must_follow_the_border() -> None:
    grid = Grid.of(1.0, 30)
    pictures = _pictures([float(at) for at in range(70)], 50)
    assert cut(pictures, grid, True, 60.0) == [Part(0, None, True)]
    assert len(cut(pictures, grid, False, 60.0)) == 2


@given(st.lists(st.floats(0, 2000), min_size=1, max_size=200), st.integers(1, 50), st.booleans())
def test_every_slot_belongs_to_one_range(starts: list[float], every: int, keyframes: bool) -> None:
    parts = cut(_pictures(sorted(starts), every), Grid.of(1.0, 30), keyframes, 60.0)
    assert (parts[0].begin, parts[0].seek_s, parts[-1].end) == (0, None, None)
    assert [part.end for part in parts[:-1]] == [part.begin for part in parts[1:]]
    assert all(part.begin % 60 == 0 and part.seek_s is not None and part.seek_s < part.begin for part in parts[1:])


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6)), max_size=30))
def test_joined_spans_are_in_order_and_cover_all(found: list[tuple[int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length in found]
    together = joined(spans)
    assert all(end < begin for (_, end), (begin, _) in pairwise(together))
    assert all(any(a <= begin and end <= b for a, b in together) for begin, end in spans if begin < end)


def test_stretches_contain_whole_batches() -> None:
    assert Grid.of(1.0, 30) == Grid(1.0, 60)
    assert Grid.of(10.0, 30) == Grid(10.0, 30)
    assert Grid.of(0.1, 30).stretch_s == pytest.approx(60)
    assert Grid.of(60.0, 30) == Grid(60.0, 10)
    assert Grid.of(3600.0, 30) == Grid(3600.0, 1)
