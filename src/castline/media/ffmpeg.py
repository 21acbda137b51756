"""Runs ffmpeg on hostile input: what it may open, how long it may run, how its failures are reported.

ffmpeg-python builds the argument lists; no shell, no stdin, a wall-clock limit, a memory limit,
local files only, and only demuxers that cannot refer to other files.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import ffmpeg

from castline.errors import CastlineError, FfmpegTimeout, ForbiddenMedia, NotMedia, ResourceError, UndecodableMedia
from castline.media.confine import confine, spawn
from castline.media.unread import says_too_little
from castline.records import AudioStream
from castline.settings import Settings

#: Demuxers that read one file and nothing else. Playlists (hls, dash, concat, sdp, image2 …) are
#: absent: they name other files and hosts. mov is safe because ``enable_drefs`` is off by default.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,ogg,mpeg,mpegts,mpegvideo,asf,"
    "mp3,wav,w64,flac,aac,amr,aiff,caf,h264,hevc,m4v,mxf,dv,wtv,ac3,eac3,dts,au,tta,wv,ape,mpc,mpc8"
)

#: What ffmpeg says, and what that means for the person who uploaded the file.
_READABLE: tuple[tuple[str, str], ...] = (
    ("moov atom not found", "the file has no index (moov atom): it is incomplete, or it is not an MP4"),
    ("Invalid data found when processing input", "the content is not in a known audio or video format"),
    ("End of file", "the file ends before its first frame"),
    ("could not find codec parameters", "the container does not say how its streams are coded"),
    ("No space left on device", "the temporary disk is full"),
    ("Cannot allocate memory", "decoding needs more memory than allowed"),
    ("Error opening input: No such file or directory", "the file has gone from the temporary disk"),
)
#: Failures of the machine, not of the file: another attempt may succeed.
_ELSEWHERE = ("No space", "Cannot allocate", "Error opening input: No such file")

_LINE = re.compile(r"^(?:\[(?P<who>[^\]]+) @ 0x[0-9a-f]+\] )*(?:\[(?P<level>error|fatal|panic)\] )(?P<text>.+)$")
#: A chain of recordings in an Ogg file is complained about while its length is sought, and then read to its end. Where
#: it is not, there is another error.
_HARMLESS = "failed to create or replace stream"
_REFUSED = re.compile(r"^\[(?P<name>[\w,]+) @ 0x[0-9a-f]+\] \[error\] Format not on whitelist '", re.MULTILINE)
_LISTS = ("hls", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp")  # demuxers that open other files
_LISTED = {"codecs": r"^ D[.E][VA]\S+ (\S+)", "decoders": r"^ [VA]\S{5} (\w\S*)"}
_TAIL_LINES = 60
_HEAD_LINES = 5000  # of a container's description; no real file has more streams and chapters
_KEPT_ERRORS = 50  # a damaged hour produces a hundred thousand of them
_LINE_BYTES = 4096  # the rest of a longer line is dropped
_BLOCK_BYTES = 1 << 16

#: Seconds a broadcast's clock may jump and still be believed: less is a gap, more is another recording's clock. If the
#: clock goes back, recordings were joined end to end, and every jump is a joint.
_CLOCK_JUMP_S, _JOINED_JUMP_S = 3600, 1

#: Decoders to prefer over ffmpeg's own. Its own for Speex (7.0.2) makes wideband twice as long, and noise.
_BETTER_DECODERS = {"speex": "libspeex"}

#: All of ffmpeg's environment. A static ffmpeg segfaults when its iconv loads the system's converters
#: (7.0.2 does so on every MPEG-TS with a service name), so it is directed to a folder without any.
_ENVIRONMENT = {"GCONV_PATH": "/nonexistent", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for the ffmpeg processes of one media file.

    Attributes:
        timeout_s: wall clock of one process, seconds.
        deadline: when the last of them must have ended, on the clock of ``time.monotonic``.
        memory_mb: address space, MiB.
        max_pixels: coded width x height.
        max_frames: frames sampled.
        max_units: stage-1 objects of one kind.
    """

    program: str = "ffmpeg"
    timeout_s: float = 840.0
    deadline: float = math.inf
    memory_mb: int = 4096
    max_pixels: int = 8192 * 4320
    max_frames: int = 50_000
    max_units: int = 2_000

    @classmethod
    def of(cls, settings: Settings, left_s: float = math.inf) -> Limits:
        """The limits of the settings, with the installed ffmpeg: on PATH, or from imageio-ffmpeg.

        Args:
            left_s: seconds from now that all processes together may run.
        """
        return cls(
            program=_program(settings.ffmpeg),
            timeout_s=settings.ffmpeg_timeout_s,
            deadline=time.monotonic() + left_s,
            memory_mb=settings.ffmpeg_memory,
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            max_units=settings.max_units,
        )

    @property
    def left_s(self) -> float:
        """Seconds that a process started now may run."""
        return max(min(self.timeout_s, self.deadline - time.monotonic()), 0.1)

    def share(self, part: float) -> Limits:
        """The same limits, with only a part of the remaining time."""
        return replace(self, timeout_s=self.left_s * part)


