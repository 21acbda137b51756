"""The pinned ffmpeg as the program under test, and short ways to split."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from castline.media import AudioPiece, FramesPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.records import Options, Probe


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one split gave."""

    probed: Probe
    pieces: list[FramesPiece | AudioPiece]
    summary: SplitSummary

    @property
    def frames(self) -> dict[int, bytes]:
        """JPEG by presentation time in ms."""
        found: dict[int, bytes] = {}
        for piece in self.pieces:
            if isinstance(piece, FramesPiece):
                with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                    found |= {int(name.removesuffix(".jpg")): archive.read(name) for name in archive.namelist()}
        return found

    @property
    def samples(self) -> NDArray[np.float32]:
        """All audio; only for splits without hard cuts."""
        bodies = [piece.body for piece in self.pieces if isinstance(piece, AudioPiece)]
        return np.concatenate([soundfile.read(io.BytesIO(body), dtype="float32")[0] for body in bodies])


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(program=imageio_ffmpeg.get_ffmpeg_exe(), timeout_s=60)


@pytest.fixture(scope="session")
def split_all(limits: Limits) -> Callable[..., Outcome]:
    """Probes and splits a file to the end: ``split_all(path, interval_s=0.5)``."""

    def run(path: Path, within: Limits | None = None, max_duration_s: float = 3600, **options: Any) -> Outcome:
        bounds = within or limits
        asked = Options(**options)
        probed = probe(path, bounds, asked)
        summary = SplitSummary()
        found = split(path, probed, asked, bounds, summary, max_duration_s=max_duration_s)
        return Outcome(probed, list(found), summary)

    return run
