"""The input: the object, the options, and what the container says about itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from castline.records.base import Count, Number, Record, Seconds


class Source(Record):
    """The exact objects a run read.

    Attributes:
        version: VersionId, if the bucket has versions.
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
        """What distinguishes this upload and its sidecar from the next one under the same key."""
        upload = self.version or self.etag
        return f"{upload}+{self.sidecar}" if self.sidecar else upload


class VideoStream(Record):
    """Attributes:
    index: of the stream in its container.
    width, height: display size in pixels, after rotation and pixel aspect.
    rotation: degrees clockwise by which the player turns the picture.
    transfer: ffmpeg's name of the transfer function, if there is one; ``smpte2084`` (PQ) and ``arib-std-b67`` (HLG) are
        HDR.
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
    channels: how many; 0 if unknown.
    layout: their positions, in ffmpeg's words (``stereo``, ``5.1(side)``, ``ambisonic 1``, ``40 channels``).
    """

    index: int = 0
    codec: str
    sample_rate: Count
    channels: Count
    layout: str = ""


class Stream(Record):
    """One of the streams in a container.

    Attributes:
        codec: ffmpeg's name, or the container's own if ffmpeg has none.
        language: as in the container, usually ISO 639-2.
        default: whether it is marked as the one to play.
        cover: whether it is a still picture that belongs to the file, not a film.
        aside: what is said about the film instead of in it, as marked: ``comment``, ``visual impaired``, …
        decodable: whether there is a decoder for it.
        used: whether it was analysed.
        note: why it was chosen or passed over, if that is not obvious.
    """

    index: Count
    kind: Literal["video", "audio", "subtitle", "data", "attachment"]
    codec: str
    language: str | None = None
    default: bool = False
    cover: bool = False
    aside: str | None = None
    decodable: bool = True
    used: bool = False
    note: str = ""


class Probe(Record):
    """What the container says about itself, and which of its streams are used.

    Attributes:
        duration_s: length, seconds, at most 1e9; None if the container does not say, or only guesses from its size or
            its clock.
        start_s: the file's own clock at the result's zero, seconds.
        joined: whether that clock goes back, because recordings were joined end to end.
        followed: whether another recording follows in the file, which is not read.
        video, audio: the streams that are used; None if there is none that can be decoded.
    """

    container: str
    duration_s: Seconds | None
    start_s: Seconds = 0.0
    joined: bool = False
    followed: bool = Field(False, exclude_if=lambda followed: not followed)
    video: VideoStream | None
    audio: AudioStream | None
    streams: tuple[Stream, ...] = ()

    def only(self, kind: Literal["video", "audio"]) -> Probe:
        """A copy without the other kind of stream."""
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
        sha256: hex digest that the uploader put into the metadata, if any.
        sidecar: the version of its sidecar that was there before it, if the uploader put that into the metadata.
    """

    key: str
    size: Count
    etag: str
    version: str | None = None
    last_modified: datetime | None = None
    sha256: str | None = None
    sidecar: str | None = None
