"""Which frames are chosen: true times, no drift, keyframes where they suffice."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.media.ffmpeg import Limits
from castline.media.sampling import choose, keyframe_times, scaled_size, select_filter
from castline.records import VideoStream

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _source(rate: str, seconds: float, size: str = "64x36") -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"


def _times(program: str, path: Path, filters: str) -> list[float]:
    """Presentation times that come out of a filter, by a way of their own: the ``framecrc`` muxer."""
    argv = [program, "-v", "error", "-nostdin", "-i", str(path), "-vf", filters, "-fps_mode", "passthrough"]
    output = subprocess.run(
        [*argv, "-enc_time_base", "1:1000000", "-f", "framecrc", "-"], capture_output=True, timeout=300, check=True
    ).stdout.decode()
    assert "#tb 0: 1/1000000" in output
    return [int(line.split(",")[2]) / 1e6 for line in output.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def ntsc(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """60 s at 29.97 frames a second, a keyframe every 30 frames, with B-frames."""
    path = tmp_path_factory.mktemp("sampling") / "ntsc.mp4"
    ffmpeg(*_source("30000/1001", 60), *_X264, "-g", 30, "-sc_threshold", 0, "-bf", 2, path)
    return path


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(64, 4096))
def test_sizes_fit_keep_their_shape_and_never_grow(width: int, height: int, long_side: int) -> None:
    w, h = scaled_size(VideoStream(codec="h264", width=width, height=height), long_side)
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
    found = _times(limits.program, ntsc, select_filter(interval))
    assert found == pytest.approx(expected[: len(found)], abs=1e-5)
    assert len(found) in (len(expected), len(expected) + 1)
    assert found[-1] > 59 - interval


def test_a_variable_frame_rate_gives_the_true_first_frame_of_every_interval(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "variable.mkv"
    # Bursts at 25 frames a second, and seconds with one frame only, a little after they begin.
    keep = "lt(mod(t,4),1)+between(mod(t,4),1.29,1.31)+between(mod(t,4),2.59,2.61)"
    ffmpeg(*_source("50", 12), *_X264, "-vf", f"select='{keep}'", "-fps_mode", "vfr", path)
    every = _times(limits.program, path, "null")
    first: dict[int, float] = {}
    for time in every:
        first.setdefault(int(time + 0.0005), time)
    assert len(first) == 9
    assert _times(limits.program, path, select_filter(1.0)) == pytest.approx(sorted(first.values()))


def test_keyframe_times_are_those_of_the_groups_of_pictures(ntsc: Path, limits: Limits) -> None:
    assert keyframe_times(ntsc, limits) == pytest.approx([group * 30 * 1001 / 30000 for group in range(60)], abs=1e-4)


def test_irregular_keyframes_are_found_where_they_are(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "cuts.mkv"
    ffmpeg(*_source("25", 6), *_X264, "-force_key_frames", "0.4,2,2.2,5", "-g", 1000, "-sc_threshold", 0, path)
    assert keyframe_times(path, limits) == pytest.approx([0, 0.4, 2, 2.2, 5], abs=0.002)


def test_a_container_that_does_not_tell_keyframe_times_is_sampled_by_interval(
    limits: Limits, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "old.avi"
    ffmpeg(*_source("25", 3), *_X264, "-g", 10, "-bf", 2, path)
    assert keyframe_times(path, limits) == []
    assert choose("auto", 1.0, path, 3.0, limits) == "interval"


def test_sound_alone_has_no_keyframes(odd_media: dict[str, Path], limits: Limits) -> None:
    assert keyframe_times(odd_media["voice.m4a"], limits) == []
    assert keyframe_times(odd_media["cover.mp3"], limits) == []


@pytest.mark.parametrize(
    ("interval", "duration", "mode"),
    [
        (1.0, 60.06, "keyframes"),  # one every 1.001 s: near enough
        (2.0, 60.06, "keyframes"),
        (0.9, 60.06, "interval"),
        (1.0, 75.0, "interval"),  # nothing to see at the end
        (1.0, None, "keyframes"),
    ],
)
def test_auto_takes_keyframes_where_they_come_often_enough(
    interval: float, duration: float | None, mode: str, ntsc: Path, limits: Limits
) -> None:
    assert choose("auto", interval, ntsc, duration, limits) == mode


def test_what_is_asked_for_is_taken_without_a_look(limits: Limits) -> None:
    assert choose("interval", 1.0, Path("/nonexistent"), None, limits) == "interval"
    assert choose("keyframes", 1.0, Path("/nonexistent"), None, limits) == "keyframes"


def test_the_interval_is_a_plain_number_in_the_filter() -> None:
    assert re.fullmatch(r"select='[a-z_0-9().+,/]+'", select_filter(1e-5))
