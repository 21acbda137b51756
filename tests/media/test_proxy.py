"""Which recordings browsers can play, and which proxy the others get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from castline.media import is_played, make_proxy, probe, proxy
from castline.media.ffmpeg import Limits


@pytest.mark.parametrize(
    ("name", "played"),
    [
        ("both.mp4", True), ("no-video.mp4", True), ("voice.ogg", True), ("voice.mp3", True), ("voice.flac", True),
        ("voice.m4a", True), ("late-sound.mkv", False), ("whole.ts", False),
    ],
)  # fmt: skip
def test_formats_that_browsers_play(odd_media: dict[str, Path], limits: Limits, name: str, played: bool) -> None:
    assert is_played(probe(odd_media[name], limits)) is played


@pytest.fixture
def film(ffmpeg: Callable[..., None], tmp_path: Path) -> Path:
    """MPEG-1 of odd size, with sound in a codec that no browser plays."""
    path = tmp_path / "film.mpg"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=330x182:rate=25:duration=2")
    ffmpeg(*picture, "-f", "lavfi", "-i", "sine=duration=2", "-c:v", "mpeg1video", "-c:a", "mp2", path)
    return path


def test_another_codec_is_transcoded(film: Path, limits: Limits, tmp_path: Path) -> None:
    target = tmp_path / "proxy.mp4"
    probed = probe(film, limits)
    assert make_proxy(film, probed, limits, 60, target)
    made = probe(target, limits)
    assert is_played(made) and made.video and made.audio
    assert (made.video.codec, made.video.width, made.audio.codec) == ("h264", 330, "aac")
    assert made.duration_s == pytest.approx(2, abs=0.15)


def test_h264_in_another_container_is_copied(odd_media: dict[str, Path], limits: Limits, tmp_path: Path) -> None:
    target = tmp_path / "proxy.mp4"
    source = odd_media["late-sound.mkv"]
    assert make_proxy(source, probe(source, limits), limits, 60, target)
    made = probe(target, limits)
    assert made.video and made.video.codec == "h264" and is_played(made)


def test_the_transcribed_track_is_the_one_in_the_proxy(
    ffmpeg: Callable[..., None], limits: Limits, tmp_path: Path
) -> None:
    path, target = tmp_path / "two.mp4", tmp_path / "proxy.mp4"
    silence, tone = "anullsrc=duration=2:sample_rate=44100", "sine=duration=2:sample_rate=22050"
    sound = ("-f", "lavfi", "-t", 2, "-i", silence, "-f", "lavfi", "-i", tone, "-map", 0, "-map", 1, "-c:a", "aac")
    ffmpeg(*sound, path)
    probed = probe(path, limits)
    assert probed.audio and probed.audio.sample_rate == 22050 and not is_played(probed)
    assert make_proxy(path, probed, limits, 60, target)
    made = probe(target, limits)
    assert made.audio and made.audio.sample_rate == 22050 and is_played(made)


def test_a_proxy_that_takes_too_long_or_is_too_large_is_dropped(
    film: Path, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, probed = tmp_path / "proxy.mp4", probe(film, limits)
    assert not make_proxy(film, probed, limits, 0.5, target)
    assert not make_proxy(film, probed, replace(limits, program="/bin/false"), 60, target)
    monkeypatch.setattr(proxy, "MAX_BYTES", 5_000)
    assert not make_proxy(film, probed, limits, 60, target)
    assert not target.exists()
