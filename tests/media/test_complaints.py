"""ffmpeg's complaints count as damage only if they concern what is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_TONE = ("-f", "lavfi", "-i", "sine=d=3")


def test_chained_recordings_are_whole(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    """As radio recorders write them: an Ogg stream for every piece."""
    for name, channels in (("one.opus", 1), ("two.opus", 2)):
        # More than the 64 kB at the end, in which its length is looked for.
        noise = ("-f", "lavfi", "-i", "anoisesrc=d=3:a=0.3:seed=1")
        ffmpeg(*noise, "-ac", channels, "-c:a", "libopus", "-b:a", "250k", tmp_path / name)
    chained = tmp_path / "chained.opus"
    chained.write_bytes((tmp_path / "one.opus").read_bytes() + (tmp_path / "two.opus").read_bytes())
    found = split_all(chained)
    assert found.summary.audio_s == pytest.approx(6, abs=0.05)
    assert found.summary.warnings == []


def test_a_broken_chain_is_damage(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    ffmpeg(*_TONE, "-c:a", "libopus", tmp_path / "one.ogg")
    ffmpeg(*_TONE, "-c:a", "libvorbis", tmp_path / "two.ogg")
    chained = tmp_path / "chained.ogg"
    chained.write_bytes((tmp_path / "one.ogg").read_bytes() + (tmp_path / "two.ogg").read_bytes())
    assert "damaged_input" in [warning.code for warning in split_all(chained).summary.warnings]


def test_a_damaged_cover_does_not_damage_the_sound(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    ffmpeg(*_TONE, tmp_path / "plain.mp3")
    picture = b"\x00image/jpeg\x00\x03\x00\xff\xd8\xff" + bytes(5000)
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\x03\x00\x00" + size + frame + (tmp_path / "plain.mp3").read_bytes())
    found = split_all(song)
    assert found.summary.audio_s == pytest.approx(3, abs=0.1)
    assert found.summary.warnings == []
