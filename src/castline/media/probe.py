"""Reads what a container says of itself from the text of ``ffmpeg -i``, and chooses its streams.

The static ffmpeg that fits in a Lambda layer comes without ffprobe; the layout of these lines has
been stable for a decade, the version is pinned, and tests run on the real thing.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from castline.errors import FfmpegTimeout, MediaTooLarge, NoStreams, UndecodableMedia
from castline.media.choice import Chosen, choose_picture, choose_sound
from castline.media.ffmpeg import Limits, arguments, decoders, explain, open_input, run
from castline.media.packets import extents, goes_back
from castline.media.signatures import refuse_what_is_no_media
from castline.media.unread import another_follows, says_too_little
from castline.records import AudioStream, Options, Probe, Stream, VideoStream

# Metadata is indented deeper than streams, so a title cannot pose as a stream line.
_INPUT = re.compile(r"^Input #0, (?P<names>[^\s]+), from ")
_DURATION = re.compile(
    r"^  Duration: (?:N/A|(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d(?:\.\d+)?))(?:, start: (?P<start>-?\d+\.\d+))?"
)
_STREAM = re.compile(
    r"^  Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>.*?)\))?: "
    r"(?P<kind>Video|Audio|Subtitle|Data|Attachment): (?P<codec>\w+)(?P<rest>.*)$"
)
_TAG = re.compile(r"^ \((?P<tag>[\w.-]+) / 0x")
_ASIDE = re.compile(r" \((comment|visual impaired|descriptions|karaoke|lyrics)\)")
_SIZE = re.compile(r", (?P<width>\d{1,5})x(?P<height>\d{1,5})(?=[,\s\[]|$)")
_ASPECT = re.compile(r"\bSAR (?P<num>\d+):(?P<den>\d+)")
_TAGGED = re.compile(r"^ {4,}DURATION *: (?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d(?:\.\d+)?)$")
_FPS = re.compile(r", (?P<fps>\d+(?:\.\d+)?k?) fps")
_TRANSFER = re.compile(r"\b(smpte2084|arib-std-b67)\b")
_RATE = re.compile(r", (?P<rate>\d+) Hz, (?P<layout>[^,]+)")
_ROTATION = re.compile(r"^\s+displaymatrix: rotation of (?P<degrees>-?\d+(?:\.\d+)?) degrees")
_LEVEL = re.compile(r"^\[(?:info|warning|verbose)\] ?")
_GUESSED = "Estimating duration from bitrate"
_CLOCKED = ("mpeg", "mpegts")  # their length is the last time on their clock minus the first, despite any jumps
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
_AMBISONIC = re.compile(r"^ambisonic (\d+)")
_LEAST_RATE = 2000  # Hz: below this, only the pitch of a voice remains
_SHARE = 0.1  # of the available time, for reading all packets of a file that does not say how long it is

#: A channel layout printed as "40 channels" has no speaker positions; ffmpeg cannot mix it down by itself.
NO_LAYOUT = re.compile(r"^(\d+) channels")


@dataclass
class Listing:
    """What ``ffmpeg -i`` says.

    Attributes:
        videos, audios: the streams with enough information to be decoded, by index.
        ends_s: when a stream ends, where its own tag says so, by index.
    """

    duration_s: float | None = None
    start_s: float = 0.0
    streams: list[Stream] = field(default_factory=list)
    videos: dict[int, VideoStream] = field(default_factory=dict)
    audios: dict[int, AudioStream] = field(default_factory=dict)
    ends_s: dict[int, float] = field(default_factory=dict)


def probe(path: Path, limits: Limits, options: Options | None = None) -> Probe:
    """Open the container, and choose its pictures and sound.

    Args:
        options: those of the run; the requested language and sound track matter here.

    Raises:
        NotMedia: empty, or no demuxer knows it.
        ForbiddenMedia: a playlist or another list of files.
        NoStreams: it contains neither video (cover art is not video) nor audio.
        UndecodableMedia: there is no decoder for anything in it.
        MediaTooLarge: more pixels than ``limits.max_pixels``.
        FfmpegTimeout: it could not be opened in time.
    """
    refuse_what_is_no_media(path)
    status, log, errors = _looked_at(path, limits)
    lines = _lines(log)
    container = next((match["names"] for match in map(_INPUT.match, lines) if match), None)
    if container is None:
        raise explain(status, errors, log, opened=False)
    found = parse(lines, decoders(limits.program))
    tracks = [stream for stream in found.streams if stream.kind in ("video", "audio") and not stream.cover]
    if not tracks:
        raise NoStreams("the file has no video and no audio (cover art and subtitles do not count)", detail=log)
    if not found.videos and not found.audios:
        raise UndecodableMedia("; ".join(map(unreadable, tracks))[:500], detail=log)
    picture = choose_picture(path, found.streams, found.videos, limits)
    sound = choose_sound(path, found.streams, found.audios, options or Options(), limits)
    video = found.videos.get(picture.index) if picture.index is not None else None
    if video and video.width * video.height > limits.max_pixels:
        raise MediaTooLarge(f"{video.width}x{video.height} is more than {limits.max_pixels} pixels")
    container = container.rstrip(",")
    wanted = [choice.index for choice in (picture, sound) if choice.index is not None]
    joined = container in _CLOCKED and _goes_back(path, wanted, limits)
    duration_s = found.duration_s
    if duration_s is None or _GUESSED in log or container in _CLOCKED or says_too_little(path):
        duration_s = _packets_end(path, wanted, limits, joined)
    elif "matroska" in container:  # the packets say when the last one ends
        duration_s = round(max(duration_s - max(found.start_s, 0.0), 0.0), 3)
    return Probe(
        container=container,
        duration_s=duration_s,
        start_s=found.start_s,
        joined=joined,
        followed=another_follows(path, container),
        video=video,
        audio=found.audios.get(sound.index) if sound.index is not None else None,
        streams=tuple(_said(stream, picture, sound) for stream in found.streams),
    )


def tagged_ends(path: Path, limits: Limits) -> dict[int, float]:
    """When streams end, seconds of the result's clock, where their own tags say so (Matroska), by index."""
    _, log, _ = _looked_at(path, limits)
    found = parse(_lines(log))
    return {index: end_s - max(found.start_s, 0.0) for index, end_s in found.ends_s.items()}


