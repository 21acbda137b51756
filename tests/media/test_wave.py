"""WAV files whose header claims less than they contain."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from castline.media.unread import says_too_little

_RATE = 16_000
_SOUND = (8000 * np.sin(2 * np.pi * 400 * np.arange(3 * _RATE) / _RATE)).astype(np.int16)


def _wav(samples: np.ndarray, **how: object) -> bytes:
    body = io.BytesIO()
    soundfile.write(body, samples, _RATE, format="WAV", **{"subtype": "PCM_16", **how})
    return body.getvalue()


def _saying(length: int, body: bytes) -> bytes:
    at = body.index(b"data") + 4
    return body[:at] + struct.pack("<I", length) + body[at + 4 :]


_WHOLE = _wav(_SOUND)


@pytest.mark.parametrize(
    "body",
    [
        _saying(36, _WHOLE),
        _saying(2 * _RATE, _WHOLE),  # power failed a second after the header was last updated
        _wav(_SOUND[:_RATE]) + _SOUND[_RATE:].tobytes(),  # sent in pieces, a header with the first one
        _wav(_SOUND[:_RATE]) + _wav(_SOUND[_RATE:]),  # a header with each
    ],
    ids=["unfinished", "old", "pieces", "joined"],
)
def test_all_of_the_sound_is_read(body: bytes, split_all, tmp_path: Path) -> None:
    path = tmp_path / "recorder.wav"
    path.write_bytes(body)
    found = split_all(path)
    assert found.probed.duration_s == pytest.approx(3, abs=0.01)
    assert len(found.samples) == pytest.approx(3 * _RATE, abs=50)
    loud = np.sqrt(np.mean(np.square(found.samples.reshape(-1)[: 3 * _RATE // 800 * 800].reshape(-1, 800)), axis=1))
    assert loud.min() > 0.1
    assert found.summary.warnings == []


@pytest.mark.parametrize(
    "body",
    [
        _WHOLE,
        _saying(0, _WHOLE),  # unknown length: ffmpeg reads on
        _saying(0xFFFFFFFF, _WHOLE),
        _saying(3_000_000_000, _WHOLE),
        _WHOLE + b"LIST" + struct.pack("<I", 8000) + bytes(8000),
        _WHOLE + b"LIST" + struct.pack("<I", 80_000) + bytes(8000),  # cut off
        _WHOLE + b"\1" * 300,
        _WHOLE + _wav(_SOUND.astype(np.float32), subtype="FLOAT"),  # read as the first one's samples, this is noise
        b"RIFF",
        _WHOLE[:30],
        b"",
        b"RIFF\0\0\0\0WAVE" + bytes(5000),
        b"RIFF\0\0\0\0AVI data" + bytes(5000),
    ],
)
def test_sufficient_headers_are_believed(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recorder.wav"
    path.write_bytes(body)
    assert not says_too_little(path)


def test_a_file_that_disappeared_is_ignored(tmp_path: Path) -> None:
    assert not says_too_little(tmp_path / "gone.wav")
