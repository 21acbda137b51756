"""Times of packets, streamed from the demuxer: what a file contains, without decoding it or trusting its header."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg

from castline.errors import FfmpegTimeout
from castline.media.ffmpeg import Ffmpeg, Limits, arguments, open_input

_TIME_BASE = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_BACK = re.compile(r"\[warning\] Non-monotonic DTS; previous: (?P<last>-?\d+), current: (?P<this>-?\d+);")
_BACK_S = 0.1  # ffmpeg's own threshold for a clock that goes back
_MPEG_CLOCK = 90_000  # ticks per second of MPEG's containers
_NO_TIME = -(1 << 60)  # ffmpeg's mark for "no time", give or take an offset, is -(1 << 63)


@dataclass(frozen=True, slots=True)
class Packet:
    """Attributes:
    stream: index of the stream in its container.
    start_s, end_s: presentation times, seconds; None if the container has none.
    """

    stream: int
    start_s: float | None
    end_s: float | None
    keyframe: bool


@dataclass(slots=True)
class Extent:
    """Summary of the packets of one stream.

    Attributes:
        count: packets.
        end_s: when the last one ends; None if not all of them have a time.
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


def packets(path: Path, streams: Iterable[int], limits: Limits, *, joined: bool = False) -> Iterator[Packet]:
    """All packets of some streams, in the order of the file.

    ``framecrc`` prints one line per packet; a packet that is not a keyframe has an ``F=`` field.

    Raises:
        FfmpegTimeout: the file is too long for the time there is.
    """
    source = open_input(path, limits, joined=joined)
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
            start = None if int(fields[2]) < _NO_TIME else int(fields[2]) * tick
            end = None if start is None else start + max(int(fields[3]), 0) * tick
            keyframe = not any(item.lstrip().startswith(b"F=") for item in fields[6:])
            yield Packet(indexes[int(fields[0])], start, end, keyframe)
        process.wait()


def extents(path: Path, streams: Iterable[int], limits: Limits, *, joined: bool = False) -> dict[int, Extent] | None:
    """A summary of each stream's packets; None if there is no time to read them all."""
    found = {index: Extent() for index in streams}
    try:
        for packet in packets(path, found, limits, joined=joined):
            found[packet.stream].add(packet)
    except FfmpegTimeout:
        return None
    for extent in found.values():
        extent.close()
    return found


def goes_back(path: Path, streams: Iterable[int], limits: Limits) -> bool:
    """Whether the clock of an MPEG container goes back, because recordings were joined end to end.

    Raises:
        FfmpegTimeout: the file is too long for the time there is.
    """
    found = threading.Event()

    def note(line: str) -> None:
        if (match := _BACK.search(line)) and int(match["last"]) - int(match["this"]) > _BACK_S * _MPEG_CLOCK:
            found.set()

    source = open_input(path, limits)
    node = ffmpeg.output(*(source[str(index)] for index in streams), "pipe:1", format="framecrc", c="copy", copyts=None)
    with Ffmpeg(arguments(node, limits), limits, on_line=note) as process:
        for _ in process.stdout_lines():
            if found.is_set():
                return True
        process.wait()
    return found.is_set()