def _looked_at(path: Path, limits: Limits) -> tuple[int, str, list[str]]:
    """ffmpeg's status, log and errors. Without an output it prints the streams and exits with status 1."""
    argv = [part for part in arguments(open_input(path, limits).output("-"), limits) if part != "-"]
    status, _, log, errors = run(argv, limits)
    return status, log, errors


def _lines(log: str) -> list[str]:
    # Not splitlines(): a title may contain any of the other characters that Unicode calls line ends.
    return [_LEVEL.sub("", line) for line in log.split("\n")]


def unreadable(stream: Stream) -> str:
    """The message that a stream cannot be decoded, and why."""
    what = "pictures" if stream.kind == "video" else "sound"
    return f"the {what} ({stream.codec}) cannot be read: {stream.note or 'there is no decoder for it'}"


def _said(stream: Stream, *choices: Chosen) -> Stream:
    note = next((choice.notes[stream.index] for choice in choices if stream.index in choice.notes), stream.note)
    used = stream.index in [choice.index for choice in choices]
    return stream.model_copy(update={"note": stream.note or note, "used": used})


def _goes_back(path: Path, streams: list[int], limits: Limits) -> bool:
    with contextlib.suppress(FfmpegTimeout):
        return goes_back(path, streams, limits.share(_SHARE))
    return False


def _packets_end(path: Path, streams: list[int], limits: Limits, joined: bool) -> float | None:
    """Length by the packets of the chosen streams."""
    found = extents(path, streams, limits.share(_SHARE), joined=joined) or {}
    ends = [extent.end_s for extent in found.values()]
    return round(max(end for end in ends if end is not None), 3) or None if ends and None not in ends else None


