"""Which frames are analysed, and the filters that select them inside ffmpeg.

Two facts decide (both measured, see docs/BENCHMARKS.md): encoders put keyframes at scene cuts, and
decoding only keyframes costs about a tenth of decoding everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from castline.media.ffmpeg import Limits
from castline.media.packets import Extent, extents
from castline.records import Sampling, VideoStream

Mode = Literal["interval", "keyframes"]

_MIN_SIDE = 2
_LOOK = 0.25  # of the available time, for reading the packets
_SLACK = 1.1
_ROUNDED_S = 0.1  # how far the clocks of packets and of pictures may differ
_LEAST_INTERVAL_S = 0.02  # faces do not change faster
_STRETCH_S, _LONG_STRETCH_S = 60, 600

_ROWS, _BOX, _BITS = 16, 8, 12
_LEFT = 16  # mpdecimate leaves out the first columns


@dataclass(frozen=True, slots=True)
class Grid:
    """Slots of one interval, counted from the recording's zero, in stretches; the first frame of each slot is analysed.

    Near-duplicates are found within a stretch, and a batch of frames ends with it. So nothing made from a stretch
    depends on what came before, and a range of whole stretches can be decoded alone.

    Attributes:
        interval_s: length of a slot, whole milliseconds.
        slots: slots per stretch: a minute of whole batches, or more if a batch is longer, up to ten minutes.
    """

    interval_s: float
    slots: int

    @classmethod
    def of(cls, interval_s: float, per_unit: int) -> Grid:
        batch_s = interval_s * per_unit
        if batch_s > _LONG_STRETCH_S:
            return cls(interval_s, max(1, int(_LONG_STRETCH_S / interval_s)))
        return cls(interval_s, per_unit * math.ceil(_STRETCH_S / batch_s))

    @property
    def stretch_s(self) -> float:
        return self.slots * self.interval_s

    def slot(self, time_ms: int) -> int:
        return math.floor((time_ms + 0.5) / 1000 / self.interval_s)

    def stretch(self, time_ms: int) -> int:
        return self.slot(time_ms) // self.slots

    def slot_of(self, time: str) -> str:
        """ffmpeg's expression for the slot of a time in seconds.

        Half a millisecond is added because 2.9999999 is the frame of second 3.
        """
        return f"floor(({time}+0.0005)/{self.interval_s:.6f})"

    def without_duplicates(self, width: int, height: int) -> list[str]:
        """Filters that drop frames (``width`` x ``height``) like the previous one, except the first of a stretch.

        ``mpdecimate`` compares with the last frame it kept and cannot be made to forget it. So the number of the
        stretch is drawn below the picture, in black and white, while frames are compared.
        """
        number = f"floor({self.slot_of('t')}/{self.slots})"
        boxes = [
            f"drawbox=x={_LEFT + bit * _BOX}:y={height}:w={_BOX}:h={_ROWS}:color=white:t=fill"
            f":enable='mod(floor({number}/{1 << bit}),2)'"
            for bit in range(_BITS)
        ]
        # Even numbers: the filter rounds down to whole chroma pixels, and must not extend below the picture.
        wide, high = (-(-size // 2) * 2 for size in (max(width, _LEFT + _BOX * (_BITS + 1)), height + _ROWS))
        return [f"pad={wide}:{high}", *boxes, "mpdecimate", f"crop={width}:{height}:0:0:exact=1"]


#: Rate of the pictures in which mouths are watched, and their longer side: a face of a sixth of the height has 60 px.
MOTION_RATE, MOTION_SIDE = 25, 640


def scaled_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """(width, height) in square pixels, long side at most ``long_side``; never enlarged."""
    factor = min(1.0, long_side / max(width, height))
    return max(_MIN_SIDE, round(width * factor)), max(_MIN_SIDE, round(height * factor))


def affordable(interval_s: float, duration_s: float | None, limits: Limits) -> float:
    """The requested interval in whole milliseconds, widened to at least 20 ms and to the limit on frames."""
    fewest_ms = math.ceil(round((duration_s or 0.0) / limits.max_frames * 1000, 6))
    return max(round(max(interval_s, _LEAST_INTERVAL_S) * 1000), fewest_ms) / 1000


def select_filter(grid: Grid, most: int) -> str:
    """Keep the first frame of every interval, with its own presentation time, ``most`` in all.

    ``fps=1/n`` would return grid times instead, and comparing with the previously selected frame would drift if n is
    not a multiple of the frame duration.
    """
    this, last = grid.slot_of("t"), grid.slot_of("prev_selected_t")
    return f"select='lt(selected_n,{most})*(isnan(prev_selected_t)+gt({this},{last}))'"


def select_part(grid: Grid, begin: int, end: int | None) -> str:
    """As ``select_filter``, for the slots from ``begin`` to before ``end`` only, with a witness on either side.

    The witnesses are the first frame that is decoded, and the first one at or after the end.
    """
    this, last = grid.slot_of("t"), grid.slot_of("prev_selected_t")
    after_last = f"gt({this},max({last},{begin - 1}))" if begin else f"gt({this},{last})"
    before_end = "" if end is None else f"*lt({last},{end})"
    return f"select='isnan(prev_selected_t)+{after_last}{before_end}'"


def select_motion() -> str:
    """Keep the first frame of every 40 ms slot; ``fps`` would fill a gap of an hour with ninety thousand pictures."""
    grid = Grid(1 / MOTION_RATE, 1)
    return f"select='isnan(prev_selected_t)+gt({grid.slot_of('t')},{grid.slot_of('prev_selected_t')})'"


def look(path: Path, video: VideoStream, limits: Limits, *, joined: bool = False) -> Extent | None:
    """What the packets say; None if reading all of them takes more than a quarter of the available time."""
    return (extents(path, [video.index], limits.share(_LOOK), joined=joined) or {}).get(video.index)


def decide(sampling: Sampling, interval_s: float, extent: Extent | None) -> Mode:
    """Resolve ``auto``: keyframes if they are at least as frequent as requested, else interval.

    A tenth of slack forgives encoders that round (a keyframe every 25 frames at 24.97 fps). Interval also if the
    container lacks some times (AVI, raw streams: the decoder would have to guess).
    """
    if sampling != "auto":
        return sampling
    if extent is None or not extent.count or extent.end_s is None:
        return "interval"
    return "keyframes" if extent.widest_s <= interval_s * _SLACK else "interval"


def is_thin(times_ms: Iterable[int], interval_s: float, begin_s: float, end_s: float | None) -> bool:
    """Whether frames are farther apart than the keyframes that ``decide`` relied on.

    A decoder does not accept every keyframe of a container, and then delivers no picture, or delivers it late: H.264's
    recovery points (open GOP, intra refresh), and all but the first of Theora.

    Args:
        times_ms: times of the frames, the first keyframe of each slot.
        begin_s, end_s: the span they cover; ``end_s`` is None if unknown.
    """
    ends = [] if end_s is None else [end_s]
    times = [begin_s - interval_s, *sorted(time_ms / 1000 for time_ms in times_ms), *ends]
    widest_s = (1 + _SLACK) * interval_s + _ROUNDED_S
    return any(later - earlier > widest_s for earlier, later in pairwise(times))
