"""Picture and sound stay on one clock, whatever the file's own clock does: a tone is heard when it sounds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from castline.media import AudioPiece
from castline.media.chunks import SAMPLE_RATE
from castline.records import AudioUnit

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", 25)


def _film(*beeps_s: float, seconds: float = 4) -> tuple[str, ...]:
    """Grey, and white during beeps: picture and sound show the same times."""
    return *_picture(*beeps_s, seconds=seconds), *_sound(*beeps_s, seconds=seconds)


def _picture(*beeps_s: float, seconds: float = 4) -> tuple[str, ...]:
    white = f"drawbox=c=white:t=fill:enable='{_during(beeps_s)}'"
    return "-f", "lavfi", "-i", f"color=gray:size=160x90:rate=25:duration={seconds},{white}"


def _sound(*beeps_s: float, seconds: float = 4, rate: int = 48000, channels: int = 1) -> tuple[str, ...]:
    one = f"0.5*sin(2*PI*1000*t)*({_during(beeps_s)})"
    return "-f", "lavfi", "-i", f"aevalsrc='{'|'.join([one] * channels)}':d={seconds}:s={rate}"


def _during(beeps_s: tuple[float, ...]) -> str:
    return "+".join(f"between(t,{beep},{beep + 0.2})" for beep in beeps_s)


def _heard(samples: NDArray[np.float32]) -> list[float]:
    """When tones begin, in seconds."""
    loud = np.abs(samples) > 0.1
    quiet_before = np.convolve(loud, np.ones(SAMPLE_RATE // 20))[: len(loud)] - loud == 0
    return [float(at) / SAMPLE_RATE for at in np.flatnonzero(loud & quiet_before)]


def _seen(frames: dict[int, bytes]) -> list[float]:
    """When the picture turns white, in seconds."""
    white = {
        at: float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).mean()) > 200
        for at, jpeg in frames.items()
    }
    return [at / 1000 for before, at in pairwise(sorted(white)) if white[at] and not white[before]]


def _joined(folder: Path, name: str, *parts: Path) -> Path:
    path = folder / name
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("container", ["mkv", "mp4", "ts", "flv"])
def test_a_clock_that_begins_at_five_seconds(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / f"late.{container}"
    ffmpeg(*_film(1, 3), *_X264, "-output_ts_offset", 5, path)
    found = split_all(path, sampling="interval", interval_s=0.04)
    assert _heard(found.samples) == pytest.approx([1, 3], abs=0.06)
    assert _seen(found.frames) == pytest.approx([1, 3], abs=0.06)
    assert found.summary.duration_s(found.probed) == pytest.approx(4, abs=0.1)
    # FLV cannot say so in its first packets: whatever it says is recorded.
    assert found.probed.start_s == pytest.approx({"ts": 6.4}.get(container, 5), abs=0.1) or container == "flv"
    assert found.summary.warnings == []


def test_a_change_of_channels_does_not_move_what_follows(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    surround, stereo = tmp_path / "1.ts", tmp_path / "2.ts"
    ffmpeg(*_sound(1, channels=6), "-c:a", "ac3", surround)
    ffmpeg(*_sound(1, channels=2), "-c:a", "ac3", "-output_ts_offset", 4, stereo)
    found = split_all(_joined(tmp_path, "tv.ts", surround, stereo))
    assert _heard(found.samples) == pytest.approx([1, 5], abs=0.08)
    assert found.summary.audio_s == pytest.approx(8, abs=0.1)


def test_a_change_of_rate_does_not_move_what_follows(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    one, other = tmp_path / "1.mp3", tmp_path / "2.mp3"
    ffmpeg(*_sound(1, channels=2, rate=44100), "-write_xing", 0, one)
    ffmpeg(*_sound(1, rate=22050), "-write_xing", 0, other)
    found = split_all(_joined(tmp_path, "joined.mp3", one, other))
    assert _heard(found.samples) == pytest.approx([1, 5], abs=0.15)
    assert found.summary.duration_s(found.probed) == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("container", ["ts", "mkv"])
def test_recordings_joined_end_to_end_follow_each_other(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    one, other = tmp_path / f"1.{container}", tmp_path / f"2.{container}"
    ffmpeg(*_film(1), *_X264, one)
    ffmpeg(*_film(2), *_X264, other)
    found = split_all(_joined(tmp_path, f"joined.{container}", one, other), sampling="interval", interval_s=0.04)
    assert _heard(found.samples) == pytest.approx([1, 6], abs=0.15)
    assert _seen(found.frames) == pytest.approx([1, 6], abs=0.15)
    assert found.summary.duration_s(found.probed) == pytest.approx(8, abs=0.3)


def test_a_clock_that_jumps_by_hours_between_two_recordings(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    one, other = tmp_path / "1.ts", tmp_path / "2.ts"
    ffmpeg(*_film(1), *_X264, one)
    ffmpeg(*_film(2), *_X264, "-output_ts_offset", 14 * 3600, other)
    path = _joined(tmp_path, "jump.ts", one, other)
    found = split_all(path, sampling="interval", interval_s=0.04, max_duration_s=12 * 3600)
    assert _heard(found.samples) == pytest.approx([1, 6], abs=0.15)
    assert _seen(found.frames) == pytest.approx([1, 6], abs=0.15)
    assert found.probed.duration_s == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("container", ["mkv", "ts"])
def test_a_gap_in_the_sound_alone_moves_neither_picture_nor_sound(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / f"gap.{container}"
    ffmpeg(*_film(1, 38, seconds=40), *_X264, "-af", "aselect='lt(t,5)+gt(t,35)'", path)
    found = split_all(path, sampling="interval", interval_s=0.04, chunk_s=10)
    units = [piece.unit for piece in found.pieces if isinstance(piece, AudioPiece)]
    assert [(round(unit.start_s), round(unit.end_s)) for unit in units] == [(0, 5), (35, 40)]
    second = found.samples[round(units[0].end_s * SAMPLE_RATE) :]
    assert [units[1].start_s + at for at in _heard(second)] == pytest.approx([38], abs=0.1)
    assert _seen(found.frames) == pytest.approx([1, 38], abs=0.1)


def test_a_gap_of_hours_is_kept_in_time_and_not_in_bytes(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "gap.mkv"
    ffmpeg(*_sound(1, 3), "-af", "asetpts='PTS+gte(T,2)*8*3600/TB'", "-c:a", "libopus", path)
    found = split_all(path, max_duration_s=12 * 3600)
    units = found.summary.units()
    assert all(isinstance(unit, AudioUnit) for unit in units)
    assert [(round(unit.start_s), round(unit.end_s)) for unit in found.summary.audio_units] == [(0, 2), (28802, 28804)]
    assert len(found.samples) == pytest.approx(4 * SAMPLE_RATE, abs=SAMPLE_RATE // 10)
    assert found.summary.duration_s(found.probed) == pytest.approx(28804, abs=0.1)


@pytest.mark.parametrize("container", ["mkv", "mp4", "ts", "flv"])
def test_keyframes_are_on_the_same_clock_as_all_frames(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    """With keyframes only, ffmpeg finds another start of the file than with all frames."""
    path = tmp_path / f"late.{container}"
    beside = ("-itsoffset", 1.5, *_sound(1))
    ffmpeg(*_picture(2), *beside, "-map", 0, "-map", 1, *_X264, "-bf", 2, path)
    every = split_all(path, sampling="interval")
    keyframes = split_all(path, sampling="keyframes")
    assert keyframes.summary.sampled_ms == every.summary.sampled_ms
    assert _heard(keyframes.samples) == pytest.approx(_heard(every.samples), abs=0.002)
    assert _heard(every.samples) == pytest.approx([2.5], abs=0.1)


def test_sound_that_begins_late_in_a_long_video_adds_no_silence_before_it(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "late.mkv"
    ffmpeg(*_picture(1), "-itsoffset", 100, *_sound(1), "-map", 0, "-map", 1, *_X264, path)
    found = split_all(path)
    (unit,) = found.summary.audio_units
    assert unit.start_s == pytest.approx(100, abs=0.01)
    assert unit.start_s + _heard(found.samples)[0] == pytest.approx(101, abs=0.05)


def test_an_mp3_without_a_length(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "vbr.mp3"
    # Silence first, in few bytes: an estimate from them is several times too long.
    sound = "aevalsrc='0.9*(random(0)-0.5)*gt(t,4)':d=12:s=44100"
    ffmpeg("-f", "lavfi", "-i", sound, "-c:a", "libmp3lame", "-q:a", 0, "-write_xing", 0, "-id3v2_version", 0, path)
    found = split_all(path)
    assert found.summary.duration_s(found.probed) == pytest.approx(12, abs=0.1)
    assert "short_decode" not in [warning.code for warning in found.summary.warnings]


def test_a_browser_s_recording_is_measured_by_its_packets(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    whole, path = tmp_path / "whole.webm", tmp_path / "live.webm"
    ffmpeg(*_film(1, 5, seconds=8), "-c:v", "libvpx", "-deadline", "realtime", "-g", 1000, whole)
    ffmpeg("-i", whole, "-c", "copy", "-f", "webm", "-live", 1, path)
    found = split_all(path)
    assert found.probed.duration_s == pytest.approx(8, abs=0.1)
    assert found.summary.sampling == "interval"
    assert len(found.summary.sampled_ms) == 8
    assert found.summary.warnings == []


def test_a_single_frame_in_a_long_video_is_a_warning(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "still.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.04")
    ffmpeg(*picture, *_sound(1, seconds=20), "-map", 0, "-map", 1, *_X264, path)
    assert [warning.code for warning in split_all(path).summary.warnings] == ["one_frame"]


def test_truncated_video_is_a_warning_without_sound_too(
    odd_media: dict[str, Path], ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=10", *_X264, "-movflags", "+faststart", path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    found = split_all(path, sampling="interval", interval_s=0.2)
    assert "short_decode" in [warning.code for warning in found.summary.warnings]
