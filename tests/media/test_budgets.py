"""Whatever a file makes ffmpeg print, and however slow the machine is, memory and time are bounded."""

from __future__ import annotations

import dataclasses
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from castline.media import SplitSummary, probe, split
from castline.media import ffmpeg as running
from castline.media.ffmpeg import Ffmpeg, Limits
from castline.media.packets import extents
from castline.records import Options
from tests.conftest import at_scale

_MB = 1 << 20
_LEAST_S = 0.1  # the time of a process that is started after the deadline


@contextmanager
def _memory(most: int) -> Iterator[None]:
    """Everything that Python allocates inside never takes more than that many bytes."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / _MB:.1f} MB"


def _saying(folder: Path, script: str) -> Limits:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Limits(program=str(program), timeout_s=60)


def test_packets_are_not_collected(tmp_path: Path) -> None:
    """As objects, 10 000 of them would be 2 MB."""
    count = at_scale(10_000, 2_000_000)
    lines = f'for (at = 1; at <= {count}; at++) print "0, " at ", " at ", 1, 100, 0x0, F=0x0"'
    limits = _saying(tmp_path, f"awk 'BEGIN {{ print \"#tb 0: 1/25\"; {lines} }}'")
    with _memory(_MB):
        found = extents(tmp_path / "any.mp4", [0], limits)
    assert found
    assert (found[0].count, found[0].end_s) == (count, (count + 1) / 25)


@pytest.mark.parametrize(
    ("script", "errors"),
    [
        ("head -c 64000000 /dev/zero | tr '\\0' x >&2", 0),
        ("printf '[error] ' >&2; head -c 64000000 /dev/zero | tr '\\0' x >&2", 1),
        ("seq -f '[error] %.0f is damaged' 1 50000 >&2", 50_000),
        ("yes 'a title of many lines' | head -n 50000 >&2", 0),
    ],
    ids=["one huge line", "one huge error", "very many errors", "very many lines"],
)
def test_ffmpeg_s_messages_are_bounded(script: str, errors: int, tmp_path: Path) -> None:
    limits = _saying(tmp_path, script)
    with _memory(2 * _MB), Ffmpeg([limits.program], limits) as process:
        process.stdout.read()
        assert process.wait() == 0
        log = process.log
    assert process.error_count == errors
    assert len(process.errors) == min(errors, 50)
    assert all(len(said) <= 4096 for said in (*process.errors, *log.split("\n")))
    with _memory(4 * _MB):
        _, _, log, _ = running.run([limits.program], limits)
    assert len(log) < 4 * _MB


class _SlowMachine:
    """A clock that only ffmpeg's processes advance: each takes ``each_s``, or its time limit, and is then killed.

    Attributes:
        allowed: seconds that each process was allowed.
    """

    def __init__(self, each_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.each_s, self.allowed = 1000.0, each_s, list[float]()
        timer = self._timer
        monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(running, "threading", SimpleNamespace(Thread=threading.Thread, Timer=timer))

    def _timer(self, seconds: float, expire: Callable[[], None]) -> SimpleNamespace:
        def start() -> None:
            self.allowed.append(seconds)
            self.now += min(self.each_s, seconds)
            if self.each_s >= seconds:
                expire()

        return SimpleNamespace(start=start, cancel=lambda: None)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """As a browser records: no length in the header; and only the first of its keyframes can be decoded alone."""
    folder = tmp_path_factory.mktemp("slow")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=6")
    sound = ("-f", "lavfi", "-i", "sine=duration=6", "-c:a", "flac")
    ffmpeg(*picture, *sound, "-c:v", "libtheora", "-q:v", 8, "-g", 25, "-pix_fmt", "yuv420p", folder / "whole.mkv")
    ffmpeg("-i", folder / "whole.mkv", "-c", "copy", "-live", 1, folder / "live.mkv")
    return folder / "live.mkv"


@pytest.mark.parametrize("each_s", [0.5, 2.0, 7.0, 12.0, 20.0, 44.0, 600.0])
def test_all_processes_of_an_invocation_share_one_deadline(
    each_s: float, recorded: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening, reading all packets, decoding and decoding again are all slow; no real second is measured."""
    machine = _SlowMachine(each_s, monkeypatch)
    deadline = machine.now + 45
    shared = dataclasses.replace(limits, timeout_s=1000, deadline=deadline)
    began, summary = time.monotonic(), SplitSummary()
    try:
        probed = probe(recorded, shared)
        list(split(recorded, probed, Options(), shared, summary, max_duration_s=3600))
    except running.FfmpegTimeout:
        assert each_s > 2, "there was enough time"
    assert machine.now <= deadline + _LEAST_S * len(machine.allowed)
    assert all(seconds <= 45 for seconds in machine.allowed)
    assert time.monotonic() - began < 45, "the test's clock is not the machine's"
    if each_s <= 2:
        assert summary.sampling == "interval", "it was decoded again"
        assert len(machine.allowed) >= 5
        assert len(summary.sampled_ms) == 6
