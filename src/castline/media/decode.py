"""What ffmpeg is asked to do with one media file: frames as JPEG files named by time, sound as samples with times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from castline.media import sampling
from castline.media.chunks import SAMPLE_RATE
from castline.media.ffmpeg import Limits, arguments, better_decoder, open_input
from castline.media.mixing import mix_filter, output_channels
from castline.media.timeline import SHIFT_S
from castline.records import Probe, VideoStream

# Anchored, because ffmpeg prints titles too. showinfo's pts_time has only six digits, which means steps of 10 ms after
# 1000 s, so times are computed from clock ticks. The time base is set, not read from the log: on a busy machine another
# thread of ffmpeg may be in the middle of a line when the filter prints it.
_SHOWINFO = r"^\[Parsed_showinfo_\d+ @ 0x[0-9a-f]+\] \[info\] "
_SET_CLOCK = "settb=1/1000000"
_TICK = Fraction(1, 1000)  # milliseconds
_CONFIGURED = re.compile(_SHOWINFO + r"config in time_base: ")
_TIME = r"n:\s*\d+ pts:\s*(?P<ticks>-?\d+) "
_SHOWN = re.compile(_SHOWINFO + _TIME + r".*? sar:(?P<wide>\d+)/(?P<high>\d+) s:(?P<width>\d+)x(?P<height>\d+) ")
#: The same after something that another thread of ffmpeg had begun to print, such as its list of outputs. A title
#: may contain it too, so it is trusted only for frames outside a part.
_SHOWN_BEHIND = re.compile(_TIME + r"\s*pts_time:")
_JPEG_QUALITY = 3  # ffmpeg's -q:v; 2 is best, 31 worst. 3 costs the detector nothing measurable.
_MOTION_QUALITY = 5
#: PQ and HLG to BT.709: reference white (203 cd/m², ITU-R BT.2408) becomes SDR's white, and whatever is darker than
#: 80 % of it, all but lights and glints, is unchanged. A film curve (Hable's) flattens faces (docs/FACES.md, "HDR").
TONE_MAP = (
    "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709,tonemap=mobius:param=0.8:peak=2:desat=0,"
    "zscale=transfer=bt709:matrix=bt709:range=tv,format=yuv420p"
)

#: Where times jump back (two films, one after the other in one Matroska file), they continue from the last one.
_ONWARD = "setpts='if(isnan(PREV_INPTS),PTS,PREV_OUTPTS+if(lt((PTS-PREV_INPTS)*TB,-0.5),0.04/TB,PTS-PREV_INPTS))'"

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """A range of the pictures: whole slots of the sampling grid.

    Attributes:
        begin, end: slots of the grid, the end exclusive; None is the end of the recording.
        keyframes: whether only keyframes are decoded, as decided for the whole recording.
        seek_s: where to seek, just after a keyframe before the range, seconds; None decodes from the beginning.
    """

    begin: int
    end: int | None
    keyframes: bool = False
    seek_s: float | None = None


@dataclass
class Sampled:
    """The sampled frames, read off ffmpeg's log.

    Attributes:
        grid: only one frame per interval counts, even where ffmpeg started again because the size changed.
        part: the range wanted; of frames outside it, only the presence is noted.
        done: slots that have their frame from a decode before; no other is taken.
        sizes: display (width, height) of each frame before it was scaled, by its time in ms.
        before, after: whether a frame before the part, or after it, came out of the decoder.
    """

    grid: sampling.Grid
    part: Part = Part(0, None)
    done: frozenset[int] = frozenset()
    sizes: dict[int, Size] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    before: bool = False
    after: bool = False
    _begins: bool = False
    _last_ms: int = -1

    def note(self, line: str) -> None:
        if _CONFIGURED.match(line):
            self._begins = True
        elif match := _SHOWN.match(line):
            time_ms = _time_ms(match)
            if not self.takes(time_ms):
                self._witness(time_ms)
            elif self._begins and self.sizes and self.grid.slot(time_ms) <= self.grid.slot(self._last_ms):
                self.dropped.add(time_ms)
            elif time_ms not in self.sizes:
                self.sizes[time_ms] = _display(match)
                self._last_ms = max(self._last_ms, time_ms)
            self._begins = False
        elif match := _SHOWN_BEHIND.search(line):
            self._witness(_time_ms(match))

    def _witness(self, time_ms: int) -> None:
        slot = self.grid.slot(time_ms)
        self.before |= slot < self.part.begin
        self.after |= self.part.end is not None and slot >= self.part.end

    def takes(self, time_ms: int) -> bool:
        """Whether a time belongs to the part, and its slot has no frame yet."""
        slot = self.grid.slot(time_ms)
        return slot >= self.part.begin and (self.part.end is None or slot < self.part.end) and slot not in self.done

    def inside(self) -> bool:
        """Whether the decoder is inside the part; complaints from before or after do not concern the part."""
        return (bool(self.sizes) or not self.part.begin) and not self.after

    @property
    def whole(self) -> bool:
        """Whether nothing of the part can be missing: frames were decoded from before it and after it."""
        return (self.before or not self.part.begin) and (self.after or self.part.end is None)


def _time_ms(match: re.Match[str]) -> int:
    """Halves round up, as in the names that ffmpeg gives the frames."""
    return max(0, math.floor(int(match["ticks"]) * _TICK + Fraction(1, 2)))


def _display(match: re.Match[str]) -> Size:
    width, height = int(match["width"]), int(match["height"])
    wide, high = int(match["wide"]), int(match["high"])
    return (max(1, round(width * wide / high)) if wide and high else width), height


@dataclass
class Recipe:
    """How to decode one media file; makes ffmpeg's argument lists.

    Attributes:
        folder: where the JPEG files go.
        end_s: nothing is decoded after it.
        keyframes: decode keyframes alone.
        part: only a range of the pictures.
        motion: where 25 small grey pictures a second go, as JPEG files named by time; None for none.
    """

    path: Path
    probed: Probe
    limits: Limits
    folder: Path
    grid: sampling.Grid
    long_side: int
    end_s: float
    keyframes: bool = False
    part: Part | None = None
    motion: Path | None = None

    def arguments(self, kinds: Sequence[str]) -> list[str]:
        """argv that reads the media once for ``video``, ``audio`` or both; twice for keyframes alone with motion."""
        source = self._source()
        outputs = [self._frames(source) if kind == "video" else self._sound(source) for kind in kinds]
        if self.motion and "video" in kinds:
            outputs.append(self._motion(self._source(every_frame=True) if self.keyframes else source))
        return arguments(ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0], self.limits)

    def other_sizes(self, sizes: Mapping[Size, Sequence[int]]) -> list[str]:
        """argv with one output for each further picture size, of the frames at these times (ms)."""
        source = self._source()
        outputs = []
        for size, times in sizes.items():
            # ffmpeg's names are rounded to a millisecond, and no two wanted frames are within 2 ms of each other.
            wanted = "+".join(f"between(t,{(time - 0.6) / 1000:.4f},{(time + 0.6) / 1000:.4f})" for time in times)
            outputs.append(self._jpegs(source, size, [*self._stop, f"select='{wanted}'"]))
        return arguments(ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0], self.limits)

    @property
    def _own_clock(self) -> bool:
        """Whether the file's start time is subtracted here and not by ffmpeg.

        In Matroska, ffmpeg finds a video's start only by decoding, and from keyframes alone it does not.
        """
        return self.keyframes and "matroska" in self.probed.container

    def _source(self, *, every_frame: bool = False) -> Any:
        seek_s = self.part.seek_s if self.part else None
        options: dict[str, Any] = {"skip_frame": "nokey"} if self.keyframes and not every_frame else {}
        options |= better_decoder(self.probed.audio, self.limits)
        if self._own_clock:
            options["copyts"] = None
        elif seek_s is not None:  # else ffmpeg would count from where the seek lands
            options |= {"copyts": None, "start_at_zero": None}
        if seek_s is not None:
            options |= {"ss": f"{seek_s:.3f}", "noaccurate_seek": None}
        return open_input(self.path, self.limits, joined=self.probed.joined, **options)

    def _frames(self, source: Any) -> Any:
        """Output of the sampled frames, scaled according to the probed size."""
        video, part = self._video, self.part
        if part is None:
            select = sampling.select_filter(self.grid, self.limits.max_frames)
        else:
            select = sampling.select_part(self.grid, part.begin, part.end)
        # The stop comes after the log, so that the frame which ends a part is logged.
        chosen = [select, _SET_CLOCK, "showinfo=checksum=0", *self._stop]
        return self._jpegs(source, (video.width, video.height), chosen)

    @property
    def _stop(self) -> list[str]:
        """The filter that ends the decode where the part ends."""
        if self.part is None or self.part.end is None:
            return []
        return [f"trim=end={self.part.end * self.grid.interval_s - 0.0005:.4f}"]

    @property
    def _video(self) -> VideoStream:
        assert self.probed.video is not None  # noqa: S101 - for the type checker: the caller checked
        return self.probed.video

    def _jpegs(self, source: Any, size: Size, chosen: list[str]) -> Any:
        video = self._video
        width, height = sampling.scaled_size(*size, self.long_side)
        chain = [
            *([f"setpts='PTS-({self.probed.start_s:.6f})/TB'"] if self._own_clock else []),
            _ONWARD,
            *chosen,
            f"scale={width}:{height}:out_range={'tv' if video.hdr else 'full'}",
            *([TONE_MAP, "scale=out_range=full"] if video.hdr else []),
            "setsar=1",
            "format=yuvj420p",
            *self.grid.without_duplicates(width, height),
        ]
        return source[str(video.index)].output(
            str(self.folder / "%09d.jpg"),
            format="image2",
            vf=",".join(chain),
            vcodec="mjpeg",
            fps_mode="passthrough",
            enc_time_base="1:1000",
            frame_pts=1,
            atomic_writing=1,
            t=self.end_s,
            **{"q:v": _JPEG_QUALITY},
        )

    def _motion(self, source: Any) -> Any:
        """Output of the pictures in which mouths are watched: the first of every 40 ms, with its own time."""
        assert self.motion is not None  # noqa: S101 - for the type checker: the caller checked
        video = self._video
        width, height = sampling.scaled_size(video.width, video.height, min(self.long_side, sampling.MOTION_SIDE))
        chain = [
            *([f"setpts='PTS-({self.probed.start_s:.6f})/TB'"] if self._own_clock else []),
            _ONWARD,
            sampling.select_motion(),
            *self._stop,
            f"scale={width}:{height}:out_range={'tv' if video.hdr else 'full'}",
            *([TONE_MAP, "scale=out_range=full"] if video.hdr else []),
            "setsar=1",
            "format=gray",
            "format=yuvj420p",
        ]
        return source[str(video.index)].output(
            str(self.motion / "%09d.jpg"),
            format="image2",
            vf=",".join(chain),
            vcodec="mjpeg",
            fps_mode="passthrough",
            enc_time_base="1:1000",
            frame_pts=1,
            atomic_writing=1,
            t=self.end_s,
            **{"q:v": _MOTION_QUALITY},
        )

    def _sound(self, source: Any) -> Any:
        """Output of the sound: 16 kHz, one or two channels of 32-bit float, with the decoder's times."""
        audio = self.probed.audio
        assert audio is not None  # noqa: S101 - for the type checker: the caller checked
        before = mix_filter(audio)
        return source[str(audio.index)].output(
            "pipe:1",
            format="matroska",
            acodec="pcm_f32le",
            ar=SAMPLE_RATE,
            ac=output_channels(audio),
            output_ts_offset=SHIFT_S - (self.probed.start_s if self._own_clock else 0),
            avoid_negative_ts="disabled",
            t=self.end_s,
            **({"af": before} if before else {}),
        )


def kinds_of(probed: Probe) -> tuple[str, ...]:
    """What is to be decoded: ``video``, ``audio``."""
    return tuple(kind for kind, stream in (("video", probed.video), ("audio", probed.audio)) if stream)
