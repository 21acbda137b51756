"""Files joined byte by byte: what is not read is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from castline import analyse
from castline.media.ffmpeg import Limits
from castline.media.probe import probe
from castline.settings import Settings

_FILM = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2")
_TONE = ("-f", "lavfi", "-i", "sine=d=2:r=44100")
_FORMATS = {
    "mp4": (*_FILM, *_TONE, "-shortest"),
    "faststart.mp4": (*_FILM, *_TONE, "-shortest", "-movflags", "faststart"),
    "mov": (*_FILM, *_TONE, "-shortest"),
    "m4a": _TONE,
    "flv": (*_FILM, *_TONE, "-shortest"),
    "wmv": (*_FILM, *_TONE, "-shortest"),
    "aiff": _TONE,
    "caf": _TONE,
    "w64": _TONE,
}
_READ_ON = {
    "fragments.mp4": (*_FILM, *_TONE, "-shortest", "-movflags", "frag_keyframe+empty_moov"),
    "wav": _TONE,
    "mkv": (*_FILM, *_TONE, "-shortest"),
    "mp3": _TONE,
}


def _followed(path: Path) -> bool:
    return probe(path, Limits.of(Settings())).followed


@pytest.mark.parametrize("name", _FORMATS)
def test_a_second_recording_that_is_not_read_is_noticed(name: str, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    one, two = tmp_path / f"one.{name}", tmp_path / f"two.{name}"
    ffmpeg(*_FORMATS[name], one)
    two.write_bytes(one.read_bytes() * 2)
    assert (_followed(one), _followed(two)) == (False, True)


@pytest.mark.parametrize("name", _READ_ON)
def test_a_second_recording_that_is_read_is_not_reported(
    name: str, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    one = tmp_path / f"one.{name}"
    ffmpeg(*_READ_ON[name], one)
    assert not _followed(one)
    if name != "fragments.mp4":
        two = tmp_path / f"two.{name}"
        two.write_bytes(one.read_bytes() * 2)
        assert not _followed(two)


def test_sound_of_another_kind_after_a_wav_is_noticed(ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    ffmpeg(*_TONE, tmp_path / "one.wav")
    ffmpeg(*_TONE, "-ar", 16000, tmp_path / "two.wav")
    joined = tmp_path / "joined.wav"
    joined.write_bytes((tmp_path / "one.wav").read_bytes() + (tmp_path / "two.wav").read_bytes())
    assert _followed(joined)


def test_the_result_says_so(ffmpeg: Callable[..., None], models_dir: Path, tmp_path: Path) -> None:
    ffmpeg(*_FILM, tmp_path / "one.mp4")
    joined = tmp_path / "joined.mp4"
    joined.write_bytes((tmp_path / "one.mp4").read_bytes() * 2)
    result = analyse(joined, settings=Settings(models_dir=models_dir))
    (said,) = [warning for warning in result.warnings if warning.code == "recordings_passed_over"]
    assert said.message.startswith("only the first recording in this file was read; others follow it")
    assert result.status == "complete"


@pytest.mark.parametrize("name", ["aiff", "caf", "w64", "wav", "wmv"])
def test_a_recording_embedded_in_the_sound_does_not_count(
    name: str, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    one, held = tmp_path / f"one.{name}", tmp_path / f"held.{name}"
    ffmpeg(*_FORMATS.get(name, _TONE), one)
    body, inside = one.read_bytes(), one.read_bytes()[:200]
    middle = len(body) // 2
    held.write_bytes(body[:middle] + inside + body[middle + len(inside) :])
    assert not _followed(held)
