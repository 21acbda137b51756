"""One ffmpeg process that turns a media into units, handed over while it still runs.

Frames come as JPEG files that ffmpeg names by presentation time and renames into place when they
are whole; audio comes as raw samples through a pipe. A unit is yielded as soon as it is complete.
"""

from __future__ import annotations

import math
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import ffmpeg

from castline.errors import CastlineError, MediaTooLarge, UndecodableMedia
from castline.media import sampling
from castline.media.chunks import SAMPLE_RATE
from castline.media.ffmpeg import Ffmpeg, Limits, arguments, explain, open_input
from castline.media.pieces import AudioPiece, AudioReader, FramesPiece, FrameWatch, Piece
from castline.records import AudioUnit, Frame, FramesUnit, Notice, NoticeCode, Options, Probe

_POLL_S = 0.05
# Anchored, because titles are printed too. showinfo's pts_time has six digits only, which is 10 ms
# from 1000 s on, so times are computed from the clock ticks.
_SHOWINFO = r"^\[Parsed_showinfo_\d+ @ 0x[0-9a-f]+\] \[info\] "
_CLOCK = re.compile(_SHOWINFO + r"config in time_base: (?P<num>\d+)/(?P<den>\d+),")
_SHOWN = re.compile(_SHOWINFO + r"n:\s*\d+ pts:\s*(?P<ticks>-?\d+) ")
_JPEG_QUALITY = 3  # ffmpeg's -q:v; 2 is best, 31 worst. 3 costs the detector nothing measurable.
_SHORT_S, _SHORT_SHARE = 1.0, 0.05


@dataclass
class SplitSummary:
    """What is only known at the end. Filled by ``split`` while it runs.

    Attributes:
        sampled_ms: presentation times of all sampled frames, also of the dropped near-duplicates.
    """

    sampling: Literal["interval", "keyframes"] | None = None
    sampled_ms: list[int] = field(default_factory=list)
    frame_units: list[tuple[int, ...]] = field(default_factory=list)
    audio_units: list[AudioUnit] = field(default_factory=list)
    audio_s: float = 0.0
    warnings: list[Notice] = field(default_factory=list)
    error: CastlineError | None = None

    def units(self) -> tuple[FramesUnit | AudioUnit, ...]:
        """All units, frames first, with the time each kept frame stands for."""
        kept = [time for unit in self.frame_units for time in unit]
        until = stands_until(kept, self.sampled_ms)
        frames = tuple(
            FramesUnit(index=index, frames=tuple(Frame(time_ms=time, until_ms=until[time]) for time in unit))
            for index, unit in enumerate(self.frame_units)
        )
        return (*frames, *self.audio_units)

    def duration_s(self, probed: Probe) -> float:
        """Length of the timeline in seconds: the container's word, or what was decoded if that is longer."""
        last_frame = self.sampled_ms[-1] / 1000 if self.sampled_ms else 0.0
        return round(max(probed.duration_s or 0.0, last_frame, self.audio_s), 3)


def stands_until(kept: list[int], sampled: list[int]) -> dict[int, int]:
    """For each kept frame (ms) the last sampled time before the next kept one."""
    until = {}
    position = 0
    for this, following in zip_longest(kept, kept[1:]):
        last = this
        while position < len(sampled) and (following is None or sampled[position] < following):
            last = max(last, sampled[position])
            position += 1
        until[this] = last
    return until


def split(
    path: Path, probed: Probe, options: Options, limits: Limits, summary: SplitSummary, *, max_duration_s: float
) -> Iterator[Piece]:
    """Decode once; yield units as they get ready; leave the rest of the story in ``summary``.

    A decode that breaks off after it gave something is not raised: ``summary.error`` names it, so
    that what was decoded is analysed and the run ends ``partial``.

    Raises:
        UndecodableMedia: nothing could be decoded.
        MediaTooLarge: longer than ``max_duration_s``.
        FfmpegTimeout, ResourceError: time, disk or memory ran out before anything was decoded.
    """
    if probed.duration_s and probed.duration_s > max_duration_s:
        raise MediaTooLarge(f"{probed.duration_s / 3600:.1f} h is longer than the limit of {max_duration_s / 3600:g} h")
    with tempfile.TemporaryDirectory(prefix="frames-") as folder:
        frames = Path(folder)
        if probed.video:
            mode = sampling.choose(options.sampling, options.interval_s, path, probed.duration_s, limits)
            summary.sampling = "keyframes" if mode == "keyframes" else "interval"
        argv = _decode_arguments(path, probed, options, limits, summary.sampling, frames, max_duration_s)
        with Ffmpeg(argv, limits, on_line=_SampledTimes(summary.sampled_ms).note) as process:
            audio = AudioReader(process, options.chunk_s) if probed.audio else None
            watch = FrameWatch(frames, options.frames_per_unit)
            while process.running():
                yield from _taken(watch.ready(), audio.ready(_POLL_S) if audio else _nap(), summary)
            failure = _outcome(process)
            yield from _taken(watch.rest(), audio.rest() if audio else [], summary)
            summary.sampled_ms.sort()
            summary.audio_s = audio.seconds if audio else 0.0
            _judge(process, failure, probed, summary)


