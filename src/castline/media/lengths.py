"""When the pictures and the sound end by the container's own word, each for itself."""

from __future__ import annotations

from pathlib import Path

from castline.media.ffmpeg import Limits
from castline.media.mp4 import NotIndexed, Track, read_index
from castline.media.probe import tagged_ends
from castline.records import Probe

_HANDLERS = {"video": "vide", "audio": "soun"}


def stated_ends(path: Path, probed: Probe, limits: Limits, *, keyframes: bool) -> dict[str, float]:
    """The start of the last picture (``video``) and the end of the sound (``audio``), seconds of the result's clock.

    Not every container says: MP4 and MOV have an index of all samples, and most Matroska files a tag for each track.

    Args:
        keyframes: whether only they are decoded.
    """
    streams = {"video": probed.video, "audio": probed.audio}
    taken = {kind: stream.index for kind, stream in streams.items() if stream}
    if "matroska" in probed.container:
        tagged = tagged_ends(path, limits)
        return {kind: tagged[index] for kind, index in taken.items() if index in tagged}
    if "mov" not in probed.container:
        return {}
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        try:
            tracks = read_index(read, path.stat().st_size, whole=False).tracks
        except NotIndexed:
            return {}
    return {
        kind: _end(tracks[index], keyframes=keyframes) - probed.start_s
        for kind, index in taken.items()
        if index < len(tracks) and tracks[index].kind == _HANDLERS[kind]
    }


def _end(track: Track, *, keyframes: bool) -> float:
    if track.kind != "vide":
        return float((track.start_s + track.duration_s)[track.shown].max(initial=0.0))
    wanted = track.shown & track.keyframe if keyframes else track.shown
    return float(track.start_s[wanted].max(initial=0.0))
