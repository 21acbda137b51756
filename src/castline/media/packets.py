"""Times of packets, streamed from the demuxer: what a file holds, without decoding and without believing its header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg

from castline.errors import FfmpegTimeout
from castline.media.ffmpeg import Ffmpeg, Limits, arguments, open_input

_TIME_BASE = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_NO_TIME = -(1 << 60)  # ffmpeg's mark for "no time", give or take an offset, is -(1 << 63)


@dataclass(frozen=True, slots=True)
class Packet:
    """Attributes:
    stream: index of the stream in its container.
    start_s, end_s: presentation, seconds; None where the container does not tell.
    """

    stream: int
    start_s: float | None
    end_s: float | None
    keyframe: bool


@dataclass(slots=True)
class Extent:
    """What the packets of one stream say.

    Attributes:
        count: packets.
        end_s: when the last one ends; None when not all of them have a time.
        widest_s: the longest time without a keyframe, from zero to the end.
    """

    count: int = 0
    end_s: float | None = 0.0
    widest_s: float = 0.0
    _key_s: float = field(default=0.0, repr=False)

    def add(self, packet: Packet) -> None:
        self.count += 1
        if packet.start_s is None or packet.end_s is None or self.end_s is None:
            self.end_s = None
            return
        self.end_s = max(self.end_s, packet.end_s)
        if packet.keyframe:
            self.widest_s = max(self.widest_s, packet.start_s - self._key_s)
            self._key_s = packet.start_s

    def close(self) -> None:
        if self.end_s is not None:
            self.widest_s = max(self.widest_s, self.end_s - self._key_s)


def packets(path: Path, streams: Iterable[int], limits: Limits) -> Iterator[Packet]:
    """All packets of some streams, in the order of the file.

    ``framecrc`` prints one line per packet; a packet that is no keyframe carries an ``F=`` field.

    Raises:
        FfmpegTimeout: the file is too long for the time there is.
    """
    source = open_input(path, limits)
    indexes = list(streams)
    node = ffmpeg.output(*(source[str(index)] for index in indexes), "pipe:1", format="framecrc", c="copy")
    ticks: dict[int, float] = {}
    with Ffmpeg(arguments(node, limits), limits) as process:
        for line in process.stdout_lines():
            if line.startswith(b"#"):
                if base := _TIME_BASE.match(line):
                    ticks[int(base[1])] = int(base[2]) / int(base[3])
                continue
            fields = line.split(b",")
            if len(fields) < 6 or (tick := ticks.get(int(fields[0]))) is None:
                continue
            ticks_at, keyframe = int(fields[2]), not any(item.lstrip().startswith(b"F=") for item in fields[6:])
            start = None if ticks_at < _NO_TIME else ticks_at * tick
            end = None if start is None else start + max(int(fields[3]), 0) * tick
            yield Packet(indexes[int(fields[0])], start, end, keyframe)
        process.wait()


def extents(path: Path, streams: Iterable[int], limits: Limits) -> dict[int, Extent] | None:
    """What the packets of each stream say; None when there is no time to read them all."""
    found = {index: Extent() for index in streams}
    try:
        for packet in packets(path, found, limits):
            found[packet.stream].add(packet)
    except FfmpegTimeout:
        return None
    for extent in found.values():
        extent.close()
    return found
