"""Makes a copy that every browser plays, for recordings that browsers do not play themselves.

It is H.264 and AAC in MP4, which all browsers support. Streams that already have these codecs are copied, so that a
screen recorder's Matroska file costs no decoding. Rules are by codec and container, after MDN's "Web video codec guide"
and "Media container formats" (2026): a codec that only some machines support, such as HEVC, counts as not played.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from castline.errors import CastlineError
from castline.media.decode import TONE_MAP
from castline.media.ffmpeg import Limits, arguments, better_decoder, explain, open_input, run
from castline.media.mixing import mix_filter, output_channels
from castline.media.sampling import scaled_size
from castline.records import Probe

#: Bytes of a proxy, at most.
MAX_BYTES = 1_000_000_000
_LONG_SIDE = 960
_RATE = "30"  # frames a second, at most
_LEAST_S = 1.0  # not worth starting with less time
_COPIED_SOUND = frozenset(("aac", "mp3"))

#: (codecs of the picture, codecs of the sound) that are played, by a name of ffmpeg's demuxer.
_PLAYED = {
    "mov": ({"h264", "vp9", "av1"}, {"aac", "mp3", "opus", "flac"}),
    "matroska": ({"vp8", "vp9", "av1"}, {"opus", "vorbis"}),
    "ogg": (set(), {"opus", "vorbis", "flac"}),
    "mp3": (set(), {"mp3"}),
    "wav": (set(), {"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le"}),
    "flac": (set(), {"flac"}),
    "aac": (set(), {"aac"}),
}


def is_played(probed: Probe) -> bool:
    """Whether browsers play the streams that were analysed, and no other sound track than that one."""
    heard = [stream.index for stream in probed.streams if stream.kind == "audio"]
    if probed.audio and heard and heard[0] != probed.audio.index:
        return False
    pictures, sounds = next((_PLAYED[name] for name in probed.container.split(",") if name in _PLAYED), (set(), set()))
    picture = probed.video is None or (probed.video.codec in pictures and not probed.video.hdr)
    return picture and (probed.audio is None or probed.audio.codec in sounds)


def make_proxy(path: Path, probed: Probe, limits: Limits, allowed_s: float, target: Path) -> bool:
    """Write a proxy of the streams that were analysed, on the result's own clock.

    Args:
        allowed_s: seconds it may take; an unfinished proxy is discarded then.
        target: a file that does not exist yet, ``.mp4``.

    Returns:
        False if there is none: it took too long, would be too large, or could not be decoded.
    """
    if min(allowed_s, limits.left_s) < _LEAST_S:
        return False
    most = min(MAX_BYTES, shutil.disk_usage(target.parent).free // 2)
    source = open_input(path, limits, joined=probed.joined, **better_decoder(probed.audio, limits))
    node = _output(source, probed, target, most)
    try:
        within = replace(limits, timeout_s=min(allowed_s, limits.timeout_s))
        status, _, log, errors = run(arguments(node, within), within)
        if status:
            raise explain(status, errors, log, opened=True)
    except CastlineError:
        target.unlink(missing_ok=True)
        return False
    size = target.stat().st_size if target.exists() else 0
    if not 0 < size < most * 0.99:  # ffmpeg stops at the limit silently
        target.unlink(missing_ok=True)
        return False
    return True


def _output(source: Any, probed: Probe, target: Path, most: int) -> Any:
    streams: list[Any] = []
    options: dict[str, Any] = {}
    if video := probed.video:
        streams.append(source[str(video.index)])
        if video.codec == "h264" and not video.hdr:
            options |= {"c:v": "copy"}
        else:
            width, height = (max(2, side // 2 * 2) for side in scaled_size(video.width, video.height, _LONG_SIDE))
            tone = f"{TONE_MAP}," if video.hdr else ""
            options |= {
                "c:v": "libx264",
                "preset": "veryfast",
                "crf": 26,
                "g": 60,
                "fpsmax": _RATE,
                "vf": f"{tone}scale={width}:{height},setsar=1,format=yuv420p",
            }
    if audio := probed.audio:
        streams.append(source[str(audio.index)])
        if audio.codec in _COPIED_SOUND:
            options |= {"c:a": "copy"}
        else:
            before = mix_filter(audio)
            options |= {"c:a": "aac", "b:a": "96k", "ac": output_channels(audio), **({"af": before} if before else {})}
    # Times, titles and places that a phone recorded are private, and not needed here.
    options |= {"map_metadata": -1, "map_chapters": -1, "movflags": "+faststart", "fs": most, "format": "mp4"}
    return ffmpeg.output(*streams, str(target), **options)
