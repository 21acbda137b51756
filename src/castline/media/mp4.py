"""Finds where each sample is in an MP4 or MOV file, from its index (ISO/IEC 14496-12, the ``moov`` box) alone.

Unusual files (fragments, several edits, samples in other files, a compressed index) are not indexed, and the caller
reads the whole file: a guess would fetch the wrong bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Read = Callable[[int, int], bytes]
"""``read(offset, length)`` of a file; fewer bytes only at its end."""

Integers = NDArray[np.int64]

_MOST_BOXES = 64  # at the top of a file
_MOST_INDEX_BYTES = 256 * 1024 * 1024  # twelve hours of 60 frames a second have 40 MB
_MOST_SAMPLES = 20_000_000
_WINDOW = 1 << 16


class NotIndexed(Exception):
    """There is no ordinary index; the message says what is unusual."""


@dataclass(frozen=True, slots=True)
class Track:
    """The samples of one track, in the order of decoding; all arrays have shape (n,).

    Attributes:
        kind: the handler's four letters: ``vide``, ``soun``, …
        start_s: presentation times, seconds of the file's own clock.
        duration_s: seconds.
        keyframe: whether decoding can begin there.
        offset, size: bytes of the file.
        shown: whether the edit list includes it.
    """

    kind: str
    start_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    keyframe: NDArray[np.bool_]
    offset: Integers
    size: Integers
    shown: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Index:
    """Attributes:
    tracks: in the order of the file, which is that of ffmpeg's streams.
    boxes: (first, end) bytes of everything but media data that a reader reads.
    """

    tracks: tuple[Track, ...]
    boxes: tuple[tuple[int, int], ...]


def read_index(read: Read, size: int, *, whole: bool = True) -> Index:
    """The index of a file of ``size`` bytes.

    Args:
        whole: refuse a file that ends before its samples do.

    Raises:
        NotIndexed: it has no ordinary index.
    """
    moov, boxes = _find_moov(read, size, whole=whole)
    children = dict(_boxes(moov))
    if b"mvex" in children or b"cmov" in children or b"mvhd" not in children:
        raise NotIndexed("it is fragmented, or its index is compressed")
    scale = _scale(children[b"mvhd"])
    try:
        tracks = tuple(_track(body, scale) for name, body in _boxes(moov) if name == b"trak")
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise NotIndexed(f"its index is damaged: {error}") from error
    if not tracks:
        raise NotIndexed("its index is empty")
    if whole and any(len(track.offset) and int((track.offset + track.size).max()) > size for track in tracks):
        raise NotIndexed("it is cut off")
    return Index(tracks, tuple(boxes))


def _find_moov(read: Read, size: int, *, whole: bool) -> tuple[memoryview, list[tuple[int, int]]]:
    """The body of ``moov``, and the positions of all boxes but the media data, up to the index and the data."""
    at, seen, moov, data = 0, list[tuple[int, int]](), None, False
    for _ in range(_MOST_BOXES):
        if at + 8 > size or (moov is not None and data):
            break
        head = read(at, 16)
        length, name, body = *struct.unpack(">I4s", head[:8]), 8
        if length == 1 and len(head) == 16:
            length, body = struct.unpack(">Q", head[8:])[0], 16
        length = size - at if length == 0 else length
        if moov is not None and at + length > size and not whole:
            break
        if length < body or at + length > size:
            raise NotIndexed("it is cut off, or no MP4")
        data = data or name == b"mdat"
        if name == b"moof":
            raise NotIndexed("it is fragmented")
        if name == b"moov":
            if length > _MOST_INDEX_BYTES:
                raise NotIndexed("its index is too large")
            moov = memoryview(read(at, length))[body:]
        seen.append((at, at + (16 if name == b"mdat" else length)))
        at += length
    if moov is None:
        raise NotIndexed("it has no index")
    # A reader reads the beginning first, and then what follows the last box that it needs.
    return moov, [(0, min(_WINDOW, size)), *seen, (max(at, 0), min(at + _WINDOW, size))]


def _boxes(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(body):
        length, name = struct.unpack_from(">I4s", body, at)
        head = 8
        if length == 1 and at + 16 <= len(body):
            (length,), head = struct.unpack_from(">Q", body, at + 8), 16
        length = len(body) - at if length == 0 else length
        if length < head or at + length > len(body):
            return
        yield bytes(name), body[at + head : at + length]
        at += length


def _inside(body: memoryview, *names: bytes) -> memoryview:
    for wanted in names:
        body = next(found for name, found in _boxes(body) if name == wanted)
    return body


def _scale(header: memoryview) -> int:
    """Ticks per second, from ``mvhd`` or ``mdhd``."""
    (ticks,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    if not ticks:
        raise NotIndexed("its clock stands still")
    return int(ticks)


def _track(trak: memoryview, movie_scale: int) -> Track:
    try:
        media = _inside(trak, b"mdia")
        kind = bytes(_inside(media, b"hdlr")[8:12]).decode("latin-1")
        table = dict(_boxes(_inside(media, b"minf", b"stbl")))
        here = _in_this_file(_inside(media, b"minf", b"dinf", b"dref"), table[b"stsd"])
        scale = _scale(_inside(media, b"mdhd"))
    except StopIteration as error:
        raise NotIndexed("a track lacks its tables") from error
    if not here:
        raise NotIndexed("samples are in another file, or described in several ways")
    if table.keys() & {b"stps", b"stz2", b"sbgp"} and kind == "vide":
        raise NotIndexed("its keyframes are of several kinds")
    size = _sizes(table[b"stsz"], kind)
    count = len(size)
    duration = _runs(table[b"stts"], count)
    decode = np.cumsum(duration) - duration
    shift = _runs(table[b"ctts"], count, signed=True) if b"ctts" in table else np.zeros(count, np.int64)
    keyframe = np.ones(count, np.bool_)
    if b"stss" in table:
        numbers = _integers(table[b"stss"], 1)[:, 0] - 1
        keyframe[:] = False
        keyframe[numbers[(numbers >= 0) & (numbers < count)]] = True
    start_ticks, shown = _edited(trak, decode + shift, scale, movie_scale, video=kind == "vide")
    return Track(
        kind=kind,
        start_s=start_ticks / scale,
        duration_s=duration / scale,
        keyframe=keyframe,
        offset=_offsets(table, size),
        size=size,
        shown=shown,
    )


def _integers(body: memoryview, columns: int, kind: str = ">u4") -> Integers:
    """A table behind a version and a count, shape (rows, columns)."""
    (rows,) = struct.unpack_from(">I", body, 4)
    values = np.frombuffer(body, kind, offset=8, count=rows * columns)
    return values.astype(np.int64).reshape(rows, columns)


def _runs(body: memoryview, count: int, *, signed: bool = False) -> Integers:
    """Run-length coded values, one per sample, shape (count,)."""
    table = _integers(body, 2)
    if int(table[:, 0].sum()) != count:
        raise ValueError("a table is not as long as there are samples")
    values = table[:, 1]
    if signed:
        values = np.where(values >= 1 << 31, values - (1 << 32), values)
    found: Integers = np.repeat(values, table[:, 0])
    return found


def _sizes(body: memoryview, kind: str) -> Integers:
    each, count = struct.unpack_from(">II", body, 4)
    if count > _MOST_SAMPLES:
        raise ValueError("too many samples")
    if each and kind == "soun":
        raise NotIndexed("its sound has no packets")  # old QuickTime counts samples differently
    if each:
        return np.full(count, each, np.int64)
    return np.frombuffer(body, ">u4", offset=12, count=count).astype(np.int64)


def _offsets(table: dict[bytes, memoryview], size: Integers) -> Integers:
    """Where each sample begins, from the chunks they are stored in."""
    wide = b"co64" in table
    chunks = _integers(table[b"co64" if wide else b"stco"], 1, ">u8" if wide else ">u4")[:, 0]
    runs = _integers(table[b"stsc"], 3)
    if not len(chunks) or not len(runs):
        if len(size):
            raise ValueError("samples without chunks")
        return size
    first = np.append(runs[:, 0] - 1, len(chunks))
    if int(first[0]) or (np.diff(first) < 0).any() or int(first[-2]) > len(chunks):
        raise ValueError("chunks out of order")
    per_chunk = np.repeat(runs[:, 1], np.diff(first))
    if int(per_chunk.sum()) != len(size):
        raise ValueError("chunks do not hold all samples")
    before = np.cumsum(size) - size
    begins = np.cumsum(per_chunk) - per_chunk  # number of the first sample of each chunk
    used = per_chunk > 0
    found: Integers = before + np.repeat(chunks[used] - before[begins[used]], per_chunk[used])
    return found


def _in_this_file(references: memoryview, descriptions: memoryview) -> bool:
    """Whether there is one description of samples, and it refers to the file itself."""
    (references_count,), (count,) = struct.unpack_from(">I", references, 4), struct.unpack_from(">I", descriptions, 4)
    flags = [bytes(body[1:4]) for _, body in _boxes(references[8:])]
    return count == 1 and references_count == len(flags) == 1 and flags[0] == b"\0\0\1"


def _edited(
    trak: memoryview, ticks: Integers, scale: int, movie_scale: int, *, video: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Times according to the edit list, in ticks of the track, and which samples it includes."""
    try:
        body = _inside(trak, b"edts", b"elst")
    except StopIteration:
        return ticks.astype(np.float64), np.ones(len(ticks), np.bool_)
    (count,) = struct.unpack_from(">I", body, 4)
    form, step = (">QqI", 20) if body[0] else (">IiI", 12)
    if count > 2:
        raise NotIndexed("it is edited")
    edits = [struct.unpack_from(form, body, 8 + number * step) for number in range(count)]
    delay = edits.pop(0)[0] * scale / movie_scale if edits and edits[0][1] == -1 else 0.0
    if len(edits) > 1 or any(media < 0 or rate != 1 << 16 for _, media, rate in edits):
        raise NotIndexed("it is edited")
    length, media = edits[0][:2] if edits else (0, 0)
    inside = ticks - float(media)
    shown = inside >= 0
    if length:
        shown &= inside < length * scale / movie_scale
    if video and shown.any() and not shown.all():  # an edit that begins within a picture begins with the next one
        inside -= inside[shown].min()
    return inside + delay, shown