def parse(lines: list[str], able: frozenset[str] = frozenset()) -> Listing:
    """Parse what ``ffmpeg -i`` printed.

    Args:
        able: codecs that can be decoded; empty assumes that all can.
    """
    found = Listing()
    last: VideoStream | None = None
    for line in lines:
        if match := _DURATION.match(line):
            if match["h"]:
                found.duration_s = int(match["h"]) * 3600 + int(match["m"]) * 60 + float(match["s"])
            found.start_s = float(match["start"] or 0.0)
        elif match := _STREAM.match(line):
            stream = _stream(match, able)
            last = None
            if stream.kind == "video" and stream.decodable and not stream.cover:
                last = _video(stream.index, match["codec"], match["rest"])
            elif stream.kind == "audio" and stream.decodable:
                audio = _audio(stream.index, match["codec"], match["rest"])
                if audio and audio.sample_rate >= _LEAST_RATE:
                    found.audios[stream.index] = audio
                elif audio:
                    stream = stream.model_copy(
                        update={"decodable": False, "note": f"sampled at {audio.sample_rate} Hz, it can hold no speech"}
                    )
            found.streams.append(stream)
            if last:
                found.videos[last.index] = last
        elif found.streams and (match := _TAGGED.match(line)):
            end_s = int(match["h"]) * 3600 + int(match["m"]) * 60 + float(match["s"])
            found.ends_s[found.streams[-1].index] = end_s
        elif last and (match := _ROTATION.match(line)):
            found.videos[last.index] = _rotated(last, float(match["degrees"]))
    return found


def _stream(match: re.Match[str], able: frozenset[str]) -> Stream:
    codec, tag = match["codec"], _TAG.match(match["rest"])
    known = codec not in ("none", "unknown") and (not able or codec in able)
    language, aside = match["language"], _ASIDE.search(match["rest"])
    return Stream(
        index=int(match["index"]),
        kind=match["kind"].lower(),
        codec=tag["tag"] if tag and codec in ("none", "unknown") else codec,
        language=language if language not in (None, "", "und") else None,
        default="(default)" in match["rest"],
        cover="(attached pic)" in match["rest"],
        aside=aside[1] if aside else None,
        decodable=known or match["kind"] not in ("Video", "Audio"),
    )


def _video(index: int, codec: str, rest: str) -> VideoStream | None:
    size = _SIZE.search(rest)
    if size is None:
        return None
    width, height = int(size["width"]), int(size["height"])
    aspects = list(_ASPECT.finditer(rest))  # the codec's, then the container's, which overrides it
    aspect = aspects[-1] if aspects else None
    if aspect and int(aspect["num"]) and int(aspect["den"]):
        width = max(1, round(width * int(aspect["num"]) / int(aspect["den"])))
    fps = _FPS.search(rest)
    rate = None if fps is None else float(fps["fps"].rstrip("k")) * (1000 if fps["fps"].endswith("k") else 1)
    transfer = _TRANSFER.search(rest)
    return VideoStream(
        index=index, codec=codec, width=width, height=height, fps=rate, transfer=transfer[1] if transfer else None
    )


def _audio(index: int, codec: str, rest: str) -> AudioStream | None:
    found = _RATE.search(rest)
    if found is None:
        return None
    layout = found["layout"].strip()
    unnamed, ambisonic = NO_LAYOUT.match(layout), _AMBISONIC.match(layout)
    channels = _CHANNELS.get(layout.split("(")[0], 0)
    if unnamed:
        channels = int(unnamed[1])
    elif ambisonic:
        channels = (int(ambisonic[1]) + 1) ** 2
    return AudioStream(index=index, codec=codec, sample_rate=int(found["rate"]), channels=channels, layout=layout)


def _rotated(video: VideoStream, counter_clockwise: float) -> VideoStream:
    clockwise = round(-counter_clockwise) % 360
    turned = clockwise in (90, 270)
    width, height = (video.height, video.width) if turned else (video.width, video.height)
    return video.model_copy(update={"width": width, "height": height, "rotation": clockwise})
