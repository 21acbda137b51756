"""Turns a media file into units with one ffmpeg process, and yields them while it still runs.

Frames come as JPEG files that ffmpeg names by presentation time and renames into place when they are complete; audio
comes as samples with their times through a pipe. A unit is yielded as soon as it is complete. If the process fails,
frames and sound are decoded separately, so that one does not fail because of the other.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Literal

from castline.errors import CastlineError, FfmpegTimeout, MediaTooLarge, ResourceError, UndecodableMedia
from castline.media import sampling
from castline.media.decode import Part, Recipe, Sampled, Size, kinds_of
from castline.media.ffmpeg import Ffmpeg, Limits, explain
from castline.media.lengths import stated_ends
from castline.media.missing import comes_evenly
from castline.media.mixing import output_channels
from castline.media.pieces import AudioPiece, AudioReader, FramesPiece, FrameWatch, MotionWatch, Piece
from castline.media.summary import SplitSummary, conclude
from castline.records import Options, Probe
from castline.scratch import SCRATCH

_POLL_S = 0.05
_OTHER_SIZES = 8  # sizes a second decode may write; if there are more, the rest is left out
_OTHER_FRAMES = 3000  # frames of other sizes; each is a term of ffmpeg's expression


#: Pieces of one process, and its error at the end, if any.
Pieces = Generator[Piece, None, CastlineError | None]


def split(
    path: Path, probed: Probe, options: Options, limits: Limits, summary: SplitSummary, *, max_duration_s: float
) -> Iterator[Piece]:
    """Decode once; yield units as they become ready; put everything else into ``summary``.

    If decoding breaks off after it produced something, no error is raised: ``summary.error`` names it, so that what was
    decoded is analysed and the run ends ``partial``.

    Raises:
        UndecodableMedia: nothing could be decoded.
        MediaTooLarge: longer than ``max_duration_s``.
        FfmpegTimeout, ResourceError: time, disk or memory ran out before anything was decoded.
    """
    check_length(probed, max_duration_s)
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}frames-") as folder:
        decode = _Decode(path, probed, options, limits, summary, Path(folder), max_duration_s)
        yield from decode.run()
    stated_s = {}
    if summary.told.errors:
        stated_s = stated_ends(path, probed, limits, keyframes=summary.sampling == "keyframes")
    even = partial(comes_evenly, path, probed, limits)
    conclude(summary, probed, options, limits, max_duration_s, stated_s, even)


def split_part(
    path: Path,
    probed: Probe,
    options: Options,
    limits: Limits,
    summary: SplitSummary,
    part: Part | None,
    *,
    max_duration_s: float,
) -> Iterator[Piece]:
    """As ``split``, but only a range of the pictures, or only the sound; the caller concludes once it has all of them.

    The units equal those that ``split`` makes from the same stretches, byte for byte.

    Args:
        path: the bytes that are read (``media.ranges`` says which) must be present; the rest may be holes.
        part: None for the sound.

    Raises:
        UndecodableMedia: a range of pictures is incomplete: a frame before it, or after it, was not reached.
        CastlineError: as ``split``; failures after something was decoded are in ``summary.failures``.
    """
    kind: Literal["video", "audio"] = "video" if part else "audio"
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}frames-") as folder:
        decode = _Decode(path, probed, options, limits, summary, Path(folder), max_duration_s, part)
        yield from decode.run((kind,))
    if part and kind not in summary.failures and not decode.whole:
        summary.failures[kind] = UndecodableMedia("its beginning or its end was not reached", detail=summary.told.log)


def check_length(probed: Probe, max_duration_s: float) -> None:
    """
    Raises:
        MediaTooLarge: longer than ``max_duration_s``.
    """
    if probed.duration_s and probed.duration_s > max_duration_s:
        raise MediaTooLarge(
            f"{_clock(ceil(probed.duration_s))} is longer than the limit of {_clock(int(max_duration_s))}; "
            "cut it into shorter files, or raise CASTLINE_MAX_DURATION_S"
        )


def _clock(seconds: int) -> str:
    """``0:01:30``"""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def grid_of(probed: Probe, options: Options, limits: Limits) -> tuple[sampling.Grid, int]:
    """The times at which frames are sampled, and the frames of one unit."""
    interval_s = sampling.affordable(options.interval_s, probed.duration_s, limits)
    length = probed.duration_s
    expected = int(length / interval_s) + 1 if length else limits.max_frames
    per_unit = max(options.frames_per_unit, -(-expected // limits.max_units))
    return sampling.Grid.of(interval_s, per_unit), per_unit


class _Decode:
    """Decodes one media file, through one ffmpeg process or, if that fails, a few."""

    def __init__(
        self,
        path: Path,
        probed: Probe,
        options: Options,
        limits: Limits,
        summary: SplitSummary,
        folder: Path,
        end_s: float,
        part: Part | None = None,
    ) -> None:
        self._probed, self._options, self._limits, self._summary = probed, options, limits, summary
        self._told, self._part = summary.told, part
        used = {stream.codec for stream in probed.streams if stream.used}
        self._unused = {stream.codec for stream in probed.streams} - used
        grid, per_unit = grid_of(probed, options, limits)
        self._recipe = Recipe(path, probed, limits, folder, grid, options.long_side, end_s, part=part)
        self._sampled = Sampled(grid, part or Part(0, None))
        self._other_size = False
        self._video_s: float | None = None
        self._watch = FrameWatch(folder, per_unit, grid.stretch, self._wanted)
        self._motion: MotionWatch | None = None
        if options.speakers == "auto" and probed.audio and probed.video:
            self._recipe.motion = folder / "motion"
            self._recipe.motion.mkdir()
            self._motion = MotionWatch(self._recipe.motion, grid.stretch, self._sampled.takes)
        self._audio: AudioReader | None = None
        if probed.audio:
            self._audio = AudioReader(output_channels(probed.audio), options.chunk_s, end_s, limits.max_units)

    @property
    def whole(self) -> bool:
        return self._sampled.whole

    def run(self, kinds: tuple[str, ...] = ()) -> Iterator[Piece]:
        kinds = kinds or kinds_of(self._probed)
        if "video" in kinds:
            self._recipe.keyframes = self._part.keyframes if self._part else self._choose()
            self._summary.sampling = "keyframes" if self._recipe.keyframes else "interval"
        failures = self._summary.failures
        failure = yield from self._through(kinds)
        if not failure and self._thin():
            failure = yield from self._every_frame(kinds)
        if failure and len(kinds) > 1 and not isinstance(failure, FfmpegTimeout | ResourceError):
            for kind in kinds:
                if alone := (yield from self._through((kind,))):
                    failures[kind] = alone
        elif failure:
            failures.update(dict.fromkeys(kinds, failure))
        if "video" not in failures and (others := self._others()):
            yield from self._other_sizes(others)
        yield from self._take(self._watch.rest(), self._audio.rest() if self._audio else [])
        yield from self._motion.rest() if self._motion else []
        self._count()

    def _choose(self) -> bool:
        """Whether keyframes are enough."""
        video, recipe, asked = self._probed.video, self._recipe, self._options.sampling
        assert video is not None  # noqa: S101 - for the type checker: the caller checked
        found = None
        if asked == "auto":
            found = sampling.look(recipe.path, video, self._limits, joined=self._probed.joined)
            self._video_s = found.end_s if found else None
        return sampling.decide(asked, recipe.grid.interval_s, found) == "keyframes"

    def _thin(self) -> bool:
        """Whether the decoder delivered fewer keyframes than the container has."""
        times, grid, part = self._sampled.sizes, self._recipe.grid, self._sampled.part
        if not self._recipe.keyframes or self._options.sampling != "auto" or len(times) >= self._limits.max_frames:
            return False
        end_s = self._video_s if part.end is None else part.end * grid.interval_s
        end_s = None if end_s is None else min(end_s, self._recipe.end_s)
        thin = sampling.is_thin(times, grid.interval_s, part.begin * grid.interval_s, end_s)
        return thin or not self._sampled.whole

    def _every_frame(self, kinds: tuple[str, ...]) -> Pieces:
        """Decode again, every picture, for the slots whose frame has not been passed on yet.

        What the decoder reported about keyframes alone does not count.
        """
        self._recipe.keyframes, self._summary.sampling = False, "interval"
        self._watch.forget()
        grid = self._recipe.grid
        done = frozenset(grid.slot(time_ms) for names in self._summary.frame_units for time_ms in names)
        self._sampled = Sampled(grid, self._sampled.part, done)
        self._told.forget()
        return (yield from self._through(kinds))

    def _through(self, kinds: tuple[str, ...]) -> Pieces:
        """Run one process for these kinds."""
        keyframes = self._recipe.keyframes and "video" in kinds
        argv = replace(self._recipe, keyframes=keyframes).arguments(kinds)
        return (yield from self._process(argv, sound="audio" in kinds))

    def _process(self, argv: list[str], *, sound: bool) -> Pieces:
        audio = self._audio if sound else None
        with Ffmpeg(argv, self._limits, on_line=self._sampled.note, heeds=self._heeds) as process:
            if audio:
                audio.read(process)
            while process.running():
                yield from self._take(self._watch.ready(), audio.ready(_POLL_S) if audio else _nap())
                yield from self._motion.ready() if self._motion else []
            failure = _outcome(process)
            yield from self._take(self._watch.ready(), audio.join() if audio else [])
            self._told.hear(process)
        return failure

    def _heeds(self, who: str | None) -> bool:
        """Whether an error concerns this part, not the cover or another stream that is not used."""
        return self._sampled.inside() and who not in self._unused

    def _take(self, frames: list[FramesPiece], audio: list[AudioPiece]) -> Iterator[Piece]:
        # Sound first: a chunk takes ten times as long to analyse as a batch of frames, and the longest work should not
        # start last.
        for chunk in audio:
            self._summary.audio_units.append(chunk.unit)
            yield chunk
        for piece in frames:
            self._summary.frame_units.append(piece.names)
            self._summary.numbers.append(piece.index)
            yield piece

    def _wanted(self, time_ms: int) -> bool | None:
        """Whether to keep a frame's file: it has the probed size, or was made for its own size."""
        if not self._sampled.takes(time_ms):
            return False
        if time_ms in self._sampled.dropped and time_ms not in self._sampled.sizes:
            return False
        size = self._sampled.sizes.get(time_ms)
        return None if size is None else self._other_size or self._natural(size)

    def _natural(self, size: Size) -> bool:
        video = self._probed.video
        return video is not None and size == (video.width, video.height)

    def _others(self) -> dict[Size, list[int]]:
        """Times of the frames whose size is not the probed one."""
        found: dict[Size, list[int]] = {}
        for time_ms, size in self._sampled.sizes.items():
            if not self._natural(size):
                found.setdefault(size, []).append(time_ms)
        return found

    def _other_sizes(self, found: dict[Size, list[int]]) -> Iterator[Piece]:
        """Decode again the frames that changed size while recording, each scaled by its own size."""
        yield from self._take(self._watch.rest(), [])
        most = sorted(found.items(), key=lambda item: -len(item[1]))[:_OTHER_SIZES]
        sizes = {size: times[:_OTHER_FRAMES] for size, times in most}
        self._told.left_out = sum(map(len, found.values())) - sum(map(len, sizes.values()))
        self._other_size = True
        failure = yield from self._process(self._recipe.other_sizes(sizes), sound=False)
        if failure:
            self._told.other_sizes = failure

    def _count(self) -> None:
        summary = self._summary
        # A log line that another thread of ffmpeg interrupted is lost, but its frame is there.
        kept = (time_ms for names in summary.frame_units for time_ms in names)
        summary.sampled_ms[:] = sorted({*self._sampled.sizes, *kept})
        if self._audio:
            summary.audio_s = self._audio.seconds
            self._told.cancelled_s, self._told.noise_s = self._audio.cancelled_s, self._audio.noise_s
            self._told.sound_capped = self._audio.capped


def _nap() -> list[AudioPiece]:
    threading.Event().wait(_POLL_S)
    return []


def _outcome(process: Ffmpeg) -> CastlineError | None:
    try:
        status = process.wait()
    except CastlineError as error:
        return error
    return explain(status, process.errors, process.log, opened=True) if status else None