def _program(name: str) -> str:
    if shutil.which(name) is None:
        with contextlib.suppress(ImportError, RuntimeError):  # not installed, or none for this system
            import imageio_ffmpeg

            return str(imageio_ffmpeg.get_ffmpeg_exe())
    return name


def open_input(path: Path, limits: Limits, *, joined: bool = False, **options: Any) -> Any:
    """An ffmpeg-python input node that can read exactly one local file.

    The ``file:`` prefix keeps a name such as ``http:x.mp4`` from being read as a URL.

    Args:
        joined: the file's clock goes back.
    """
    if says_too_little(path):
        options["ignore_length"] = 1
    return ffmpeg.input(
        f"file:{path}",
        protocol_whitelist="file,pipe",
        format_whitelist=DEMUXERS,
        max_pixels=limits.max_pixels,
        dts_delta_threshold=_JOINED_JUMP_S if joined else _CLOCK_JUMP_S,
        guess_layout_max=2,  # three microphones are not "2.1", whose third channel a mix leaves out
        **options,
    )


def better_decoder(sound: AudioStream | None, limits: Limits) -> dict[str, str]:
    """Input options for a sound track that ffmpeg's own decoder reads wrongly, if this ffmpeg has another decoder."""
    better = _BETTER_DECODERS.get(sound.codec) if sound else None
    return {f"c:{sound.index}": better} if sound and better in _known(limits.program, "decoders") else {}


