"""Which frames are chosen: exact times, no drift, keyframes if they suffice."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.media.ffmpeg import Limits
from castline.media.packets import extents, packets
from castline.media.sampling import Grid, affordable, decide, look, scaled_size, select_filter
from castline.records import VideoStream

_VIDEO = VideoStream(index=0, codec="h264", width=64, height=36)

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _source(rate: str, seconds: float, size: str = "64x36") -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"


def _times(program: str, path: Path, filters: str) -> list[float]:
    """Presentation times that leave a filter, obtained independently: by the ``framecrc`` muxer."""
    argv = [program, "-v", "error", "-nostdin", "-i", str(path), "-vf", filters, "-fps_mode", "passthrough"]
    output = subprocess.run(
        [*argv, "-enc_time_base", "1:1000000", "-f", "framecrc", "-"], capture_output=True, timeout=300, check=True
    ).stdout.decode()
    assert "#tb 0: 1/1000000" in output
    return [int(line.split(",")[2]) / 1e6 for line in output.splitlines() if not line.startswith("#")]


def _keyframes(path: Path, limits: Limits) -> list[float | None]:
    return [packet.start_s for packet in packets(path, [0], limits) if packet.keyframe]


@pytest.fixture(scope="module")
def ntsc(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """60 s at 29.97 frames per second, a keyframe every 30 frames, with B-frames."""
    path = tmp_path_factory.mktemp("sampling") / "ntsc.mp4"
    ffmpeg(*_source("30000/1001", 60), *_X264, "-g", 30, "-sc_threshold", 0, "-bf", 2, path)
    return path


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(64, 4096))
def test_sizes_fit_keep_their_aspect_and_never_grow(width: int, height: int, long_side: int) -> None:
    w, h = scaled_size(width, height, long_side)
    assert min(w, h) >= 2
    assert w <= max(width, 2)
    assert h <= max(height, 2)
    assert max(w, h) <= max(long_side, 2)
    if max(width, height) <= long_side:
        assert (w, h) == (max(2, width), max(2, height))
    else:
        factor = long_side / max(width, height)
        assert max(w, h) == long_side
        assert abs(w - width * factor) <= 2
        assert abs(h - height * factor) <= 2


@pytest.mark.parametrize("interval", [1.0, 0.5, 7.0])
def test_every_interval_gives_its_first_frame_without_drift(interval: float, ntsc: Path, limits: Limits) -> None:
    frame = 1001 / 30000
    expected = []
    for number in range(round(60 / interval)):
        first = next(n for n in range(1798) if n * frame + 0.0005 >= number * interval)
        expected.append(first * frame)
    found = _times(limits.program, ntsc, select_filter(Grid(interval, 60), 10_000))
    assert found == pytest.approx(expected[: len(found)], abs=1e-5)
    assert len(found) in (len(expected), len(expected) + 1)
    assert found[-1] > 59 - interval


def test_a_variable_frame_rate_gives_the_true_first_frame_of_every_interval(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "variable.mkv"
    # Bursts at 25 frames per second, and seconds with only one frame, a little after they begin.
    keep = "lt(mod(t,4),1)+between(mod(t,4),1.29,1.31)+between(mod(t,4),2.59,2.61)"
    ffmpeg(*_source("50", 12), *_X264, "-vf", f"select='{keep}'", "-fps_mode", "vfr", path)
    every = _times(limits.program, path, "null")
    first: dict[int, float] = {}
    for at in every:
        first.setdefault(int(at + 0.0005), at)
    assert len(first) == 9
    assert _times(limits.program, path, select_filter(Grid(1.0, 60), 10_000)) == pytest.approx(sorted(first.values()))


def test_keyframe_times_are_those_of_the_groups_of_pictures(ntsc: Path, limits: Limits) -> None:
    assert _keyframes(ntsc, limits) == pytest.approx([group * 30 * 1001 / 30000 for group in range(60)], abs=1e-4)


def test_irregular_keyframes_are_found_where_they_are(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "cuts.mkv"
    ffmpeg(*_source("25", 6), *_X264, "-force_key_frames", "0.4,2,2.2,5", "-g", 1000, "-sc_threshold", 0, path)
    assert _keyframes(path, limits) == pytest.approx([0, 0.4, 2, 2.2, 5], abs=0.002)


def test_a_container_without_keyframe_times_is_sampled_by_interval(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "old.avi"
    ffmpeg(*_source("25", 3), *_X264, "-g", 10, "-bf", 2, path)
    assert None in [packet.start_s for packet in packets(path, [0], limits)]
    assert decide("auto", 1.0, look(path, _VIDEO, limits)) == "interval"


@pytest.mark.parametrize(
    ("interval", "mode"),
    [
        (1.0, "keyframes"),  # one every 1.001 s: close enough
        (2.0, "keyframes"),
        (0.9, "interval"),
    ],
)
def test_auto_uses_keyframes_if_they_are_frequent_enough(
    interval: float, mode: str, ntsc: Path, limits: Limits
) -> None:
    assert decide("auto", interval, look(ntsc, _VIDEO, limits)) == mode


def test_one_keyframe_is_not_enough_if_no_header_gives_the_length(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    whole, live = tmp_path / "whole.webm", tmp_path / "live.webm"
    ffmpeg(*_source("25", 8), "-c:v", "libvpx", "-deadline", "realtime", "-g", 1000, whole)
    ffmpeg("-i", whole, "-c", "copy", "-f", "webm", "-live", 1, live)  # as a browser records
    assert decide("auto", 1.0, look(live, _VIDEO, limits)) == "interval"


def test_without_time_to_read_all_packets_it_falls_back_to_the_interval(
    ntsc: Path, limits: Limits, tmp_path: Path
) -> None:
    script = tmp_path / "slow-ffmpeg"
    script.write_text(f'#!/bin/sh\nexec "{limits.program}" -readrate 1 "$@"\n')
    script.chmod(0o755)
    slow = dataclasses.replace(limits, program=str(script), deadline=time.monotonic() + 4)
    assert decide("auto", 1.0, look(ntsc, _VIDEO, slow)) == "interval"
    assert slow.deadline - time.monotonic() > 1, "most of the time is left for the decode"


@pytest.mark.parametrize(
    "codec",
    [
        ("theora.mkv", "-c:v", "libtheora", "-q:v", 8),  # ffmpeg decodes only the first of its keyframes alone
        (
            "open.mkv",
            *_X264[:2],
            "-preset",
            "veryfast",
            "-x264-params",
            "open-gop=1:bframes=3",
        ),  # out of order, and few
        ("refresh.mp4", *_X264[:2], "-preset", "veryfast", "-x264-params", "intra-refresh=1"),  # recovery points
    ],
    ids=lambda codec: codec[0],
)
def test_keyframes_that_the_decoder_does_not_accept_lose_nothing(
    codec: tuple[Any, ...], split_all, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / codec[0]
    sound = ("-f", "lavfi", "-i", "sine=duration=6", "-c:a", "flac")
    ffmpeg(*_source("25", 6), *sound, *codec[1:], "-g", 25, "-pix_fmt", "yuv420p", path)
    found = split_all(path)
    assert sorted({time_ms // 1000 for time_ms in found.frames}) == list(range(6))
    assert (found.summary.sampling, found.summary.warnings) == ("interval", [])
    assert len(found.samples) == pytest.approx(6 * 16_000, abs=160)


def test_no_second_has_two_frames_if_keyframes_fail_late(
    split_all, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """By then, the first minute has already been handed on."""
    for name, gop in (("closed", 0), ("open", 1)):
        seconds = 65 if name == "closed" else 20
        codec = (*_X264[:2], "-preset", "veryfast", "-x264-params", f"open-gop={gop}:bframes=3:keyint=23:scenecut=0")
        ffmpeg(*_source("24", seconds), *codec, "-pix_fmt", "yuv420p", tmp_path / f"{name}.mkv")
    parts, path = tmp_path / "parts.txt", tmp_path / "both.mkv"
    parts.write_text("file closed.mkv\nfile open.mkv\n")
    ffmpeg("-f", "concat", "-i", parts, "-c", "copy", path)
    found = split_all(path)
    assert found.summary.sampling == "interval"
    assert len({time_ms // 1000 for time_ms in found.frames}) == 85
    assert len(found.frames) == len(found.summary.sampled_ms) == 85


def test_packets_give_the_length_of_a_stream_and_its_keyframes(ntsc: Path, limits: Limits) -> None:
    found = extents(ntsc, [0], limits)
    assert found
    assert found[0].count == pytest.approx(1798, abs=1)
    assert found[0].end_s == pytest.approx(60, abs=0.05)
    assert found[0].widest_s == pytest.approx(1.001, abs=0.002)


@pytest.mark.parametrize(
    ("asked", "duration", "most", "interval"),
    [
        (1.0, 3600.0, 50_000, 1.0),
        (1e-9, 20.0, 50_000, 0.02),  # not 20 000 frames of 362 kB
        (0.5, 36_000.0, 50_000, 0.72),
        (0.5, None, 10, 0.5),
    ],
)
def test_the_interval_is_widened_to_what_is_affordable(
    asked: float, duration: float | None, most: int, interval: float
) -> None:
    assert affordable(asked, duration, Limits(max_frames=most)) == pytest.approx(interval)


def test_a_requested_sampling_is_used_without_a_check() -> None:
    assert decide("interval", 1.0, None) == "interval"
    assert decide("keyframes", 1.0, None) == "keyframes"


def test_the_interval_is_a_plain_number_in_the_filter() -> None:
    assert re.fullmatch(r"select='[a-z_0-9().+,/*]+'", select_filter(Grid(1e-5, 60), 10))
