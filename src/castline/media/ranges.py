"""Plans where a long recording is cut into ranges that can be decoded alone, and which bytes each of them needs.

A range is a number of whole stretches of the sampling grid (``sampling.Grid``). It is decoded from a keyframe before it
until a frame after it has been decoded, which shows that nothing is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from castline.media.decode import Part
from castline.media.mp4 import Index, Track
from castline.media.packets import Extent, Packet
from castline.media.sampling import Grid

Span = tuple[int, int]
"""First byte, and the one after the last."""

_BEFORE_S = 0.002  # times are rounded to a millisecond
#: ffmpeg reads on for so many samples, or keyframes if only these are decoded, before it can be stopped.
_AFTER, _KEYS_AFTER = 96, 16
_GAP = 1 << 16  # bytes that cost less than another request
_OPENING_S, _OPENING_BYTES = 6.0, 6_000_000  # what ffmpeg reads of each stream before it decodes, with a margin
_COMPARED = 64  # packets
_BACK_S = 0.5  # a clock that goes back so far belongs to another recording


@dataclass(frozen=True, slots=True)
class Pictures:
    """When the pictures of a recording are, in the order of decoding; all arrays have shape (n,).

    Attributes:
        start_s: presentation times, seconds from the recording's zero.
    """

    start_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    keyframe: NDArray[np.bool_]

    @classmethod
    def of_track(cls, track: Track, start_s: float) -> Pictures:
        return cls(track.start_s[track.shown] - start_s, track.duration_s[track.shown], track.keyframe[track.shown])

    @classmethod
    def of_packets(cls, found: Iterable[Packet]) -> Pictures | None:
        """None if a packet has no time."""
        rows = [(packet.start_s, packet.end_s, packet.keyframe) for packet in found]
        if not rows or any(start is None or end is None for start, end, _ in rows):
            return None
        starts, ends, keys = zip(*rows, strict=True)
        start = np.array(starts, np.float64)
        return cls(start, np.array(ends, np.float64) - start, np.array(keys, np.bool_))

    @property
    def extent(self) -> Extent:
        """Computed as ``packets.extents`` does."""
        keys = np.append(0.0, self.start_s[self.keyframe])
        end = float((self.start_s + self.duration_s).max(initial=0.0))
        widest = float(np.diff(keys).max(initial=0.0))
        return Extent(len(self.start_s), end, max(widest, end - float(keys[-1]), 0.0))

    def agree(self, found: Iterable[Packet]) -> bool:
        """Whether the first times are those of some packets."""
        starts = np.array([packet.start_s for packet in islice(found, _COMPARED) if packet.start_s is not None])
        starts = starts[starts >= 0]
        own = self.start_s[: len(starts)]
        return len(own) == len(starts) and bool((np.abs(own - starts) < _BEFORE_S / 4).all())

    @property
    def in_order(self) -> bool:
        """Whether the clock never goes back, apart from reordered pictures within a second."""
        reached = np.maximum.accumulate(self.start_s) if len(self.start_s) else self.start_s
        keys = self.start_s[self.keyframe]
        return bool((reached - self.start_s < _BACK_S).all() and (np.diff(keys) > 0).all())


def cut(pictures: Pictures, grid: Grid, keyframes: bool, wanted_s: float) -> list[Part]:
    """Ranges of about ``wanted_s`` seconds that together are all pictures, in order.

    There is no border where the preceding keyframe is as far away as a range is long: decoding would begin so early
    that nothing would be gained.
    """
    step = grid.slots * math.ceil(round(wanted_s / grid.stretch_s, 6))
    keys = np.sort(pictures.start_s[pictures.keyframe & (pictures.start_s >= 0)])
    last_s = float((keys if keyframes else pictures.start_s).max(initial=0.0))
    parts = [Part(0, None, keyframes)]
    for begin in range(step, math.ceil(last_s / grid.interval_s) + 1, step):
        border_s = begin * grid.interval_s
        before = keys[: int(np.searchsorted(keys, border_s - _BEFORE_S, side="right"))]
        if last_s < border_s or not len(before) or border_s - before[-1] >= step * grid.interval_s:
            continue
        parts[-1] = Part(parts[-1].begin, begin, keyframes, parts[-1].seek_s)
        parts.append(Part(begin, None, keyframes, round(float(before[-1]) + 0.001, 3)))
    return parts


def opening(index: Index) -> list[Span]:
    """The bytes that are read before anything is decoded."""
    found = list(index.boxes)
    for track in index.tracks:
        if not len(track.size):
            continue
        first_s = float(track.start_s.min())
        soon = (track.start_s <= first_s + _OPENING_S) & (np.cumsum(track.size) <= _OPENING_BYTES)
        soon[:1] = True
        found += _spans(track.offset[soon], track.size[soon])
    return joined(found)


def bytes_of(part: Part, index: Index, stream: int, grid: Grid, start_s: float) -> list[Span]:
    """The bytes that a range of pictures needs."""
    track = index.tracks[stream]
    keys = np.flatnonzero(track.keyframe)
    at_s = track.start_s[keys] - start_s
    first, end = 0, len(track.size)
    if part.seek_s is not None:
        before = keys[at_s <= part.seek_s]
        first = int(before[-2]) if len(before) > 1 else 0  # a seek may end one keyframe earlier
    if part.end is not None:
        after = keys[at_s >= part.end * grid.interval_s][: _KEYS_AFTER if part.keyframes else 1]
        end = min(int(after[-1]) + _AFTER, end) if len(after) else end
    return joined([*opening(index), *_spans(track.offset[first:end], track.size[first:end])])


def bytes_of_track(index: Index, *streams: int) -> list[Span]:
    """The bytes of whole tracks."""
    found = [_spans(index.tracks[stream].offset, index.tracks[stream].size) for stream in streams]
    return joined([*opening(index), *(span for spans in found for span in spans)])


def _spans(offset: NDArray[np.int64], size: NDArray[np.int64]) -> list[Span]:
    order = np.argsort(offset, kind="stable")
    begin = offset[order]
    end = np.maximum.accumulate(begin + size[order]) if len(begin) else begin
    edges = np.flatnonzero(begin[1:] - end[:-1] > _GAP) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(begin)) - 1
    return [(int(begin[a]), int(end[b])) for a, b in zip(starts, ends, strict=True)] if len(begin) else []


def joined(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, near ones put together."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin - found[-1][1] <= _GAP:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif begin < end:
            found.append((begin, end))
    return found
