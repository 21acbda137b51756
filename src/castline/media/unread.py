"""Whether another recording follows in a file of a format of which players and ffmpeg read only the first.

Parts of a camera's recording are often joined with ``cat``. Where a format has no index and no length at its beginning
(MPEG, MP3, Matroska, Ogg, AVI ...), ffmpeg reads on; in these it stops without a word.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from pathlib import Path
from typing import IO

from castline.media.wave import says_too_little

#: How a file of each format begins, in as many bytes as do not occur in media by chance.
_BEGINS = {
    "aiff": re.compile(rb"FORM....AIF[CF](COMM|FVER)", re.DOTALL),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    "caf": re.compile(rb"caff\x00\x01\x00\x00desc"),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00"),
    "w64": re.compile(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
    "wav": re.compile(rb"RIFF....WAVEfmt ", re.DOTALL),
}
_MOST_BOXES = 1000


def another_follows(path: Path, container: str) -> bool:
    """Whether another recording follows the one that is read.

    Args:
        container: as in ``Probe``.
    """
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        if container.startswith("mov,"):
            return _another_index(file)
        begins = _BEGINS.get(container)
        if begins and not (container == "wav" and says_too_little(path)):  # then it is read to the file's end
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
                return begins.search(body, 1) is not None
    return False


def _another_index(file: IO[bytes]) -> bool:
    """Whether a second ``ftyp`` or ``moov`` follows index and data; fragments may have several, which are read."""
    size, at, seen = os.fstat(file.fileno()).st_size, 0, set[bytes]()
    for _ in range(_MOST_BOXES):
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
