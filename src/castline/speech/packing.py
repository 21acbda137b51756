"""Speech without its pauses, for engines that always hear thirty seconds whatever they are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE
from castline.speech.whisper import WINDOW_S


@dataclass(frozen=True, slots=True)
class Pack:
    """Stretches of speech, one after the other.

    Attributes:
        samples: mono 16 kHz, shape (n,), float32; no longer than Whisper's window.
        pieces: for each stretch its start in the pack, and its start and end in the audio, seconds.
    """

    samples: NDArray[np.float32]
    pieces: tuple[tuple[float, float, float], ...]

    def in_audio(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Times in the audio of something heard in the pack; it belongs to the stretch its middle is in."""
        middle = (start_s + end_s) / 2
        at, first, last = next((piece for piece in reversed(self.pieces) if piece[0] <= middle), self.pieces[0])
        start = min(max(first, first + start_s - at), last)
        return start, min(max(start, first + end_s - at), last)


def packs(samples: NDArray[np.float32]) -> Iterator[Pack]:
    """All speech of the audio, in packs that fill Whisper's window as well as stretches allow.

    Every call of the encoder costs the same, so a window per sentence would cost several times as much.
    """
    from castline.speech.voice import windows

    stretches: list[tuple[float, float]] = []
    for start, end in windows(samples, longest_s=WINDOW_S):
        if stretches and sum(last - first for first, last in stretches) + end - start > WINDOW_S:
            yield _pack(samples, stretches)
            stretches = []
        stretches.append((start, end))
    if stretches:
        yield _pack(samples, stretches)


def _pack(samples: NDArray[np.float32], stretches: list[tuple[float, float]]) -> Pack:
    at, parts, pieces = 0, [], []
    for start, end in stretches:
        part = samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        pieces.append((at / SAMPLE_RATE, start, end))
        parts.append(part)
        at += len(part)
    return Pack(np.ascontiguousarray(np.concatenate(parts), np.float32), tuple(pieces))
