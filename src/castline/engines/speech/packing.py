"""Windows for engines that always process thirty seconds, whatever they are given.

Every window costs the encoder the same, so a window per sentence would cost several times as much. A window contains
the recording unchanged, pauses included, because Whisper transcribes that best: with the pauses cut out it fell into
repeating itself. Only long pauses are shortened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from castline.engines.speech.voice import Stretch, windows
from castline.engines.speech.whisper import WINDOW_S
from castline.media.chunks import SAMPLE_RATE

_LONGEST_PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class Pack:
    """Pieces of the audio, one after the other.

    Attributes:
        samples: mono 16 kHz, shape (n,), float32; no longer than Whisper's window.
        pieces: for each piece its start in the pack, and its start and end in the audio, seconds.
    """

    samples: NDArray[np.float32]
    pieces: tuple[tuple[float, float, float], ...]

    def in_audio(self, start_s: float, end_s: float) -> Stretch:
        """Times in the audio of something that was transcribed in the pack.

        It belongs to the piece that contains most of it, the earlier one if equal: a sentence's last word often seems
        to extend into the pause after it, and must not jump over what was cut out of that pause.
        """

        def heard_in(piece: tuple[float, float, float]) -> float:
            at, first, last = piece
            return min(end_s, at + last - first) - max(start_s, at)

        at, first, last = max(self.pieces, key=heard_in)
        start = min(max(first, first + start_s - at), last)
        return start, min(max(start, first + end_s - at), last)

    @property
    def span(self) -> Stretch:
        """Where the pack begins and ends in the audio."""
        return self.pieces[0][1], self.pieces[-1][2]


def packs(samples: NDArray[np.float32], spoken: Sequence[Stretch]) -> list[Pack]:
    """All speech in the audio, in packs that fill Whisper's window as well as pauses allow.

    Args:
        samples: mono 16 kHz, shape (n,), float32 in -1..1.
        spoken: where somebody speaks, as ``voice.stretches`` says.
    """
    found: list[Pack] = []
    pieces: list[Stretch] = []
    for window in windows(samples, longest_s=WINDOW_S, spoken=spoken):
        longer = _append(pieces, window)
        if pieces and sum(end - start for start, end in longer) > WINDOW_S:
            found.append(pack(samples, pieces))
            longer = [window]
        pieces = longer
    if pieces:
        found.append(pack(samples, pieces))
    return found


def _append(pieces: Sequence[Stretch], window: Stretch) -> list[Stretch]:
    """The pieces with one more window, and the shortened pause before it."""
    if not pieces:
        return [window]
    *others, (begin, end) = pieces
    start, until = window
    if start - end <= _LONGEST_PAUSE_S:
        return [*others, (begin, until)]
    return [*others, (begin, end + _LONGEST_PAUSE_S / 2), (start - _LONGEST_PAUSE_S / 2, until)]


def pack(samples: NDArray[np.float32], pieces: Sequence[Stretch]) -> Pack:
    """The pieces of the audio, one after the other."""
    at, parts, placed = 0, [], []
    for start, end in pieces:
        part = samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        placed.append((at / SAMPLE_RATE, start, end))
        parts.append(part)
        at += len(part)
    return Pack(np.ascontiguousarray(np.concatenate(parts), np.float32), tuple(placed))


def halves(samples: NDArray[np.float32], whole: Pack, spoken: Sequence[Stretch]) -> tuple[Pack, Pack] | None:
    """A pack cut at its longest pause; None if it has no pause.

    Args:
        samples: the audio from which the pack was made.
        spoken: where somebody speaks in it.
    """
    begin, end = whole.span
    inside = [(max(start, begin), min(until, end)) for start, until in spoken if until > begin and start < end]
    if len(inside) < 2:
        return None
    pauses = [(after[0] - before[1], number) for number, (before, after) in enumerate(pairwise(inside), start=1)]
    _, at = max(pauses)
    moment = (inside[at - 1][1] + inside[at][0]) / 2
    first = [(start, min(until, moment)) for _, start, until in whole.pieces if start < moment]
    second = [(max(start, moment), until) for _, start, until in whole.pieces if until > moment]
    return (pack(samples, first), pack(samples, second)) if first and second else None
