"""Which frames are looked at, and the filters that pick them inside ffmpeg.

Two facts decide (both measured, see docs/BENCHMARKS.md): encoders put keyframes at scene cuts, and
decoding only keyframes costs about a tenth of decoding everything.
"""

from __future__ import annotations

from pathlib import Path

from castline.media.ffmpeg import Limits
from castline.media.packets import extents
from castline.records import Sampling, VideoStream

_MIN_SIDE = 2
_LOOK = 0.25  # of the time there is, for a look at the packets
_LEAST_INTERVAL_S = 0.02  # no face changes faster


def scaled_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """(width, height) in square pixels, long side at most ``long_side``; never enlarged."""
    factor = min(1.0, long_side / max(width, height))
    return max(_MIN_SIDE, round(width * factor)), max(_MIN_SIDE, round(height * factor))


def affordable(interval_s: float, duration_s: float | None, limits: Limits) -> float:
    """The interval that is asked for, or a wider one: no frame twice within 20 ms, and so many in all."""
    return max(interval_s, _LEAST_INTERVAL_S, (duration_s or 0.0) / limits.max_frames)


def select_filter(interval_s: float, most: int) -> str:
    """Keep the first frame of every interval, with its own presentation time, ``most`` in all.

    ``fps=1/n`` would hand out times of a grid instead, and comparing with the previously selected
    frame would drift when n is no multiple of the frame duration. Half a millisecond is added
    because 2.9999999 is the frame of second 3.
    """
    step = f"{interval_s:.6f}"
    this, last = (f"floor(({time}+0.0005)/{step})" for time in ("t", "prev_selected_t"))
    return f"select='lt(selected_n,{most})*(isnan(prev_selected_t)+gt({this},{last}))'"


def choose(
    sampling: Sampling, interval_s: float, path: Path, video: VideoStream, limits: Limits, *, joined: bool = False
) -> Sampling:
    """Resolve ``auto``: keyframes where they come at least as often as asked, else interval.

    A tenth of slack forgives encoders that round (a keyframe every 25 frames at 24.97 fps). Interval, too,
    where the container does not tell every time (AVI, raw streams: the decoder would have to guess), and
    where reading all packets takes more than a quarter of the time there is.
    """
    if sampling != "auto":
        return sampling
    found = extents(path, [video.index], limits.share(_LOOK), joined=joined)
    extent = found[video.index] if found else None
    if extent is None or not extent.count or extent.end_s is None:
        return "interval"
    return "keyframes" if extent.widest_s <= interval_s * 1.1 else "interval"
