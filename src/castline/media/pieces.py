"""Collects finished pieces of a media file while ffmpeg is still running."""

from __future__ import annotations

import io
import math
import queue
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from castline.media.chunks import SAMPLE_RATE, Chunk, Chunker
from castline.media.ffmpeg import Ffmpeg
from castline.media.mixing import Mixer
from castline.media.timeline import Placed, Timeline, read_packets
from castline.records import AudioUnit

_MOTION_BATCH = 1500  # a minute; about 25 MB
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


@dataclass(frozen=True, slots=True)
class MotionPiece:
    """A minute of small grey pictures, 25 a second at most, ready to store: a zip of JPEGs named by time in ms."""

    start_ms: int
    body: bytes


Piece = FramesPiece | AudioPiece | MotionPiece


class FrameWatch:
    """Collects finished JPEG files into zips of ``per_unit`` frames, of one stretch each.

    Args:
        stretch: the number of the stretch that contains a time (ms).
        wanted: whether to keep the frame of a time (ms); None while unknown.
    """

    def __init__(
        self, folder: Path, per_unit: int, stretch: Callable[[int], int], wanted: Callable[[int], bool | None]
    ) -> None:
        self._folder = folder
        self._per_unit = per_unit
        self._stretch = stretch
        self._wanted = wanted
        self._packed: set[int] = set()
        self._count = 0

    def ready(self) -> list[FramesPiece]:
        batches = self._batches(self._files())
        # The newest file may still be followed by an earlier one only if ffmpeg reordered output,
        # which it does not: presentation order is the order of writing.
        if batches and len(batches[-1]) < self._per_unit:
            batches.pop()
        return [self._pack(batch) for batch in batches]

    def rest(self) -> list[FramesPiece]:
        return [self._pack(batch) for batch in self._batches(self._files(at_last=True))]

    def forget(self) -> None:
        """Drop the frames that are in no zip yet."""
        for file in self._folder.glob("*.jpg"):
            file.unlink()

    def _batches(self, files: list[Path]) -> list[list[Path]]:
        batches: list[list[Path]] = []
        for _, group in groupby(files, lambda file: self._stretch(int(file.stem))):
            members = list(group)
            batches += [members[at : at + self._per_unit] for at in range(0, len(members), self._per_unit)]
        return batches

    def _files(self, *, at_last: bool = False) -> list[Path]:
        files = []
        for file in sorted(self._folder.glob("*.jpg")):
            time_ms = int(file.stem)
            wanted = False if time_ms in self._packed else self._wanted(time_ms)
            if wanted or (wanted is None and at_last):
                files.append(file)
            elif wanted is False:
                file.unlink()
        return files

    def _pack(self, files: list[Path]) -> FramesPiece:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.writestr(zipfile.ZipInfo(file.name, _EPOCH), file.read_bytes())
                file.unlink()
        self._count += 1
        names = tuple(int(file.stem) for file in files)
        self._packed.update(names)
        return FramesPiece(self._count - 1, names, body.getvalue())


class AudioReader:
    """Turns the sound of one media file into chunks, each at its time on the clock.

    ``read`` consumes an ffmpeg's stdout in a thread of its own, so that neither pipe can stall the other; it may be
    called again with another process after the first one broke off.
    """

    def __init__(self, channels: int, chunk_s: float, max_duration_s: float, max_units: int) -> None:
        self._channels = channels
        self._pieces: queue.SimpleQueue[AudioPiece] = queue.SimpleQueue()
        self._chunker = Chunker(chunk_s)
        self._timeline = Timeline(chunk_s, max_duration_s)
        self._mixer = Mixer()
        self._max_units = max_units
        self._count = 0
        self._reached = 0
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self.capped = False

    @property
    def seconds(self) -> float:
        """Where the sound ends on the clock."""
        return self._reached / SAMPLE_RATE

    @property
    def cancelled_s(self) -> float:
        return self._mixer.cancelled_s

    @property
    def noise_s(self) -> float:
        return self._mixer.noise_s

    def read(self, process: Ffmpeg) -> None:
        if self._thread:
            self._timeline.again()
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

    def join(self) -> list[AudioPiece]:
        """Wait for the end of the process's output; more may follow from another process."""
        if self._thread:
            self._thread.join()
        if self._failure:
            raise self._failure
        return self.ready(0)

    def rest(self) -> list[AudioPiece]:
        self._emit(self._chunker.feed(self._mixer.rest()))
        self._emit(self._chunker.finish())
        return self.ready(0)

    def _read(self, process: Ffmpeg) -> None:
        try:
            for packet in read_packets(process.stdout, self._channels):
                for placed in self._timeline.place(packet):
                    self._take(placed)
                self.capped = self.capped or self._timeline.full or self._count >= self._max_units
                if self.capped:
                    break
            while process.stdout.read(_PIPE_BYTES):  # pictures may continue
                pass
        except BaseException as failure:  # handed to the caller by join()
            self._failure = failure
            process.kill()  # its output is not read any more

    def _take(self, placed: Placed) -> None:
        if placed.start != self._reached:
            self._emit(self._chunker.feed(self._mixer.rest()))
            self._emit(self._chunker.jump(placed.start))
        self._reached = placed.start + len(placed.samples)
        self._emit(self._chunker.feed(self._mixer.feed(placed.samples)))

    def _emit(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            body = io.BytesIO()
            soundfile.write(body, chunk.samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            unit = AudioUnit(
                index=self._count,
                start_s=chunk.start_s,
                end_s=chunk.end_s,
                hard_cut=chunk.hard_cut,
                level_db=level_db(chunk.samples),
            )
            self._count += 1
            self._pieces.put(AudioPiece(unit, body.getvalue()))


class MotionWatch:
    """As ``FrameWatch``, for the small pictures: there are so many that the folder is checked once a second."""

    def __init__(self, folder: Path, stretch: Callable[[int], int], takes: Callable[[int], bool]) -> None:
        self._watch = FrameWatch(folder, _MOTION_BATCH, stretch, takes)
        self._next = 0.0

    def ready(self) -> list[MotionPiece]:
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + 1.0
        return _moving(self._watch.ready())

    def rest(self) -> list[MotionPiece]:
        return _moving(self._watch.rest())


def _moving(pieces: list[FramesPiece]) -> list[MotionPiece]:
    return [MotionPiece(piece.names[0], piece.body) for piece in pieces]


def level_db(samples: NDArray[np.int16]) -> float:
    """RMS of the loudest second of int16 samples, shape (n,), dB below full scale; -100 at least."""
    seconds = [samples[at : at + SAMPLE_RATE].astype(np.float64) for at in range(0, len(samples), SAMPLE_RATE)]
    loudest = max(float(np.sqrt(np.mean(np.square(each)))) for each in seconds) / 32768
    return round(max(20 * math.log10(loudest), -100.0), 1) if loudest else -100.0
