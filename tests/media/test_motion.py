"""Small grey frames, 25 per second, for watching mouths: on request, and if there are sound and video."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from castline.media import FramesPiece, MotionPiece

_TONE = ("-f", "lavfi", "-i", "sine=d=4")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest")


def _pictures(outcome) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for piece in outcome.pieces:
        if isinstance(piece, MotionPiece):
            with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                times = {int(name.removesuffix(".jpg")): archive.read(name) for name in archive.namelist()}
            assert piece.start_ms == min(times)
            found |= times
    return found


def _film(ffmpeg: Callable[..., None], path: Path, rate: int, *more: object, sound: tuple[str, ...] = _TONE) -> Path:
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={rate}:duration=4", *sound, *more, *_X264, path)
    return path


@pytest.mark.parametrize(("rate", "expected"), [(25, 100), (50, 100), (12, 48)])
def test_the_first_frame_of_every_forty_milliseconds_is_taken(split_all, ffmpeg, tmp_path, rate, expected):
    outcome = split_all(_film(ffmpeg, tmp_path / "film.mp4", rate), speakers="auto")
    found = _pictures(outcome)
    assert abs(len(found) - expected) <= 1
    assert len({time // 40 for time in found}) >= len(found) - 1
    picture = cv2.imdecode(np.frombuffer(found[min(found)], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3)
    assert np.ptp(picture.astype(int), axis=2).max() <= 2, "it is grey"


def test_sampled_frames_are_the_same_as_without(split_all, ffmpeg, tmp_path):
    path = _film(ffmpeg, tmp_path / "film.mp4", 25, "-g", "25")
    for sampling in ("interval", "keyframes"):
        watched, plain = (split_all(path, sampling=sampling, speakers=each) for each in ("auto", "voices"))
        assert [piece for piece in watched.pieces if isinstance(piece, FramesPiece)] == [
            piece for piece in plain.pieces if isinstance(piece, FramesPiece)
        ]
        assert len(_pictures(watched)) == 100
        assert not _pictures(plain)


def test_without_sound_there_are_none(split_all, ffmpeg, tmp_path):
    assert not _pictures(split_all(_film(ffmpeg, tmp_path / "film.mp4", 25, sound=()), speakers="auto"))


def test_a_gap_is_not_filled(split_all, ffmpeg, tmp_path):
    path = _film(ffmpeg, tmp_path / "film.mp4", 25, "-vf", "select='lt(t,1)+gt(t,3)'", "-fps_mode", "vfr")
    found = sorted(_pictures(split_all(path, speakers="auto")))
    assert len(found) == pytest.approx(50, abs=2)
    assert max(np.diff(found)) > 1900


def test_they_are_rotated_like_the_frames(split_all, ffmpeg, tmp_path):
    ffmpeg("-display_rotation", -90, "-i", _film(ffmpeg, tmp_path / "a.mp4", 25), "-c", "copy", tmp_path / "b.mp4")
    found = _pictures(split_all(tmp_path / "b.mp4", speakers="auto"))
    assert cv2.imdecode(np.frombuffer(found[min(found)], np.uint8), cv2.IMREAD_GRAYSCALE).shape == (640, 360)
