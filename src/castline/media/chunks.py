"""Where to cut long audio: pure planning on samples, no files, no ffmpeg.

A chunk ends in the middle of a silence near the target length. If there is none, the cut is hard: the chunks then
overlap, and assembly stitches the words (``assembly.stitch``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of all audio inside Castline, as every speech model here expects."""

HOP_S = 0.02
_HOP = int(HOP_S * SAMPLE_RATE)
_SMOOTH = 10  # hops: a pause shorter than 0.2 s, between words, is not a place to cut
_WINDOW = 0.25  # a cut may fall this share of the target length before or after it
_OVERLAP_S = 3.0  # long enough for a few words on both sides of a hard cut
_QUIET_SHARE = 0.1  # silence is below a tenth (-20 dB) of the loud parts around it …
_FLOOR = 10 ** (-60 / 20)  # … or below -60 dBFS


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples of ``[start_s, end_s)``; ``hard_cut`` if it ends in sound and overlaps the next."""

    start_s: float
    end_s: float
    samples: NDArray[np.int16]
    hard_cut: bool


class Chunker:
    """Feed samples in any portions, get chunks as soon as their end is certain.

    Args:
        target_s: wanted length in seconds.
    """

    def __init__(self, target_s: float) -> None:
        self._target = int(target_s * SAMPLE_RATE)
        self._need = int(target_s * (1 + _WINDOW) * SAMPLE_RATE) + int(_OVERLAP_S * SAMPLE_RATE)
        self._buffer = np.empty(0, np.int16)
        self._pending: list[NDArray[np.int16]] = []
        self._pending_size = 0
        self._start = 0  # of the buffer, in samples from the beginning of the media

    def feed(self, samples: NDArray[np.int16]) -> list[Chunk]:
        """Take int16 samples, shape (n,); return the chunks that are complete now."""
        self._pending.append(samples)
        self._pending_size += len(samples)
        if len(self._buffer) + self._pending_size < self._need:
            return []
        self._join()
        chunks = []
        while len(self._buffer) >= self._need:
            cut, hard = plan_cut(self._buffer, self._target)
            chunks.append(self._take(cut, hard))
        return chunks

    def jump(self, start: int) -> list[Chunk]:
        """Skip to sample ``start``: what came before becomes a chunk of its own."""
        chunks = self.finish()
        self._start = start
        return chunks

    def finish(self) -> list[Chunk]:
        """The rest, as one chunk; nothing if no sample is left."""
        self._join()
        if not len(self._buffer):
            return []
        chunk = self._take(len(self._buffer), hard=False)
        return [chunk]

    def _take(self, cut: int, hard: bool) -> Chunk:
        overlap = int(_OVERLAP_S * SAMPLE_RATE) if hard else 0
        end = min(cut + overlap, len(self._buffer))
        chunk = Chunk(self._start / SAMPLE_RATE, (self._start + end) / SAMPLE_RATE, self._buffer[:end].copy(), hard)
        rest = max(cut - overlap, 0)
        self._buffer = self._buffer[rest:]
        self._start += rest
        return chunk

    def _join(self) -> None:
        self._buffer = np.concatenate([self._buffer, *self._pending])
        self._pending, self._pending_size = [], 0


def plan_cut(samples: NDArray[np.int16], target: int) -> tuple[int, bool]:
    """The best place to cut near ``target`` samples.

    Args:
        samples: int16, shape (n,), at least 1.25 x target.

    Returns:
        Sample index, and whether it is a hard cut (no silence of 0.2 s within a quarter of target).
    """
    low, high = int(target * (1 - _WINDOW)), int(target * (1 + _WINDOW))
    level = _levels(samples[low:high])
    loud = float(np.percentile(_levels(samples[:high]), 90))
    quiet = level < max(loud * _QUIET_SHARE, _FLOOR)
    runs = [(start, end) for start, end in _runs(quiet) if end - start >= _SMOOTH]
    if runs:
        # The longest silence is the safest; among equals the nearest to the target.
        middle = (target - low) / _HOP
        start, end = max(runs, key=lambda run: (min(run[1] - run[0], 50), -abs((run[0] + run[1]) / 2 - middle)))
        return low + (start + end) * _HOP // 2, False
    # "valid": a window that reaches over the edge would look quiet, and win.
    smooth = np.convolve(level, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
    return low + (int(np.argmin(smooth)) + _SMOOTH // 2) * _HOP, True


def _levels(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """RMS per hop of 20 ms, full scale = 1, shape (n // 320,), float32."""
    hops = samples[: len(samples) // _HOP * _HOP].astype(np.float32).reshape(-1, _HOP) / 32768
    level: NDArray[np.float32] = np.sqrt(np.mean(hops * hops, axis=1, dtype=np.float32))
    return level


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
