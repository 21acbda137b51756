"""Running ffmpeg on hostile input: what it may open, how long it may run, how it says no.

ffmpeg-python builds the argument lists; no shell, no stdin, a wall-clock limit, a memory limit,
local files only, and only demuxers that cannot refer to other files.
"""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ffmpeg

from castline.errors import CastlineError, FfmpegTimeout, ForbiddenMedia, NotMedia, ResourceError, UndecodableMedia
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
    ("Invalid data found when processing input", "the content is no audio or video format we know"),
    ("End of file", "the file ends before its first frame"),
    ("could not find codec parameters", "the container does not say how its streams are coded"),
    ("No space left on device", "the temporary disk is full"),
    ("Cannot allocate memory", "decoding needs more memory than allowed"),
)

_LINE = re.compile(r"^(?:\[(?P<who>[^\]]+) @ 0x[0-9a-f]+\] )*(?:\[(?P<level>error|fatal|panic)\] )(?P<text>.+)$")
_TAIL_LINES = 60
_KEPT_ERRORS = 50  # a damaged hour gives a hundred thousand of them
_LINE_BYTES = 4096

#: All of ffmpeg's environment. A static ffmpeg segfaults when its iconv loads the system's converters
#: (7.0.2 does so on every MPEG-TS with a service name), so it is sent where there are none.
_ENVIRONMENT = {"GCONV_PATH": "/nonexistent", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one ffmpeg process.

    Attributes:
        timeout_s: wall clock, seconds.
        memory_mb: address space, MiB.
        max_pixels: coded width x height.
    """

    program: str = "ffmpeg"
    timeout_s: float = 840.0
    memory_mb: int = 4096
    max_pixels: int = 8192 * 4320

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of the settings, with the ffmpeg that is there: on PATH, or from imageio-ffmpeg."""
        return cls(
            program=_program(settings.ffmpeg),
            timeout_s=settings.ffmpeg_timeout_s,
            memory_mb=settings.ffmpeg_memory_mb,
            max_pixels=settings.max_pixels,
        )


def _program(name: str) -> str:
    if shutil.which(name) is None:
        with contextlib.suppress(ImportError, RuntimeError):  # the package is not there, or has none for this system
            import imageio_ffmpeg

            return str(imageio_ffmpeg.get_ffmpeg_exe())
    return name


def open_input(path: Path, limits: Limits, **options: Any) -> Any:
    """An ffmpeg-python input node that can read exactly one local file.

    The ``file:`` prefix keeps a name such as ``http:x.mp4`` from being read as a URL.
    """
    return ffmpeg.input(
        f"file:{path}",
        protocol_whitelist="file,pipe",
        format_whitelist=DEMUXERS,
        max_pixels=limits.max_pixels,
        **options,
    )


def arguments(node: Any, limits: Limits) -> list[str]:
    """argv of an ffmpeg-python output node."""
    head = [limits.program, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-y"]
    return head + list(ffmpeg.get_args(node))


class Ffmpeg:
    """One running ffmpeg, with its stderr drained and its limits kept.

    A context manager: leaving it ends the process, whatever happened inside.

    Args:
        on_line: called in a background thread with every stderr line.
    """

    def __init__(self, argv: list[str], limits: Limits, *, on_line: Callable[[str], None] | None = None) -> None:
        self.limits = limits
        self.errors: list[str] = []
        self.error_count = 0
        self.timed_out = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        program = shutil.which(argv[0])
        if program is None:
            raise ResourceError(f"ffmpeg is not installed: {argv[0]} is not a program on PATH")
        self._process = subprocess.Popen(
            [program, *argv[1:]],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        _limit_memory(self._process.pid, limits.memory_mb)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(limits.timeout_s, self._expire)
        self._timer.daemon = True
        self._timer.start()

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: stdout=PIPE above
        return self._process.stdout

    @property
    def log(self) -> str:
        return "\n".join(self._tail)

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Exit status, once the process ended and all its output is read.

        Raises:
            FfmpegTimeout: it ran into its wall-clock limit and was killed.
        """
        status = self._process.wait()
        self._timer.cancel()
        self._reader.join()
        if self.timed_out:
            raise FfmpegTimeout(f"ffmpeg did not finish within {self.limits.timeout_s:g} s", detail=self.log)
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
            begins = True
            for raw in iter(lambda: stderr.readline(_LINE_BYTES), b""):
                rest_of_line, begins = not begins, raw.endswith(b"\n")
                if rest_of_line:  # a long title must not be taken for a line of ffmpeg's own
                    continue
                line = raw.decode("utf-8", "replace").rstrip()
                self._tail.append(line)
                match = _LINE.match(line)
                if match:
                    self.error_count += 1
                    if self.error_count <= _KEPT_ERRORS:
                        self.errors.append(match["text"])
                if self._on_line:
                    self._on_line(line)


def run(argv: list[str], limits: Limits) -> tuple[int, bytes, str, list[str]]:
    """Run to the end: exit status, stdout, the last lines of stderr, and its error lines.

    Raises:
        FfmpegTimeout: killed after ``limits.timeout_s``.
    """
    lines: list[str] = []
    with Ffmpeg(argv, limits, on_line=lines.append) as process:
        output = process.stdout.read()
        return process.wait(), output, "\n".join(lines), process.errors


def explain(status: int, errors: list[str], log: str, *, opened: bool) -> CastlineError:
    """The one typed error for how ffmpeg ended and what it printed.

    Args:
        status: its exit status; negative when a signal ended it.
        opened: whether the container had been opened, so that what failed is decoding.
    """
    if status < 0:
        return UndecodableMedia(f"ffmpeg crashed on this file ({signal.Signals(-status).name})", detail=log)
    # Only error lines count: the rest of the log repeats titles and tags, which may say anything.
    said = "\n".join(errors)
    if "Format not on whitelist" in said:
        return ForbiddenMedia(
            "the file refers to other files (a playlist or concat list); upload the media itself", detail=log
        )
    for needle, meaning in _READABLE:
        if needle in said:
            if needle == "Cannot allocate memory" or needle.startswith("No space"):
                return ResourceError(meaning, detail=log)
            return (UndecodableMedia if opened else NotMedia)(meaning, detail=log)
    first = errors[0] if errors else "ffmpeg gave no reason"
    return (UndecodableMedia if opened else NotMedia)(f"ffmpeg cannot read the file: {first}"[:300], detail=log)


def _limit_memory(pid: int, memory_mb: int) -> None:
    size = memory_mb * 1024 * 1024
    with contextlib.suppress(ProcessLookupError):  # it already ended; its exit status will tell
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
