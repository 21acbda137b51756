"""Every accepted suffix stands for a format that can be probed: what phones, cameras and recorders write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from castline import keys
from castline.media import probe
from castline.media.ffmpeg import Limits

_SOUND = {
    "m4b": ("-c:a", "aac", "-f", "ipod"),
    "mka": ("-c:a", "flac"),
    "caf": ("-c:a", "pcm_s16be"),
    "mp2": ("-c:a", "mp2"),
    "ac3": ("-c:a", "ac3"),
    "eac3": ("-c:a", "eac3"),
    "au": (),
    "snd": ("-f", "au"),
    "w64": (),
    "tta": (),
    "wv": (),
    "aifc": ("-f", "aiff"),
    "spx": ("-c:a", "libopus", "-f", "ogg"),
    "dts": ("-c:a", "dca", "-strict", "-2"),
}
_PICTURE = {
    "3gpp": ("-f", "3gp", "-c:v", "mpeg4", "-c:a", "aac"),
    "mxf": ("-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-r", "25"),
    "dv": ("-target", "pal-dv"),
    "vob": ("-f", "vob", "-c:v", "mpeg2video", "-c:a", "ac3", "-r", "25"),
    "asf": ("-c:v", "mpeg4", "-c:a", "wmav2"),
    "f4v": ("-c:v", "libx264", "-c:a", "aac", "-f", "f4v"),
    "qt": ("-f", "mov", "-c:v", "mpeg4", "-c:a", "aac"),
    "m2v": ("-c:v", "mpeg2video", "-an", "-r", "25"),
    "wtv": ("-c:v", "mpeg2video", "-c:a", "mp2", "-r", "25"),
    "divx": ("-f", "avi", "-c:v", "mpeg4", "-c:a", "mp3"),
    "m2t": ("-f", "mpegts", "-c:v", "mpeg2video", "-c:a", "mp2", "-r", "25"),
}


@pytest.mark.parametrize("suffix", sorted(_SOUND.keys() | _PICTURE.keys()))
def test_it_is_accepted_and_can_be_probed(
    suffix: str, tmp_path: Path, ffmpeg: Callable[..., None], limits: Limits
) -> None:
    path = tmp_path / f"media.{suffix}"
    assert keys.is_media(path.name)
    sound = ("-f", "lavfi", "-i", "sine=duration=1:sample_rate=48000")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=352x288:rate=25:duration=1")
    if suffix in _SOUND:
        ffmpeg(*sound, *_SOUND[suffix], path)
    else:
        ffmpeg(*picture, *sound, *_PICTURE[suffix], path)
    found = probe(path, limits)
    assert (found.video is not None) == (suffix in _PICTURE)
    assert (found.audio is not None) == (suffix != "m2v")


@pytest.mark.parametrize("rate", [8000, 16_000, 32_000])
def test_speex_is_decoded_correctly(rate: int, split_all, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "note.spx"
    ffmpeg("-f", "lavfi", "-i", f"sine=frequency=400:duration=3:sample_rate={rate}", "-c:a", "libspeex", path)
    samples = split_all(path).samples
    assert len(samples) / 16_000 == pytest.approx(3, abs=0.1)
    middle = np.abs(np.fft.rfft(samples[8000:24_000]))  # a bin for each Hz
    assert np.argmax(middle) == pytest.approx(400, abs=5)
