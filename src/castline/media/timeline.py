"""Puts sound on the clock: turns packets with times into samples with positions.

ffmpeg writes its samples as Matroska, whose blocks carry the decoder's times; the few elements
needed are read here (RFC 9559). A sample's position follows from its packet's time: gaps stay gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE

#: Added to all times in transit, because Matroska has none before zero.
SHIFT_S = 1000
_SEGMENT, _CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = 0x18538067, 0x1F43B675, 0xE7, 0xA3
_MOST_BYTES = 1 << 26  # bytes of one element
_JITTER = SAMPLE_RATE // 10  # clocks of containers are rounded; less than this is no gap


@dataclass(frozen=True, slots=True)
class Packet:
    """Attributes:
    time_s: presentation time of the first sample, seconds.
    samples: float32, full scale 1, shape (n, channels).
    """

    time_s: float
    samples: NDArray[np.float32]


def read_packets(stream: IO[bytes], channels: int) -> Iterator[Packet]:
    """Packets of a Matroska stream of 32-bit float samples, as they arrive; ends where the stream breaks off."""
    cluster_ms = 0
    while (header := _element(stream)) is not None:
        identifier, size = header
        if identifier in (_SEGMENT, _CLUSTER):
            continue  # its children follow
        body = stream.read(size) if size <= _MOST_BYTES else b""
        if len(body) < size:
            return
        if identifier == _TIMESTAMP:
            cluster_ms = int.from_bytes(body, "big")
        elif identifier == _SIMPLE_BLOCK:  # one byte for the track, two for the time, one for flags, then the samples
            time_ms = cluster_ms + int.from_bytes(body[1:3], "big", signed=True)
            whole = max(len(body) - 4, 0) // (4 * channels)
            samples = np.frombuffer(body[4 : 4 + whole * 4 * channels], "<f4").reshape(-1, channels)
            yield Packet(time_ms / 1000 - SHIFT_S, samples)


def _element(stream: IO[bytes]) -> tuple[int, int] | None:
    """(identifier, size of the body) of the next element; None at the end."""
    identifier = _number(stream, keep_marker=True)
    size = None if identifier is None else _number(stream, keep_marker=False)
    return None if identifier is None or size is None else (identifier, size)


def _number(stream: IO[bytes], *, keep_marker: bool) -> int | None:
    """A number whose length is given by its first set bit."""
    first = stream.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = stream.read(more)
    if len(rest) < more:
        return None
    head = first[0] if keep_marker else first[0] & ((1 << (7 - more)) - 1)
    return head << (8 * more) | int.from_bytes(rest, "big")


@dataclass(frozen=True, slots=True)
class Placed:
    """Attributes:
    start: position of the first sample, in samples from zero.
    samples: shape (n, channels).
    """

    start: int
    samples: NDArray[np.float32]


class Timeline:
    """Puts packets in their positions, one after the other.

    A gap up to ``fill_s`` becomes silence, so that what surrounds it is transcribed together; after a longer one the
    next samples start at their own time. A clock that goes back is not followed: sound that was placed is not
    overwritten.

    Args:
        end_s: nothing is placed after it.
    """

    def __init__(self, fill_s: float, end_s: float) -> None:
        self._fill = int(fill_s * SAMPLE_RATE)
        self._end = int(end_s * SAMPLE_RATE)
        self._shift = 0
        self._begun = False
        self._had = 0
        self.position = 0

    @property
    def full(self) -> bool:
        return self.position >= self._end

    def again(self) -> None:
        """The same packets follow once more: those that were placed are skipped."""
        self._had, self.position, self._shift, self._begun = max(self.position, self._had), 0, 0, False

    def place(self, packet: Packet) -> list[Placed]:
        """The positions of a packet's samples, preceded by silence for a short gap before them."""
        wanted = round(packet.time_s * SAMPLE_RATE) + self._shift
        samples = packet.samples
        if not self._begun and wanted < 0:  # before the media begins
            samples = samples[-wanted:]
            wanted = 0
        gap = wanted - self.position
        if self._begun and gap < -_JITTER:
            self._shift -= gap
        placed = []
        if gap > (_JITTER if self._begun else 0):
            if gap <= self._fill:
                placed.append(Placed(self.position, np.zeros((gap, samples.shape[1]), np.float32)))
            self.position = wanted
        self._begun = self._begun or bool(len(samples))
        placed.append(Placed(self.position, samples))
        self.position += len(samples)
        return [rest for each in placed if len((rest := self._unknown(each)).samples)]

    def _unknown(self, placed: Placed) -> Placed:
        """The part that was not placed before and is not after the end."""
        skip = max(self._had - placed.start, 0)
        keep = max(self._end - placed.start, 0)
        return Placed(placed.start + skip, placed.samples[skip:keep])