def arguments(node: Any, limits: Limits) -> list[str]:
    """argv of an ffmpeg-python output node."""
    head = [limits.program, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-y"]
    return head + list(ffmpeg.get_args(node))


class Ffmpeg:
    """One running ffmpeg, with its stderr drained and its limits kept.

    A context manager: leaving it ends the process, whatever happened inside.

    Args:
        on_line: called in a background thread with every stderr line.
        heeds: whether an error line of a demuxer or decoder that arrives now concerns what was requested.
    """

    def __init__(
        self,
        argv: list[str],
        limits: Limits,
        *,
        on_line: Callable[[str], None] | None = None,
        heeds: Callable[[str | None], bool] = lambda _: True,
    ) -> None:
        self.limits = limits
        self.errors: list[str] = []
        self.error_count = 0
        self.timed_out = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        self._heeds = heeds
        program = shutil.which(argv[0])
        if program is None:
            raise ResourceError(f"ffmpeg is not installed: {argv[0]} is not a program on PATH")
        self._allowed_s = limits.left_s
        self._process = spawn([program, *argv[1:]], _ENVIRONMENT)
        confine(self._process.pid, limits.memory_mb, self._allowed_s)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(self._allowed_s, self._expire)
        self._timer.daemon = True
        self._timer.start()

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: stdout=PIPE above
        return self._process.stdout

    def stdout_lines(self) -> Iterator[bytes]:
        """Lines of its output, as they arrive."""
        return iter(self.stdout)

    @property
    def log(self) -> str:
        return "\n".join(self._tail)

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Exit status, once the process has ended and all its output is read.

        Raises:
            FfmpegTimeout: it reached its wall-clock limit and was killed.
        """
        status = self._process.wait()
        self._timer.cancel()
        self._reader.join()
        if self.timed_out:
            raise FfmpegTimeout(f"ffmpeg did not finish within {self._allowed_s:.3g} s", detail=self.log)
        return status

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self.running():
            self._process.kill()
        self._process.wait()
        self._reader.join()
        self.stdout.close()

    def _expire(self) -> None:
        self.timed_out = True
        self._process.kill()

    def _drain(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - for the type checker: stderr=PIPE above
        with self._process.stderr as stderr:
            for line in _lines(stderr):
                self._tail.append(line)
                match = _LINE.match(line)
                if match and match["text"] != _HARMLESS and self._heeds(match["who"]):
                    self.error_count += 1
                    if self.error_count <= _KEPT_ERRORS:
                        self.errors.append(match["text"])
                if self._on_line:
                    self._on_line(line)


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines of a pipe, read in blocks; the part of a line beyond ``_LINE_BYTES`` is dropped.

    A long title must not be mistaken for a line of ffmpeg's own, so its rest is not a line.
    """
    begun = b""
    while block := os.read(stream.fileno(), _BLOCK_BYTES):
        *whole, rest = (begun + block).split(b"\n")
        for raw in whole:
            yield raw[:_LINE_BYTES].decode("utf-8", "replace").rstrip()
        begun = rest[:_LINE_BYTES]
    if begun:
        yield begun.decode("utf-8", "replace").rstrip()


def run(argv: list[str], limits: Limits) -> tuple[int, bytes, str, list[str]]:
    """Run to the end: exit status, stdout, the first lines of stderr, and its error lines.

    Raises:
        FfmpegTimeout: killed when its time was up.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        if len(lines) < _HEAD_LINES:
            lines.append(line)

    with Ffmpeg(argv, limits, on_line=keep) as process:
        output = process.stdout.read()
        return process.wait(), output, "\n".join(lines), process.errors


def decoders(program: str) -> frozenset[str]:
    """Names of the codecs this ffmpeg can decode; empty if it does not say."""
    return _known(program, "codecs")


@lru_cache
def _known(program: str, what: Literal["codecs", "decoders"]) -> frozenset[str]:
    """Names of the codecs that can be decoded, or of the decoders themselves."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        argv = [program, "-hide_banner", f"-{what}"]
        listed = subprocess.run(argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        return frozenset(re.findall(_LISTED[what], listed.stdout.decode(), re.MULTILINE))
    return frozenset()


def explain(status: int, errors: list[str], log: str, *, opened: bool) -> CastlineError:
    """The typed error for how ffmpeg ended and what it printed.

    Args:
        status: its exit status; negative if a signal ended it.
        opened: whether the container had been opened, so that it was decoding that failed.
    """
    if status < 0:
        return UndecodableMedia(f"ffmpeg crashed on this file ({signal.Signals(-status).name})", detail=log)
    # Only error lines count: the rest of the log repeats titles and tags, which may contain anything.
    said = "\n".join(errors)
    if "Format not on whitelist" in said:
        refused = _REFUSED.search(log)
        if refused is None or refused["name"] in _LISTS:
            return ForbiddenMedia(
                "the file refers to other files (a playlist or concat list); upload the media itself", detail=log
            )
        return NotMedia(f"the content is not in a format that is taken, but in {refused['name']!r}", detail=log)
    for needle, meaning in _READABLE:
        if needle in said:
            if needle.startswith(_ELSEWHERE):
                return ResourceError(meaning, detail=log)
            return (UndecodableMedia if opened else NotMedia)(meaning, detail=log)
    first = errors[0] if errors else "ffmpeg gave no reason"
    return (UndecodableMedia if opened else NotMedia)(f"ffmpeg cannot read the file: {first}"[:300], detail=log)
