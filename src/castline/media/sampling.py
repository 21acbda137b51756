"""Which frames are looked at, and the filters that pick them inside ffmpeg.

Two facts decide (both measured, see docs/BENCHMARKS.md): encoders put keyframes at scene cuts, and
decoding only keyframes costs about a tenth of decoding everything.
"""

from __future__ import annotations

import re
from pathlib import Path

from castline.media.ffmpeg import Limits, arguments, open_input, run
from castline.records import Sampling, VideoStream

_TIME_BASE = re.compile(rb"^#tb 0: (\d+)/(\d+)", re.MULTILINE)
_MIN_SIDE = 2
_NO_TIME = -(1 << 60)  # ffmpeg's mark for "no time", give or take an offset, is -(1 << 63)


def scaled_size(video: VideoStream, long_side: int) -> tuple[int, int]:
    """(width, height) in square pixels, upright, long side at most ``long_side``; never enlarged."""
    factor = min(1.0, long_side / max(video.width, video.height))
    return max(_MIN_SIDE, round(video.width * factor)), max(_MIN_SIDE, round(video.height * factor))


def select_filter(interval_s: float) -> str:
    """Keep the first frame of every interval, with its own presentation time.

    ``fps=1/n`` would hand out times of a grid instead, and comparing with the previously selected
    frame would drift when n is no multiple of the frame duration. Half a millisecond is added
    because 2.9999999 is the frame of second 3.
    """
    step = f"{interval_s:.6f}"
    return f"select='isnan(prev_selected_t)+gt(floor((t+0.0005)/{step}),floor((prev_selected_t+0.0005)/{step}))'"


def keyframe_times(path: Path, limits: Limits) -> list[float]:
    """Presentation times in seconds of the first video stream's keyframes; demuxes, decodes nothing.

    Empty where the container does not tell them all (AVI, raw streams): the decoder would have to guess.
    ``framecrc`` prints one line per packet; a packet that is no keyframe carries an ``F=`` field.
    """
    node = open_input(path, limits)["V:0"].output("pipe:1", format="framecrc", c="copy")
    _, output, _, _ = run(arguments(node, limits), limits)
    base = _TIME_BASE.search(output)
    if base is None:
        return []
    tick = int(base[1]) / int(base[2])
    times = []
    for line in output.splitlines():
        fields = line.split(b",")
        if line.startswith(b"#") or len(fields) < 6 or any(field.lstrip().startswith(b"F=") for field in fields[6:]):
            continue
        if int(fields[2]) < _NO_TIME:
            return []
        times.append(int(fields[2]) * tick)
    return sorted(times)


def choose(sampling: Sampling, interval_s: float, path: Path, duration_s: float | None, limits: Limits) -> Sampling:
    """Resolve ``auto``: keyframes where they come at least as often as asked, else interval.

    A tenth of slack forgives encoders that round (a keyframe every 25 frames at 24.97 fps).
    """
    if sampling != "auto":
        return sampling
    times = keyframe_times(path, limits)
    if not times:
        return "interval"
    ends = [*times[1:], duration_s if duration_s is not None else times[-1] + interval_s]
    widest = max((end - start for start, end in zip(times, ends, strict=True)), default=0.0)
    first = times[0]
    return "keyframes" if max(widest, first) <= interval_s * 1.1 else "interval"
