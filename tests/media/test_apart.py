"""Frames and sound fail separately; frames keep their own size; limits are reported."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from castline.media import SplitSummary, probe, split
from castline.media.confine import confine, spawn
from castline.media.ffmpeg import Limits
from castline.records import Options

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _sizes(frames: dict[int, bytes]) -> dict[int, tuple[int, int]]:
    return {at: cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape[1::-1] for at, jpeg in frames.items()}  # type: ignore[misc]


def _breaking(limits: Limits, folder: Path, option: str) -> Limits:
    """An ffmpeg that crashes after two seconds of media at a given request."""
    script = folder / "ffmpeg"
    crash = f'"{limits.program}" -t 2 "$@"; kill -SEGV $$'
    script.write_text(f'#!/bin/sh\ncase "$*" in *"{option}"*) {crash};; esac\nexec "{limits.program}" "$@"\n')
    script.chmod(0o755)
    return dataclasses.replace(limits, program=str(script))


@pytest.mark.parametrize(
    ("breaks", "word", "whole_frames", "whole_sound"),
    [("-f image2", "pictures", False, True), ("pcm_f32le", "sound", True, False)],
)
def test_a_decoder_that_crashes_loses_only_its_own_stream(
    breaks: str,
    word: str,
    whole_frames: bool,
    whole_sound: bool,
    limits: Limits,
    ffmpeg: Callable[..., None],
    split_all,
    tmp_path: Path,
) -> None:
    path = tmp_path / "film.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=6")
    ffmpeg(*picture, "-f", "lavfi", "-i", "sine=duration=6", "-c:a", "pcm_s16le", *_X264, path)
    found = split_all(path, _breaking(limits, tmp_path, breaks), sampling="interval")
    assert found.summary.error
    assert found.summary.error.message.startswith(f"the {word} could not all be decoded: ffmpeg crashed")
    assert found.summary.sampled_ms == ([0, 1000, 2000, 3000, 4000, 5000] if whole_frames else [0, 1000])
    assert found.summary.audio_s == pytest.approx(6 if whole_sound else 2, abs=0.1)
    assert len(found.samples) == pytest.approx(found.summary.audio_s * 16000, abs=2), "nothing twice"


@pytest.mark.parametrize("order", [(0, 1), (1, 0, 1, 0)])
def test_frames_that_change_their_size_are_scaled_each_by_its_own_factor(
    order: tuple[int, ...], ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    shapes = ((320, 180), (180, 320))
    parts = []
    for number, shape in enumerate(order):
        part = tmp_path / f"{number}.ts"
        width, height = shapes[shape]
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=25:duration=3", *_X264,
               "-output_ts_offset", 3 * number, part)  # fmt: skip
        parts.append(part.read_bytes())
    path = tmp_path / "turned.ts"
    path.write_bytes(b"".join(parts))
    found = split_all(path, sampling="interval", interval_s=0.5, long_side=160, frames_per_unit=4)
    sizes = _sizes(found.frames)
    assert len(sizes) == len(found.summary.sampled_ms) == pytest.approx(6 * len(order), abs=1)
    for at, size in sizes.items():
        if 200 < at % 3000 < 2800:
            assert size == ((160, 90), (90, 160))[order[at // 3000]], at
    named = [frame.time_ms for unit in found.summary.units() if unit.kind == "frames" for frame in unit.frames]
    assert sorted(named) == sorted(sizes)


def test_hdr_is_shown_as_on_a_screen(ffmpeg: Callable[..., None], split_all, tmp_path: Path) -> None:
    """White paper in PQ is at 58 % of the code values: without a tone curve it is grey, and faces are flat."""
    path, grey = tmp_path / "pq.mkv", tmp_path / "sdr.mkv"
    source = ("-f", "lavfi", "-i", "color=c=0x949494:size=64x64:rate=5:duration=1,format=yuv420p10le")
    colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    ffmpeg(*source, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:{colours}", path)
    ffmpeg(*source, *_X264, grey)
    found, plain = split_all(path), split_all(grey)
    assert found.probed.video
    assert found.probed.video.hdr
    (bright, *_), (dim, *_) = (
        [float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 0).mean()) for jpeg in each.frames.values()]
        for each in (found, plain)
    )
    assert dim < 155 < bright


def test_frames_and_units_are_limited_and_the_limit_is_reported(
    ffmpeg: Callable[..., None], split_all, tmp_path: Path
) -> None:
    path = tmp_path / "flicker.mp4"
    noise = "nullsrc=size=16x16:rate=500:duration=4,geq=lum='random(1)*255':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", noise, *_X264, path)
    found = split_all(path, interval_s=0.0005, frames_per_unit=1)
    assert len(found.summary.sampled_ms) == 200
    (warning,) = found.summary.warnings
    assert (warning.code, warning.message) == (
        "capped", "a frame every 0.02 s was looked at, not every 0.0005 s: the limit"
    )  # fmt: skip


def test_a_setting_limits_frames_and_units(odd_media: dict[str, Path], limits: Limits) -> None:
    few = dataclasses.replace(limits, max_frames=10, max_units=3)
    path = odd_media["both.mp4"]
    for declared in (2.0, None):
        probed = probe(path, few).model_copy(update={"duration_s": declared})
        summary = SplitSummary()
        options = Options(sampling="interval", interval_s=0.04, frames_per_unit=1)
        list(split(path, probed, options, few, summary, max_duration_s=60))
        assert len(summary.sampled_ms) == 10
        assert len(summary.frame_units) <= 3
        assert "capped" in [warning.code for warning in summary.warnings]
    assert summary.sampled_ms[-1] < 500, "without a length, the first ones are kept"


def test_a_process_cannot_gain_privileges_and_has_limited_resources(tmp_path: Path) -> None:
    process = spawn(["/bin/sh", "-c", "sleep 0.3; cat /proc/self/status /proc/self/limits"], {"LC_ALL": "C"})
    confine(process.pid, 500, 7)
    said = process.communicate()[0].decode()
    assert re.search(r"^NoNewPrivs:\s+1$", said, re.MULTILINE)
    bounds = dict(re.findall(r"^(Max [a-z ]+?)\s{2,}(\d+)\s", said, re.MULTILINE))
    assert int(bounds["Max address space"]) == 500 * 1024 * 1024
    assert int(bounds["Max file size"]) == 64 * 1024 * 1024
    assert int(bounds["Max cpu time"]) == 7 * (os.cpu_count() or 1) + 2
    assert 0 < int(bounds["Max processes"]) < 100_000
    assert "NoNewPrivs:\t0" in Path("/proc/thread-self/status").read_text(), "no other process is bound by it"
