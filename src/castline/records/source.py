"""What goes in: the object, the options, and what the container says of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator

from castline.records.base import Count, Number, Record, Sampling, Seconds

MAX_FRAMES_PER_UNIT = 1000


class SpeechOptions(Record):
    """What a speech engine is asked for.

    Attributes:
        language: BCP-47 tag of the speech, or None to let the engine decide.
        task: ``transcribe`` writes down what is said; ``translate`` writes it down in English.
        prompt: text that sets vocabulary and style, as if it had been said just before.
        hotwords: names and terms to listen for.
        beam: width of the beam search; 1 is greedy.
    """

    language: str | None = Field(None, min_length=2, max_length=35)
    task: Literal["transcribe", "translate"] = "transcribe"
    prompt: str | None = Field(None, max_length=1000)
    hotwords: tuple[Annotated[str, Field(max_length=200)], ...] = Field((), max_length=100)
    beam: int = Field(5, ge=1, le=20)


class Options(SpeechOptions):
    """Every choice that changes what is computed; part of the run's identity.

    Attributes:
        interval_s: wanted distance of sampled frames, seconds.
        long_side: frames are scaled down to at most this many pixels on their longer side.
        chunk_s: wanted length of an audio chunk, seconds; cuts fall on silences near it.
        word_times: whether the result has every word with its times, or segments only.
    """

    sampling: Sampling = "auto"
    interval_s: float = Field(1.0, ge=0.01, le=3600)
    long_side: int = Field(960, ge=64, le=4096)
    frames_per_unit: int = Field(30, ge=1, le=MAX_FRAMES_PER_UNIT)
    chunk_s: float = Field(60.0, ge=10, le=600)
    detector: str = "auto"
    embedder: str = "auto"
    transcriber: str = "auto"
    word_times: bool = True


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
        """What tells this upload, and what was asked of it, from the next one under the same key."""
        upload = self.version or self.etag
        return f"{upload}+{self.sidecar}" if self.sidecar else upload


class VideoStream(Record):
    """Attributes:
    width, height: display size in pixels, after rotation and pixel aspect.
    rotation: degrees clockwise that the player turns the picture by.
    """

    codec: str
    width: Count
    height: Count
    fps: Number | None = None
    rotation: int = 0


class AudioStream(Record):
    codec: str
    sample_rate: Count
    channels: Count


class Probe(Record):
    """What the container says of itself, before any decoding.

    Attributes:
        duration_s: at most 1e9; some containers claim more.
    """

    container: str
    duration_s: Seconds | None
    video: VideoStream | None
    audio: AudioStream | None

    @field_validator("duration_s", mode="before")
    @classmethod
    def _bounded(cls, value: float | None) -> float | None:
        return min(value, 1e9) if isinstance(value, float) else value


class ObjectInfo(Record):
    """What S3 says of an object without its body.

    Attributes:
        sha256: hex digest that the uploader left in the metadata, if it did.
    """

    key: str
    size: Count
    etag: str
    version: str | None = None
    last_modified: datetime | None = None
    sha256: str | None = None
