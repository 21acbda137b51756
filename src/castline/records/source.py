"""What goes in: the object, the options, and what the container says about itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import field_validator

from castline.records.base import Count, Number, Record, Seconds


class Source(Record):
    """The exact objects a run read.

    Attributes:
        version: VersionId, where the bucket has versions.
        sidecar: ETag of the media's sidecar, if it has one.
    """

    bucket: str
    key: str
    etag: str
    version: str | None
    size: Count
    sidecar: str | None = None

    @property
    def identity(self) -> str:
        """What distinguishes this upload, and what was asked of it, from the next one under the same key."""
        upload = self.version or self.etag
        return f"{upload}+{self.sidecar}" if self.sidecar else upload


class VideoStream(Record):
    """Attributes:
    index: of the stream in its container.
    width, height: display size in pixels, after rotation and pixel aspect.
    rotation: degrees clockwise that the player turns the picture by.
    transfer: how its values become light, in ffmpeg's word, where it says so; ``smpte2084`` (PQ) and
        ``arib-std-b67`` (HLG) are HDR.
    """

    index: int = 0
    codec: str
    width: Count
    height: Count
    fps: Number | None = None
    rotation: int = 0
    transfer: str | None = None

    @property
    def hdr(self) -> bool:
        return self.transfer in ("smpte2084", "arib-std-b67")


class AudioStream(Record):
    """Attributes:
    index: of the stream in its container.
    channels: how many; 0 when nobody knows.
    layout: where they come from, in ffmpeg's words (``stereo``, ``5.1(side)``, ``ambisonic 1``, ``40 channels``).
    """

    index: int = 0
    codec: str
    sample_rate: Count
    channels: Count
    layout: str = ""


class Stream(Record):
    """One of the streams in a container.

    Attributes:
        codec: ffmpeg's name, or the container's own where ffmpeg knows none.
        language: as the container says it, usually ISO 639-2.
        default: marked as the one to play.
        cover: a still picture that belongs to the file, not a film.
        decodable: whether there is a decoder for it.
        used: whether it was looked at, or listened to.
        note: why it was taken, or passed over, where that was not plain.
    """

    index: Count
    kind: Literal["video", "audio", "subtitle", "data", "attachment"]
    codec: str
    language: str | None = None
    default: bool = False
    cover: bool = False
    decodable: bool = True
    used: bool = False
    note: str = ""


class Probe(Record):
    """What the container says about itself, and which of its streams are taken.

    Attributes:
        duration_s: length, seconds, at most 1e9; None where the container does not say, or only guesses from its size
            or its clock.
        start_s: the file's own clock at the result's zero, seconds.
        joined: that clock goes back: recordings were joined end to end.
        video, audio: the streams that are taken; None without one that can be decoded.
    """

    container: str
    duration_s: Seconds | None
    start_s: Seconds = 0.0
    joined: bool = False
    video: VideoStream | None
    audio: AudioStream | None
    streams: tuple[Stream, ...] = ()

    def only(self, kind: Literal["video", "audio"]) -> Probe:
        """As if there were nothing else in it."""
        other = "audio" if kind == "video" else "video"
        kept = tuple(stream for stream in self.streams if stream.kind == kind)
        return self.model_copy(update={other: None, "streams": kept})

    @field_validator("duration_s", "start_s", mode="before")
    @classmethod
    def _bounded(cls, value: float | None) -> float | None:
        return max(-1e9, min(value, 1e9)) if isinstance(value, float) else value


class ObjectInfo(Record):
    """What S3 says about an object without sending its body.

    Attributes:
        sha256: hex digest that the uploader left in the metadata, if it did.
    """

    key: str
    size: Count
    etag: str
    version: str | None = None
    last_modified: datetime | None = None
    sha256: str | None = None
