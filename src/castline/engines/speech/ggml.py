"""Checks that a file is a complete ggml Whisper model: whisper.cpp silently accepts half of one.

The layout is that of whisper.cpp's ``models/convert-pt-to-ggml.py`` and ``quantize`` (MIT): a magic number, the
dimensions, the mel filters, the vocabulary, and tensors up to the end of the file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from castline.errors import ModelCorrupt

_MAGIC = 0x67676D6C
#: ggml's tensor types: values per block, and bytes per block.
_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
}  # fmt: skip
#: Tensors outside the layers, in a layer of the encoder, and in one of the decoder.
_TENSORS, _HEARING, _SAYING = 11, 15, 24


def check(file: Path) -> None:
    """Check the file's structure, not its numbers (this takes milliseconds, whatever its size).

    Raises:
        ModelCorrupt: it is another kind of file, or incomplete.
    """
    try:
        with file.open("rb") as source:
            _walk(source, os.fstat(source.fileno()).st_size)
    except (ValueError, struct.error, MemoryError) as error:
        raise ModelCorrupt(f"{file} cannot be loaded: {error}") from error


def _walk(source: BinaryIO, size: int) -> None:
    def integers(count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", source.read(4 * count))

    def skip(count: int) -> None:
        if count < 0 or source.tell() + count > size:
            raise ValueError("it is cut short")
        source.seek(count, os.SEEK_CUR)

    if size < 48 or integers(1) != (_MAGIC,):
        raise ValueError("it is not a ggml model")
    dimensions = integers(11)
    mels, transform = integers(2)
    skip(4 * mels * transform)
    for _ in range(integers(1)[0]):
        skip(integers(1)[0])
    found = 0
    while source.tell() < size:
        rank, letters, kind = integers(3)
        if not 1 <= rank <= 4 or kind not in _TYPES:
            raise ValueError(f"its tensor {found + 1} is damaged")
        values = 1
        for length in integers(rank):
            values *= length
        block, width = _TYPES[kind]
        skip(letters)
        skip(values // block * width)
        found += 1
    wanted = _TENSORS + _HEARING * dimensions[4] + _SAYING * dimensions[8]
    if found != wanted:
        raise ValueError(f"it has {found} of {wanted} tensors")
