"""Where a recording has no packets for a long time although it goes on: they were lost, or it was paused.

Not every gap is one. A picture that stands still needs no packets, so pictures count as missing only if all others come
at an even rate, or the sound is missing, too. Codecs for conversations send nothing while nobody speaks. And the index
of an MP4 file, with its edit list, says of every moment what belongs there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.errors import FfmpegTimeout
from castline.media.ffmpeg import Limits
from castline.media.packets import packets
from castline.records import AudioUnit, Notice, Probe

_LEAST_S = 30.0
_MOST = 20  # warnings
_SAMPLES = 10  # so many sampled frames must be missing
_PAUSES = ("opus", "speex", "amr", "g729", "g723", "silk", "evrc", "qcelp")  # codecs that may send nothing in a pause
_EVEN_S = 0.004  # clocks of containers count milliseconds
_UNEVEN = 0.01  # share of steps that may differ: pictures lost one by one

Gap = tuple[float, float]
"""``(start_s, end_s)``, seconds of the result's clock."""


def missing(
    probed: Probe,
    sampled_ms: Iterable[int],
    interval_s: float,
    chunks: Iterable[AudioUnit],
    even: Callable[[], bool],
) -> list[Notice]:
    """A warning for each stretch that is missing in the middle of a decoded recording.

    Args:
        sampled_ms: times of the sampled frames, one for each interval.
        chunks: the sound, in order; a gap longer than a chunk separates two.
        even: whether pictures come at an even rate; asked only if it matters.
    """
    if probed.container.startswith("mov,"):
        return []
    sound = _gaps([(chunk.start_s, chunk.end_s) for chunk in chunks], _LEAST_S)
    seen = [(time_ms / 1000, time_ms / 1000 + interval_s) for time_ms in sampled_ms]
    pictures = _gaps(seen, max(_LEAST_S, _SAMPLES * interval_s))
    both = [gap for gap in pictures if _meets(gap, sound)]
    if len(both) < len(pictures) and not even():
        pictures = both
    if probed.audio and probed.audio.codec.startswith(_PAUSES):
        sound = [gap for gap in sound if _meets(gap, both)]
    return [
        Notice(
            code="stretch_missing",
            message=f"there {verb} no {what} between {start_s:.1f} s and {end_s:.1f} s in the file: lost, or paused",
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            about=what,
        )
        for what, verb, gaps in (("pictures", "are", pictures), ("sound", "is", sound))
        for start_s, end_s in gaps[:_MOST]
    ]


def _gaps(there: Sequence[Gap], least_s: float) -> list[Gap]:
    return [(before[1], after[0]) for before, after in pairwise(there) if after[0] - before[1] >= least_s]


def _meets(gap: Gap, others: Iterable[Gap]) -> bool:
    return any(min(gap[1], end) - max(gap[0], start) >= _LEAST_S / 2 for start, end in others)


def is_even(starts_s: NDArray[np.float64]) -> bool:
    """Whether pictures come at one rate, apart from long gaps.

    Args:
        starts_s: their presentation times, shape (n,), in any order.
    """
    steps = np.diff(np.sort(starts_s))
    steps = steps[steps < _LEAST_S]
    return bool(len(steps)) and bool(np.mean(np.abs(steps - np.median(steps)) > _EVEN_S) <= _UNEVEN)


def comes_evenly(path: Path, probed: Probe, limits: Limits) -> bool:
    """As ``is_even``, of a file's pictures; False if there is no time to read all packets."""
    if not probed.video:
        return False
    found = packets(path, [probed.video.index], limits, joined=probed.joined)
    try:
        return is_even(np.array([packet.start_s for packet in found if packet.start_s is not None], np.float64))
    except FfmpegTimeout:
        return False
