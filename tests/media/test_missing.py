"""Packets that are missing for minutes in the middle of a recording are reported; those that never existed are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_FILM = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=5:d=150")
_TONE = ("-f", "lavfi", "-i", "sine=f=300:d=150:r=16000")
_CODED = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p")
_AAC, _OPUS = ("-c:a", "aac", "-b:a", "32k"), ("-c:a", "libopus", "-b:a", "16k")
_LOST = "noise=drop='between(pts*tb,45,120)'"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    made = {name: folder / f"{name}.mkv" for name in ("aac", "opus")}
    ffmpeg(*_FILM, *_TONE, *_CODED, *_AAC, made["aac"])
    ffmpeg("-i", made["aac"], "-c:v", "copy", *_OPUS, made["opus"])
    return made


def _said(path: Path, split_all) -> list[tuple[str, int, int]]:
    warnings = [each for each in split_all(path).summary.warnings if each.code == "stretch_missing"]
    return [(each.about, round((each.start_s or 0) / 3), round((each.end_s or 0) / 3)) for each in warnings]


_PICTURES, _SOUND = ("pictures", 15, 40), ("sound", 15, 40)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "flv"])
@pytest.mark.parametrize(("lost", "said"), [("v", [_PICTURES]), ("a", [_SOUND]), ("va", [_PICTURES, _SOUND]), ("", [])])
def test_lost_packets_are_reported(
    lost: str, said: list[tuple[str, int, int]], suffix: str, whole, ffmpeg: Callable[..., None], split_all, tmp_path
) -> None:
    path = tmp_path / f"lost.{suffix}"
    filters = [part for kind in lost for part in (f"-bsf:{kind}", _LOST)]
    ffmpeg("-i", whole["aac"], "-map", 0, "-c", "copy", *filters, path)
    assert _said(path, split_all) == said


def test_sound_that_a_codec_omits_in_a_pause_is_not_reported(
    whole, ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    ffmpeg("-i", whole["opus"], "-map", 0, "-c", "copy", "-bsf:a", _LOST, tmp_path / "muted.mkv")
    assert _said(tmp_path / "muted.mkv", split_all) == []
    ffmpeg("-i", whole["opus"], "-map", 0, "-c", "copy", "-bsf:a", _LOST, "-bsf:v", _LOST, tmp_path / "lost.mkv")
    assert _said(tmp_path / "lost.mkv", split_all) == [_PICTURES, _SOUND]


def test_a_still_screen_is_not_reported(whole, ffmpeg: Callable[..., None], split_all, tmp_path) -> None:
    """A screen recorder that writes a frame only when something moves."""
    moves = "select='lt(t,30)+between(t,30,45)*not(mod(n,7))+gt(t,120)',setpts='PTS+floor(mod(N*37,11))/100/TB'"
    coded = ("-vf", moves, "-fps_mode", "vfr", *_CODED, "-c:a", "copy")
    ffmpeg("-i", whole["aac"], *coded, tmp_path / "screen.mkv")
    assert _said(tmp_path / "screen.mkv", split_all) == []


def test_an_edit_list_explains_gaps(whole, ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    ffmpeg("-i", whole["aac"], "-map", 0, "-c", "copy", "-bsf:v", _LOST, tmp_path / "edited.mp4")
    assert _said(tmp_path / "edited.mp4", split_all) == []


def test_rare_keyframes_are_not_reported(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    rare = ("-c:v", "libx264", "-preset", "ultrafast", "-g", 250, "-sc_threshold", 0, "-pix_fmt", "yuv420p")
    ffmpeg(*_FILM, *rare, tmp_path / "rare.mkv")
    found = split_all(tmp_path / "rare.mkv", sampling="keyframes")
    assert [each.code for each in found.summary.warnings] == []