def _taken(frames: list[FramesPiece], audio: list[AudioPiece], summary: SplitSummary) -> Iterator[Piece]:
    # Sound first: a chunk takes ten times as long to analyse as a batch of frames, and what takes
    # longest should not be what starts last.
    for chunk in audio:
        summary.audio_units.append(chunk.unit)
        yield chunk
    for piece in frames:
        summary.frame_units.append(piece.names)
        yield piece


def _nap() -> list[AudioPiece]:
    threading.Event().wait(_POLL_S)
    return []


def _outcome(process: Ffmpeg) -> CastlineError | None:
    try:
        status = process.wait()
    except CastlineError as error:
        return error
    return explain(status, process.errors, process.log, opened=True) if status else None


def _judge(process: Ffmpeg, failure: CastlineError | None, probed: Probe, summary: SplitSummary) -> None:
    """Turn the end of the decode into an error or warnings."""
    got_something = bool(summary.frame_units or summary.audio_units)
    if not got_something:
        raise failure or UndecodableMedia("nothing could be decoded", detail=process.log)
    summary.error = failure

    def warn(code: NoticeCode, message: str) -> None:
        summary.warnings.append(Notice(code=code, message=message))

    if process.errors:
        more = f" (and {process.error_count - 1} more)" if process.error_count > 1 else ""
        warn("damaged_input", f"damaged input, decoded as far as possible: {process.errors[0][:200]}{more}")
    if probed.video and not summary.frame_units:
        warn("no_frames", "the video stream gave no frame")
    if probed.audio and not summary.audio_units:
        warn("no_sound", "the audio stream gave no sound")
    reached = max(summary.audio_s, summary.sampled_ms[-1] / 1000 if summary.sampled_ms else 0.0)
    expected = probed.duration_s or 0.0
    # Sampled frames end up to one sampling step early, so only audio proves a short decode of sound.
    if probed.audio and expected - reached > max(_SHORT_S, _SHORT_SHARE * expected):
        warn("short_decode", f"the file says {expected:.1f} s, but only {reached:.1f} s could be decoded")


class _SampledTimes:
    """Reads the times of sampled frames off ffmpeg's log."""

    def __init__(self, sampled_ms: list[int]) -> None:
        self._sampled_ms = sampled_ms
        self._tick = Fraction(0)  # milliseconds

    def note(self, line: str) -> None:
        if match := _CLOCK.match(line):
            self._tick = Fraction(1000 * int(match["num"]), int(match["den"]))
        elif match := _SHOWN.match(line):
            # Halves go up, as in the names that ffmpeg gives the frames.
            self._sampled_ms.append(max(0, math.floor(int(match["ticks"]) * self._tick + Fraction(1, 2))))


def _decode_arguments(
    path: Path,
    probed: Probe,
    options: Options,
    limits: Limits,
    mode: str | None,
    frames: Path,
    max_duration_s: float,
) -> list[str]:
    extra = {"skip_frame": "nokey"} if mode == "keyframes" else {}
    source = open_input(path, limits, **extra)
    outputs = []
    if probed.video:
        outputs.append(_frames_output(source, probed, options, frames, max_duration_s))
    if probed.audio:
        outputs.append(_audio_output(source, probed, max_duration_s))
    return arguments(outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs), limits)


def _frames_output(source: Any, probed: Probe, options: Options, frames: Path, max_duration_s: float) -> Any:
    assert probed.video is not None  # noqa: S101 - for the type checker: the caller checked
    width, height = sampling.scaled_size(probed.video, options.long_side)
    chain = [
        sampling.select_filter(options.interval_s),
        "showinfo=checksum=0",
        f"scale={width}:{height}:out_range=full",
        "setsar=1",
        "mpdecimate",
        "format=yuvj420p",
    ]
    return source["V:0"].output(
        str(frames / "%09d.jpg"),
        format="image2",
        vf=",".join(chain),
        vcodec="mjpeg",
        fps_mode="passthrough",
        enc_time_base="1:1000",
        frame_pts=1,
        atomic_writing=1,
        t=max_duration_s,
        **{"q:v": _JPEG_QUALITY},
    )


def _audio_output(source: Any, probed: Probe, max_duration_s: float) -> Any:
    assert probed.audio is not None  # noqa: S101 - for the type checker: the caller checked
    # first_pts=0 and async=1 put silence where there is no sound (late start, gaps), so that a
    # sample's index is its presentation time.
    chain = f"aresample={SAMPLE_RATE}:async=1:first_pts=0"
    extra: dict[str, Any] = {"ac": 1}
    if probed.audio.channels > 8:
        # Channels without speaker positions: ffmpeg refuses to mix them by itself. The mean is fair.
        count = min(probed.audio.channels, 64)
        mix = "+".join(f"{1 / count:.6f}*c{channel}" for channel in range(count))
        chain, extra = f"pan=mono|c0={mix},{chain}", {}
    return source["a:0"].output("pipe:1", format="s16le", acodec="pcm_s16le", af=chain, t=max_duration_s, **extra)
