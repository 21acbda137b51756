"""Chooses among several video streams and sound tracks, with reasons: pure ranking, and two looks into the file.

Sound: the requested track; else one in the requested language; else the one marked default; else the first. A track
that is much shorter than another, or silent, is passed over. Pictures: film comes before a single still.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castline.errors import FfmpegTimeout
from castline.media.ffmpeg import Limits, arguments, open_input, run
from castline.media.languages import same_language
from castline.media.packets import Extent, extents
from castline.records import AudioStream, Options, Stream, VideoStream

_SHORT = 0.5  # of the longest track: a jingle, or a track that was switched off
_SILENT_DB = -70.0  # the loudest sample; an empty room is above
_LISTEN: dict[str, Any] = {"t": 60}  # seconds, before the whole track is read
_LOUDEST = re.compile(r"max_volume: (-?[\d.]+|-inf) dB")
_SHARE = 0.1  # of the available time, for each look


@dataclass(frozen=True, slots=True)
class Chosen:
    """Attributes:
    index: of the stream; None if none can be used.
    notes: by stream index, why it was taken or passed over.
    """

    index: int | None
    notes: dict[int, str]


def choose_sound(
    path: Path, streams: Sequence[Stream], audios: dict[int, AudioStream], options: Options, limits: Limits
) -> Chosen:
    """The sound track to use.

    Args:
        audios: what is known of the tracks that can be decoded, by stream index.
    """
    tracks = [stream for stream in streams if stream.kind == "audio"]
    notes = {stream.index: "there is no decoder for it" for stream in tracks if stream.index not in audios}
    able = [stream for stream in tracks if stream.index in audios]
    if len(able) < 2:
        return Chosen(able[0].index if able else None, notes)
    numbered = dict(enumerate((stream.index for stream in tracks), 1))
    asked = numbered.get(options.audio_track or 0)
    if asked in audios:
        return Chosen(asked, {**notes, **{stream.index: _other(asked, stream, "asked for") for stream in able}})
    ends = _ends(path, able, limits)
    longest = max(ends.values(), default=0.0)
    short = {stream.index for stream in able if ends.get(stream.index, longest) < longest * _SHORT}

    def rank(stream: Stream) -> tuple[bool, bool, bool, bool, int]:
        spoken = bool(options.language) and same_language(options.language or "", stream.language or "")
        return (not spoken, stream.index in short, bool(stream.aside), not stream.default, stream.index)

    best, *others = sorted(able, key=rank)
    silent: set[int] = set()
    for stream in (best, *others):
        if is_silent(path, stream.index, limits):
            silent.add(stream.index)
        else:
            best = stream
            break
    why = "in the language asked for" if not rank(best)[0] else "the default" if best.default else "the first"
    if best != min(able, key=rank) or silent:
        why = "the first that is not silent"
    elif best.index not in short and short:
        why = "of full length"
    for stream in able:
        own = "silent" if stream.index in silent else "much shorter" if stream.index in short else stream.aside
        notes[stream.index] = _other(best.index, stream, why) if stream == best else own or "another was taken"
    return Chosen(best.index, notes)


def _other(taken: int | None, stream: Stream, why: str) -> str:
    return why if stream.index == taken else "another was taken"


def choose_picture(path: Path, streams: Sequence[Stream], videos: dict[int, VideoStream], limits: Limits) -> Chosen:
    """The video stream to use: never cover art, and a single still only if there is no film."""
    tracks = [stream for stream in streams if stream.kind == "video" and not stream.cover]
    notes = {stream.index: "there is no decoder for it" for stream in tracks if stream.index not in videos}
    able = [stream for stream in tracks if stream.index in videos]
    if len(able) < 2:
        return Chosen(able[0].index if able else None, notes)
    found: dict[int, Extent] = extents(path, [stream.index for stream in able], limits.share(_SHARE)) or {}
    stills = {index for index, extent in found.items() if extent.count <= 1}
    best, *others = sorted(able, key=lambda stream: (stream.index in stills, not stream.default, stream.index))
    notes[best.index] = "the default" if best.default else "the first with more than one picture" if stills else ""
    notes |= {stream.index: "one picture" if stream.index in stills else "another was taken" for stream in others}
    return Chosen(best.index, notes)


def _ends(path: Path, streams: Sequence[Stream], limits: Limits) -> dict[int, float]:
    found = extents(path, [stream.index for stream in streams], limits.share(_SHARE)) or {}
    return {index: extent.end_s for index, extent in found.items() if extent.end_s is not None}


def is_silent(path: Path, index: int, limits: Limits) -> bool:
    """Whether a sound track has nothing above -70 dBFS, first in its first minute, then in all of it."""
    try:
        return all(_loudest_db(path, index, limits.share(_SHARE), **length) < _SILENT_DB for length in (_LISTEN, {}))
    except FfmpegTimeout:
        return False  # unknown


def _loudest_db(path: Path, index: int, limits: Limits, **length: Any) -> float:
    node = open_input(path, limits, **length)[str(index)].output("pipe:1", format="null", af="volumedetect")
    _, _, log, _ = run(arguments(node, limits), limits)
    loudest = [float(each) for each in _LOUDEST.findall(log)]
    return max(loudest, default=float("-inf"))
