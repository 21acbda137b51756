"""Whether a WAV file contains more sound than its header declares.

A recorder that loses power leaves the length that it last wrote; software that sends sound in pieces puts a header in
front of the first piece, or of each. Players and ffmpeg stop where the header says. (ffmpeg reads lengths of 0 and
0xFFFFFFFF, which mean unknown, to the end of the file by itself.)
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

_HEAD = 12
_MOST_CHUNKS = 64
_MOST_HEADER = 1 << 24  # broadcasters' chunks before the sound
_MOST_FORMAT = 64
_UNKNOWN = (0, 0xFFFFFFFF)
_LEAST_BYTES = 4096  # less than that is padding, or what remains of a truncated chunk


def says_too_little(path: Path) -> bool:
    """Whether sound of the same format follows the declared end; False for anything but WAV."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        riff = file.read(_HEAD)
        sound, position = b"", _HEAD
        while riff[:4] == b"RIFF" and riff[8:] == b"WAVE" and position < min(size, _MOST_HEADER):
            name, length = _chunk(file, position)
            if name == b"fmt ":
                sound = file.read(min(length, _MOST_FORMAT))
            position += 8 + length + length % 2
            if name == b"data":
                return length not in _UNKNOWN and _goes_on(file, position, size, sound)
    return False


def _goes_on(file: IO[bytes], position: int, size: int, sound: bytes) -> bool:
    """Whether more sound follows, not other chunks, another recording or a small remainder."""
    for _ in range(_MOST_CHUNKS):
        if size - position < _LEAST_BYTES:
            return False
        name, length = _chunk(file, position)
        if name == b"RIFF":
            following, length = _chunk(file, position + _HEAD)
            return following == b"fmt " and file.read(min(length, _MOST_FORMAT)) == sound
        if not all(0x20 <= letter < 0x7F for letter in name):
            return True
        position += 8 + length + length % 2
    return False


def _chunk(file: IO[bytes], position: int) -> tuple[bytes, int]:
    file.seek(position)
    head = file.read(8)
    return head[:4], int.from_bytes(head[4:], "little")
