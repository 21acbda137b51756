"""What a container says of itself, read from the text of ``ffmpeg -i``.

The static ffmpeg that fits in a Lambda layer comes without ffprobe; the layout of these lines has
been stable for a decade, the version is pinned, and tests run on the real thing.
"""

from __future__ import annotations

import re
from pathlib import Path

from castline.errors import ForbiddenMedia, MediaTooLarge, NoStreams, NotMedia
from castline.media.ffmpeg import Limits, arguments, explain, open_input, run
from castline.records import AudioStream, Probe, VideoStream

# Metadata is indented deeper than streams, so a title cannot pose as a stream line.
_INPUT = re.compile(r"^Input #0, (?P<names>[^\s]+), from ")
_DURATION = re.compile(r"^  Duration: (?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d(?:\.\d+)?)")
_STREAM = re.compile(
    r"^  Stream #0:\d+(?:\[0x[0-9a-f]+\])?(?:\(.*?\))?: "
    r"(?P<kind>Video|Audio|Subtitle|Data|Attachment): (?P<codec>\w+)(?P<rest>.*)$"
)
_SIZE = re.compile(r", (?P<width>\d{1,5})x(?P<height>\d{1,5})(?=[,\s\[]|$)")
_ASPECT = re.compile(r"\bSAR (?P<num>\d+):(?P<den>\d+)")
_FPS = re.compile(r", (?P<fps>\d+(?:\.\d+)?k?) fps")
_RATE = re.compile(r", (?P<rate>\d+) Hz, (?P<layout>[^,]+)")
_ROTATION = re.compile(r"^\s+displaymatrix: rotation of (?P<degrees>-?\d+(?:\.\d+)?) degrees")
_LEVEL = re.compile(r"^\[(?:info|warning|verbose)\] ?")
_CHANNELS = {
    "mono": 1,
    "stereo": 2,
    "downmix": 2,
    "2.1": 3,
    "3.0": 3,
    "quad": 4,
    "4.0": 4,
    "5.0": 5,
    "5.1": 6,
    "6.1": 7,
    "7.1": 8,
}
_PLAYLIST_HEADS = (b"#EXTM3U", b"ffconcat version", b"<?xml", b"v=0\r\n", b"[playlist]")

#: A channel layout printed as "40 channels" has no speaker positions; ffmpeg cannot mix it down by itself.
NO_LAYOUT = re.compile(r"^(\d+) channels")


def probe(path: Path, limits: Limits) -> Probe:
    """Open the container, decode nothing.

    Raises:
        NotMedia: empty, or no demuxer knows it.
        ForbiddenMedia: a playlist or another list of files.
        NoStreams: opened, but neither video (cover art is not video) nor audio inside.
        MediaTooLarge: more pixels than ``limits.max_pixels``.
    """
    if path.stat().st_size == 0:
        raise NotMedia("the file is empty")
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(_PLAYLIST_HEADS):
        raise ForbiddenMedia("the file is a playlist that refers to other files; upload the media itself")
    # Without an output ffmpeg prints the streams and exits with status 1.
    argv = [part for part in arguments(open_input(path, limits).output("-"), limits) if part != "-"]
    status, _, log, errors = run(argv, limits)
    # Not splitlines(): a title may hold any of the other characters Unicode calls a line's end.
    lines = [_LEVEL.sub("", line) for line in log.split("\n")]
    container = next((match["names"] for match in map(_INPUT.match, lines) if match), None)
    if container is None:
        raise explain(status, errors, log, opened=False)
    found = parse(lines, container.rstrip(","))
    if found.video is None and found.audio is None:
        raise NoStreams("the file has no video and no audio (cover art and subtitles do not count)", detail=log)
    if found.video and found.video.width * found.video.height > limits.max_pixels:
        raise MediaTooLarge(f"{found.video.width}x{found.video.height} is more than {limits.max_pixels} pixels")
    return found


def parse(lines: list[str], container: str) -> Probe:
    """The probe of ``ffmpeg -i`` output lines; the first real video and the first audio stream count."""
    duration: float | None = None
    video: VideoStream | None = None
    audio: AudioStream | None = None
    in_video = False
    for line in lines:
        if match := _DURATION.match(line):
            duration = int(match["h"]) * 3600 + int(match["m"]) * 60 + float(match["s"])
        elif match := _STREAM.match(line):
            in_video = False
            if match["kind"] == "Video" and video is None and "(attached pic)" not in match["rest"]:
                video = _video(match["codec"], match["rest"])
                in_video = video is not None
            elif match["kind"] == "Audio" and audio is None:
                audio = _audio(match["codec"], match["rest"])
        elif in_video and video and (match := _ROTATION.match(line)):
            video = _rotated(video, float(match["degrees"]))
    return Probe(container=container, duration_s=duration, video=video, audio=audio)


def _video(codec: str, rest: str) -> VideoStream | None:
    size = _SIZE.search(rest)
    if size is None:
        return None
    width, height = int(size["width"]), int(size["height"])
    aspect = _ASPECT.search(rest)
    if aspect and int(aspect["num"]) and int(aspect["den"]):
        width = max(1, round(width * int(aspect["num"]) / int(aspect["den"])))
    fps = _FPS.search(rest)
    rate = None if fps is None else float(fps["fps"].rstrip("k")) * (1000 if fps["fps"].endswith("k") else 1)
    return VideoStream(codec=codec, width=width, height=height, fps=rate)


def _audio(codec: str, rest: str) -> AudioStream | None:
    found = _RATE.search(rest)
    if found is None:
        return None
    layout = found["layout"].strip()
    unnamed = NO_LAYOUT.match(layout)
    channels = int(unnamed[1]) if unnamed else _CHANNELS.get(layout.split("(")[0], 0)
    return AudioStream(codec=codec, sample_rate=int(found["rate"]), channels=channels)


def _rotated(video: VideoStream, counter_clockwise: float) -> VideoStream:
    clockwise = round(-counter_clockwise) % 360
    turned = clockwise in (90, 270)
    width, height = (video.height, video.width) if turned else (video.width, video.height)
    return video.model_copy(update={"width": width, "height": height, "rotation": clockwise})
