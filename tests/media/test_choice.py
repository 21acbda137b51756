"""The right one of several streams is chosen, and the result says which and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from castline.media import probe
from castline.media.chunks import SAMPLE_RATE
from castline.media.ffmpeg import Limits
from castline.media.languages import same_language
from castline.records import Options

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_SILENCE = ("-f", "lavfi", "-i", "anullsrc=d=4")


def _tone(hertz: int, seconds: float = 4) -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"sine=frequency={hertz}:duration={seconds}:sample_rate=48000"


def _pitch(samples: NDArray[np.float32]) -> int:
    """The strongest frequency in Hz, rounded to tens; 0 for silence."""
    spectrum = np.abs(np.fft.rfft(samples))
    strongest = float(np.argmax(spectrum)) * SAMPLE_RATE / len(samples)
    return round(strongest / 10) * 10 if spectrum.max() > 1 else 0


def _tracks(ffmpeg: Callable[..., None], path: Path, *inputs: tuple[str, ...], more: tuple[object, ...] = ()) -> Path:
    sources = [part for each in inputs for part in each]
    maps = [part for index in range(len(inputs)) for part in ("-map", index)]
    ffmpeg(*sources, *maps, *_X264, *more, path)
    return path


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_the_default_track_is_transcribed(
    container: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    second = ("-disposition:v", "default", "-disposition:a:0", 0, "-disposition:a:1", "default")
    path = _tracks(ffmpeg, tmp_path / f"two.{container}", _PICTURE, _tone(300), _tone(500), more=second)
    found = split_all(path)
    assert _pitch(found.samples) == 500
    assert [(stream.kind, stream.default, stream.used) for stream in found.probed.streams] == [
        ("video", True, True),
        ("audio", False, False),
        ("audio", True, True),
    ]
    (warning,) = found.summary.warnings
    assert warning.code == "streams_passed_over"
    assert "sound track 2 (" in warning.message
    assert "the default" in warning.message


def test_a_silent_track_is_passed_over(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = _tracks(ffmpeg, tmp_path / "silent.mkv", _PICTURE, _SILENCE, _tone(500))
    found = split_all(path)
    assert _pitch(found.samples) == 500
    assert [stream.note for stream in found.probed.streams[1:]] == ["silent", "the first that is not silent"]


@pytest.mark.parametrize(("mark", "said"), [("comment", "comment"), ("visual_impaired", "visual impaired")])
def test_a_commentary_is_passed_over_for_the_film_s_own_sound(
    mark: str, said: str, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    both = _tracks(ffmpeg, tmp_path / "both.mkv", _PICTURE, _tone(300), _tone(500))
    path = tmp_path / "film.mkv"
    ffmpeg("-i", both, "-map", 0, "-c", "copy", "-disposition:a:0", f"default+{mark}", "-disposition:a:1", 0, path)
    found = split_all(path)
    assert _pitch(found.samples) == 500
    assert [stream.note for stream in found.probed.streams[1:]] == [said, "the first"]
    assert _pitch(split_all(path, audio_track=1).samples) == 300


def test_if_all_tracks_are_silent_the_first_is_chosen(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = _tracks(ffmpeg, tmp_path / "silent.mkv", _PICTURE, _SILENCE, _SILENCE)
    assert [stream.used for stream in split_all(path).probed.streams] == [True, True, False]


def test_a_much_shorter_track_is_passed_over(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = _tracks(ffmpeg, tmp_path / "jingle.mkv", _PICTURE, _tone(300, 1), _tone(500))
    found = split_all(path)
    assert _pitch(found.samples) == 500
    assert [stream.note for stream in found.probed.streams[1:]] == ["much shorter", "of full length"]


@pytest.mark.parametrize(
    ("asked", "pitch"),
    [
        ({}, 300),
        ({"audio_track": 2}, 500),
        ({"audio_track": 1}, 300),
        ({"language": "de"}, 500),
        ({"language": "de-AT", "audio_track": 1}, 300),
        ({"language": "fr"}, 300),
    ],
)
def test_a_requested_track_is_transcribed(
    asked: dict[str, object], pitch: int, ffmpeg: Callable[..., None], split_all, limits: Limits, tmp_path: Path
) -> None:
    languages = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger")
    path = _tracks(ffmpeg, tmp_path / "two.mkv", _PICTURE, _tone(300), _tone(500), more=languages)
    found = split_all(path, **asked)
    assert _pitch(found.samples) == pitch
    assert [stream.language for stream in found.probed.streams[1:]] == ["eng", "ger"]


def test_a_missing_track_is_a_warning(odd_media: dict[str, Path], split_all) -> None:
    found = split_all(odd_media["both.mp4"], audio_track=3)
    assert found.summary.audio_s > 1.9
    (warning,) = found.summary.warnings
    assert warning.code == "option_ignored"
    assert warning.message == "sound track 3 was not heard: there is 1"


def test_a_still_is_not_mistaken_for_the_film(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = tmp_path / "still-first.mp4"
    still = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.04")
    ffmpeg(*still, *_PICTURE, "-map", 0, "-map", 1, *_X264, "-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", path)
    found = split_all(path)
    assert found.probed.video
    assert (found.probed.video.index, found.probed.video.width) == (1, 160)
    assert len(found.summary.sampled_ms) == 4
    assert [warning.code for warning in found.summary.warnings] == ["streams_passed_over"]


def _without_decoder(path: Path, codec: bytes, other: bytes) -> None:
    """Rename a codec's first stream in a QuickTime file to something that nobody can decode."""
    content = path.read_bytes()
    index = content.index(b"moov")
    path.write_bytes(content[:index] + content[index:].replace(codec, other, 1))


