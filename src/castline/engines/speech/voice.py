"""Finds where somebody speaks: nothing else reaches a recogniser, which would invent words there.

Source: Silero VAD 6 (https://github.com/snakers4/silero-vad, MIT), the ONNX file that ships inside the
package faster-whisper, read by that package's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.records import merge_ranges

_PAUSE_MS = 100  # the shortest pause that is distinguished from speech
_JOIN_S = 1.2  # speech with a shorter pause is one stretch: longer context is transcribed better
_SHORTEST_S = 0.25  # a stretch with less speech is a click, or an unsettled detector
_PAD_S = 0.3  # consonants at the edges are quiet, and the detector misses them
_LOUDNESS_S = 0.05  # the frame whose loudness decides where speech without a pause is cut

#: After so much without speech, the detector's memory makes it miss the next short word.
_MEMORY_S = 3.0
#: So such a pause is searched once more, in blocks that know nothing of what precedes them but for so much.
_BLOCK_S, _LEAD_S, _TAIL_S = 4.0, 0.5, 1.0
#: In such a block, what was audible before is taken for speech too, such as music. Speech is so much louder than that.
_ABOVE_DB, _BEFORE_S, _USUAL = 6.0, 4.0, 75

#: Sound whose highest peak is below -26 dBFS is brought to -6 dBFS.
_QUIET, _AMPLIFIED = 0.05, 0.5

Stretch = tuple[float, float]
"""``(start_s, end_s)`` in seconds of the audio."""


def audible(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Amplify samples that are all so quiet that the detector takes a voice for silence; return others unchanged."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(_AMPLIFIED / peak) if 0 < peak < _QUIET else samples


def stretches(samples: NDArray[np.float32]) -> list[Stretch]:
    """Where somebody speaks, according to the detector: pauses from a tenth of a second on separate stretches.

    Args:
        samples: mono 16 kHz, shape (n,), float32 in -1..1; n may be 0.

    Returns:
        ``(start_s, end_s)`` in seconds, in order, inside the audio, not overlapping; empty if nobody speaks. The same
        samples give the same stretches, whatever was processed before.

    Raises:
        ModelNotFound: faster-whisper, whose package carries the net, is not installed.
    """
    samples = audible(samples)
    found = _detect(samples)
    return merge_ranges([*found, *_after_silence(samples, found)], _PAUSE_MS / 1000)


def _detect(samples: NDArray[np.float32]) -> list[Stretch]:
    """What the detector takes for speech, with a memory of all that precedes."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError as error:
        raise ModelNotFound(
            "finding speech needs Silero's net, shipped in faster-whisper, which is not here"
        ) from error

    found = get_speech_timestamps(samples, VadOptions(min_silence_duration_ms=_PAUSE_MS, speech_pad_ms=0))
    return [(item["start"] / SAMPLE_RATE, item["end"] / SAMPLE_RATE) for item in found]


def _after_silence(samples: NDArray[np.float32], found: Sequence[Stretch]) -> Iterator[Stretch]:
    """Speech that the detector misses in and after long pauses."""
    length = len(samples) / SAMPLE_RATE
    for (_, begin), (until, _) in pairwise([(0.0, 0.0), *found, (length, length)]):
        if until - begin < _MEMORY_S:
            continue
        pieces: list[Stretch] = []
        for at in np.arange(begin, until, _BLOCK_S).tolist():
            first = max(begin, at - _LEAD_S)
            block = _between(samples, first, at + _BLOCK_S + _TAIL_S)
            pieces += [
                (max(at, first + start), min(first + end, until))
                for start, end in (_detect(block) if block.any() else ())
                if first + start < min(at + _BLOCK_S, until) and first + end > at
            ]
        yield from (piece for piece in merge_ranges(pieces, _PAUSE_MS / 1000) if _stands_out(samples, *piece))


def _stands_out(samples: NDArray[np.float32], start: float, end: float) -> bool:
    """Whether a stretch is clearly louder than what precedes it."""
    before = _levels(_between(samples, max(0.0, start - _BEFORE_S), start))
    inside = _levels(_between(samples, start, end))
    return bool(len(before) and len(inside) and np.median(inside) - np.percentile(before, _USUAL) > _ABOVE_DB)


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The level of each frame, dBFS."""
    size = int(_LOUDNESS_S * SAMPLE_RATE)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    levels: NDArray[np.float64] = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-10)
    return levels


def _between(samples: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    return samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]


def windows(
    samples: NDArray[np.float32], *, longest_s: float, spoken: Sequence[Stretch] | None = None
) -> list[Stretch]:
    """Stretches that contain speech, near ones joined, each with a margin.

    A stretch that would be too long is cut at its longest pause, or if it has none, at the quietest moment of its
    middle third.

    Args:
        samples: as for ``stretches``.
        longest_s: no stretch is longer, margins included; more than a second.
        spoken: the result of ``stretches`` for the samples, if known.

    Returns:
        As ``stretches``.

    Raises:
        ModelNotFound: as ``stretches``.
    """
    runs: list[list[Stretch]] = []
    for start, end in stretches(samples) if spoken is None else spoken:
        if runs and start - runs[-1][-1][1] < _JOIN_S:
            runs[-1].append((start, end))
        else:
            runs.append([(start, end)])
    heard = [run for run in runs if sum(end - start for start, end in run) >= _SHORTEST_S]
    found = [stretch for run in heard for stretch in _cut(run, samples, longest_s - 2 * _PAD_S)]
    befores = [-np.inf, *(end for _, end in found)]
    afters = [*(start for start, _ in found[1:]), np.inf]
    length = len(samples) / SAMPLE_RATE
    return [
        (max(0.0, start - _PAD_S, (before + start) / 2), min(length, end + _PAD_S, (end + after) / 2))
        for (start, end), before, after in zip(found, befores, afters, strict=False)
    ]


def _cut(run: list[Stretch], samples: NDArray[np.float32], longest_s: float) -> list[Stretch]:
    """A run of speech as one stretch, or as several if it is too long."""
    start, end = run[0][0], run[-1][1]
    if end - start <= longest_s:
        return [(start, end)]
    if len(run) > 1:
        pauses = [after[0] - before[1] for before, after in pairwise(run)]
        at = 1 + max(range(len(pauses)), key=lambda index: (pauses[index], -abs(2 * index + 1 - len(pauses))))
        return _cut(run[:at], samples, longest_s) + _cut(run[at:], samples, longest_s)
    moment = _quietest(samples, start + (end - start) / 3, end - (end - start) / 3)
    return _cut([(start, moment)], samples, longest_s) + _cut([(moment, end)], samples, longest_s)


def _quietest(samples: NDArray[np.float32], start: float, end: float) -> float:
    """The middle of the quietest frame between two times, in seconds."""
    size = int(_LOUDNESS_S * SAMPLE_RATE)
    quietest = int(np.argmin(_levels(_between(samples, start, end))))
    return (int(start * SAMPLE_RATE) + (quietest + 0.5) * size) / SAMPLE_RATE
