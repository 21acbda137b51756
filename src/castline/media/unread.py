"""What follows in a file after the recording that players and ffmpeg read.

Parts of a camera's recording are often joined with ``cat``. Where a format has no index and no length at its beginning
(MPEG, MP3, Matroska, Ogg, AVI ...), ffmpeg reads on; in these it stops without a word. A WAV file may also contain more
sound than its header declares: a recorder that loses power leaves the length that it last wrote, and software that
sends sound in pieces puts a header in front of the first piece, or of each. (ffmpeg reads lengths of 0 and 0xFFFFFFFF,
which mean unknown, to the end of the file by itself.)

Files are not read but walked through, by the lengths of their chunks. FLV has none but its packets', and is searched.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

_MOST_CHUNKS = 1000
_MOST_FORMAT = 64  # bytes of a WAV file's "fmt " chunk
_LEAST_BYTES = 4096  # less than that is padding, or what remains of a truncated chunk
_UNKNOWN = (0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class _Format:
    """Attributes:
    first: where the first chunk begins.
    begins: with which name another recording begins where a chunk would.
    wide: bytes of a length.
    counted: whether a length includes its own chunk's name and length.
    even: chunks begin at multiples of it.
    """

    first: int
    begins: bytes
    order: Literal["big", "little"]
    wide: int = 4
    counted: bool = False
    even: int = 2

    def chunks(self, file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
        """(name, first byte of the body, its length) of each chunk; the body can be read from the file."""
        head, position = len(self.begins) + self.wide, self.first
        for _ in range(_MOST_CHUNKS):
            if position + head > size:
                return
            file.seek(position)
            read = file.read(head)
            name, length = read[: len(self.begins)], int.from_bytes(read[len(self.begins) :], self.order)
            if self.counted:
                length = max(length - head, 0)
            yield name, position + head, length
            position += head + length
            position += -position % self.even


_WAV = _Format(12, b"RIFF", "little")
_FORMATS = {
    "aiff": _Format(12, b"FORM", "big"),
    "asf": _Format(0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "little", wide=8, counted=True, even=1),
    "caf": _Format(8, b"caff", "big", wide=8, even=1),
    "w64": _Format(40, bytes.fromhex("726966662e91cf11a5d628db04c10000"), "little", wide=8, counted=True, even=8),
}
#: How an FLV file begins, in as many bytes as do not occur in media by chance.
_FLV = re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00")


def another_follows(path: Path, container: str) -> bool:
    """Whether another recording follows the one that is read.

    Args:
        container: as in ``Probe``.
    """
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if container.startswith("mov,"):
            return _another_index(file, size)
        if container == "wav":
            return _after_wav(file, size) == "recording"
        if container == "flv":
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
                return _FLV.search(body, 1) is not None
        if shape := _FORMATS.get(container):
            return any(name == shape.begins and at > len(name) + shape.wide for name, at, _ in shape.chunks(file, size))
    return False


def says_too_little(path: Path) -> bool:
    """Whether sound of the same format follows the declared end of a WAV file; False for anything else."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return _after_wav(file, os.fstat(file.fileno()).st_size) == "sound"
    return False


def _after_wav(file: IO[bytes], size: int) -> Literal["sound", "recording"] | None:
    """Whether more sound follows the declared sound, or another recording, not other chunks or a small remainder."""
    riff = file.read(_WAV.first)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return None
    sound, declared = b"", False
    for name, at, length in _WAV.chunks(file, size):
        if name == b"RIFF":
            file.seek(at + 4)
            following = file.read(8)
            same = following[:4] == b"fmt " and sound == file.read(min(_length(following), _MOST_FORMAT))
            return "sound" if same and declared and size - at >= _LEAST_BYTES else "recording"
        if declared and not all(0x20 <= letter < 0x7F for letter in name):
            return "sound" if size - at >= _LEAST_BYTES else None
        if name == b"fmt ":
            sound = file.read(min(length, _MOST_FORMAT))
        if name == b"data" and length in _UNKNOWN:
            return None
        declared |= name == b"data"
    return None


def _length(head: bytes) -> int:
    return int.from_bytes(head[4:8], "little")


def _another_index(file: IO[bytes], size: int) -> bool:
    """Whether a second ``ftyp`` or ``moov`` follows index and data; fragments may have several, which are read."""
    at, seen = 0, set[bytes]()
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or name == b"moof":
            return False
        if name in (b"ftyp", b"moov") and name in seen and {b"moov", b"mdat"} <= seen:
            return True
        seen.add(name)
        at += length
        if at >= size:
            return False
    return False