def test_a_track_without_a_decoder_is_passed_over(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    path = _tracks(ffmpeg, tmp_path / "spatial.mov", _PICTURE, _tone(300), _tone(500), more=("-c:a", "pcm_s16le"))
    _without_decoder(path, b"sowt", b"apac")
    found = split_all(path)
    assert _pitch(found.samples) == 500
    assert len(found.frames) == 4
    assert found.summary.error is None
    assert found.probed.streams[1].note == "there is no decoder for it"


@pytest.mark.parametrize(
    ("codec", "other", "words", "units"),
    [
        (b"avc1", b"xvc9", "the pictures (xvc9) cannot be read", ["audio"]),
        (b"sowt", b"apac", "the sound (apac) cannot be read", ["frames"]),
    ],
)
def test_an_undecodable_stream_does_not_affect_the_other(
    codec: bytes, other: bytes, words: str, units: list[str], ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = _tracks(ffmpeg, tmp_path / "half.mov", _PICTURE, _tone(300), more=("-c:a", "pcm_s16le"))
    _without_decoder(path, codec, other)
    found = split_all(path)
    assert found.summary.error
    assert found.summary.error.message.startswith(words)
    assert [unit.kind for unit in found.summary.units()] == units


def test_lengths_and_loudness_are_measured_only_if_there_is_a_choice(
    odd_media: dict[str, Path], limits: Limits, tmp_path: Path
) -> None:
    script, calls = tmp_path / "ffmpeg", tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec "{limits.program}" "$@"\n')
    script.chmod(0o755)
    probe(odd_media["both.mp4"], Limits(program=str(script)), Options())
    assert [line for line in calls.read_text().splitlines() if "-codecs" not in line] != []
    assert len([line for line in calls.read_text().splitlines() if "-codecs" not in line]) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("de", "ger", True),
        ("de-AT", "deu", True),
        ("pt_BR", "por", True),
        ("en", "eng", True),
        ("yue", "yue", True),
        ("en", "ger", False),
        ("en", "", False),
        ("", "", False),
    ],
)
def test_languages_have_many_names(one: str, other: str, same: bool) -> None:
    assert same_language(one, other) is same
