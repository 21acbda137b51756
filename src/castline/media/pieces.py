"""Pieces of a media that are ready, collected while ffmpeg still runs."""

from __future__ import annotations

import io
import queue
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from castline.media.chunks import SAMPLE_RATE, Chunk, Chunker
from castline.media.ffmpeg import Ffmpeg
from castline.records import AudioUnit

_PIPE_BYTES = 1 << 18
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first date: equal frames give equal bytes


@dataclass(frozen=True, slots=True)
class FramesPiece:
    """A batch of frames, ready to store: a zip of JPEGs named by presentation time in ms."""

    index: int
    names: tuple[int, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """A chunk of audio, ready to store: mono 16 kHz FLAC."""

    unit: AudioUnit
    body: bytes


Piece = FramesPiece | AudioPiece


class FrameWatch:
    """Collects finished JPEG files into zips of ``per_unit`` frames."""

    def __init__(self, folder: Path, per_unit: int) -> None:
        self._folder = folder
        self._per_unit = per_unit
        self._count = 0

    def ready(self) -> list[FramesPiece]:
        files = self._files()
        # The newest file may still be followed by an earlier one only if ffmpeg reordered output,
        # which it does not: presentation order is the order of writing.
        return [
            self._pack(files[at : at + self._per_unit])
            for at in range(0, len(files) - self._per_unit + 1, self._per_unit)
        ]

    def rest(self) -> list[FramesPiece]:
        files = self._files()
        return [self._pack(files[at : at + self._per_unit]) for at in range(0, len(files), self._per_unit)]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jpg"))

    def _pack(self, files: list[Path]) -> FramesPiece:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.writestr(zipfile.ZipInfo(file.name, _EPOCH), file.read_bytes())
                file.unlink()
        self._count += 1
        return FramesPiece(self._count - 1, tuple(int(file.stem) for file in files), body.getvalue())


class AudioReader:
    """Reads ffmpeg's stdout in a thread of its own, so that neither pipe can stall the other."""

    def __init__(self, process: Ffmpeg, chunk_s: float) -> None:
        self._pieces: queue.SimpleQueue[AudioPiece] = queue.SimpleQueue()
        self._chunker = Chunker(chunk_s)
        self._count = 0
        self._failure: BaseException | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def ready(self, wait_s: float) -> list[AudioPiece]:
        pieces = []
        try:
            pieces.append(self._pieces.get(timeout=wait_s))
            while True:
                pieces.append(self._pieces.get_nowait())
        except queue.Empty:
            return pieces

    def rest(self) -> list[AudioPiece]:
        self._thread.join()
        if self._failure:
            raise self._failure
        return self.ready(0)

    def _read(self, process: Ffmpeg) -> None:
        try:
            odd = b""
            samples = 0
            while block := process.stdout.read(_PIPE_BYTES):
                block = odd + block
                odd = block[len(block) // 2 * 2 :]
                data = np.frombuffer(block[: len(block) // 2 * 2], dtype="<i2")
                samples += len(data)
                self.seconds = samples / SAMPLE_RATE
                self._emit(self._chunker.feed(data))
            self._emit(self._chunker.finish())
        except BaseException as failure:  # handed to the caller by rest()
            self._failure = failure
            process.kill()  # nobody reads its output any more

    def _emit(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            body = io.BytesIO()
            soundfile.write(body, chunk.samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            unit = AudioUnit(index=self._count, start_s=chunk.start_s, end_s=chunk.end_s, hard_cut=chunk.hard_cut)
            self._count += 1
            self._pieces.put(AudioPiece(unit, body.getvalue()))
