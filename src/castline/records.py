"""The records that travel between stages: frozen, typed, and JSON on the wire.

Times are seconds (float) from the start of the media's presentation timeline, except frame times,
which are whole milliseconds because they are also file names. Boxes are ``(x0, y0, x1, y1)`` in
fractions of the frame (0..1), so that they survive every later change of size.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from castline.errors import CastlineError

SCHEMA_VERSION = 1

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Sampling = Literal["auto", "interval", "keyframes"]
Status = Literal["complete", "partial", "failed"]
Identity = Literal["known", "ambiguous", "unknown"]


class Record(BaseModel):
    """Base of all records: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON with fields in declaration order: equal records give equal bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)


class Failure(Record):
    """Why something ended without its result."""

    code: str
    message: str
    detail: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, CastlineError):
            return cls(code=error.code, message=error.message, detail=error.detail[-4000:])
        return cls(code="internal", message=f"{type(error).__name__}: {error}"[:500])


# --- what goes in --------------------------------------------------------------------------------


class Options(Record):
    """Every choice that changes what is computed; part of the run's identity.

    Attributes:
        interval_s: wanted distance of sampled frames, seconds.
        long_side: frames are scaled down to at most this many pixels on their longer side.
        chunk_s: wanted length of an audio chunk, seconds; cuts fall on silences near it.
        language: BCP-47 tag of the speech, or None to let the engine decide.
    """

    sampling: Sampling = "auto"
    interval_s: float = Field(1.0, gt=0)
    long_side: int = Field(960, ge=64, le=4096)
    frames_per_unit: int = Field(30, ge=1, le=1000)
    chunk_s: float = Field(60.0, ge=10, le=600)
    detector: str = "auto"
    embedder: str = "auto"
    transcriber: str = "auto"
    language: str | None = None


class Source(Record):
    """The exact object a run read. ``version``: its VersionId, where the bucket has versions."""

    bucket: str
    key: str
    etag: str
    version: str | None
    size: int

    @property
    def identity(self) -> str:
        """What tells this upload from the next one under the same key."""
        return self.version or self.etag


class VideoStream(Record):
    """Attributes:
    width, height: display size in pixels, after rotation and pixel aspect.
    rotation: degrees clockwise that the player turns the picture by.
    """

    codec: str
    width: int
    height: int
    fps: float | None = None
    rotation: int = 0


class AudioStream(Record):
    codec: str
    sample_rate: int
    channels: int


class Probe(Record):
    """What the container says of itself, before any decoding."""

    container: str
    duration_s: float | None
    video: VideoStream | None
    audio: AudioStream | None


# --- stage 1 -------------------------------------------------------------------------------------


class Frame(Record):
    """One kept frame.

    Attributes:
        time_ms: presentation time, and its name in the unit's zip (``000012480.jpg``).
        until_ms: presentation time of the last sampled frame that looked the same and was dropped;
            equals ``time_ms`` when none was.
    """

    time_ms: int
    until_ms: int

    @property
    def name(self) -> str:
        return f"{self.time_ms:09d}.jpg"


class _Unit(Record):
    kind: str
    index: int

    @property
    def name(self) -> str:
        """``frames-0000``: unique within the run; the same as ``keys.UnitId.name``."""
        return f"{self.kind}-{self.index:04d}"


class FramesUnit(_Unit):
    kind: Literal["frames"] = "frames"
    frames: tuple[Frame, ...]


class AudioUnit(_Unit):
    """Attributes:
    start_s, end_s: the piece of the media's timeline the chunk covers.
    hard_cut: the chunk ends in sound, because no silence was near the target length.
    """

    kind: Literal["audio"] = "audio"
    start_s: float
    end_s: float
    hard_cut: bool = False


Unit = Annotated[FramesUnit | AudioUnit, Field(discriminator="kind")]


class Usage(Record):
    """What one invocation took: wall time in seconds, and the memory it is billed for.

    Attributes:
        stage: ``split``, ``faces`` or ``speech``.
        steps: seconds by step within the stage.
    """

    stage: str
    seconds: float
    memory_mb: int
    steps: dict[str, float] = Field(default_factory=dict)


class Manifest(Record):
    """What the splitter made. Written last: it declares the set of units complete."""

    schema_version: int = SCHEMA_VERSION
    run: str
    source: Source
    options: Options
    probe: Probe | None
    duration_s: float | None = None
    sampling: Literal["interval", "keyframes"] | None = None
    sample_times_ms: tuple[int, ...] = ()
    units: tuple[Unit, ...]
    warnings: tuple[str, ...] = ()
    error: Failure | None = None
    usage: Usage

    @property
    def media(self) -> str:
        return self.source.key


# --- parts ---------------------------------------------------------------------------------------


class Embedding(Record):
    """A face embedding. ``data``: base64 of little-endian float32, unit L2 norm."""

    model: str
    data: str

    @classmethod
    def of(cls, model: str, vector: NDArray[np.float32]) -> Embedding:
        return cls(model=model, data=base64.b64encode(vector.astype("<f4").tobytes()).decode())

    def vector(self) -> NDArray[np.float32]:
        """Shape (d,), float32."""
        return np.frombuffer(base64.b64decode(self.data), dtype="<f4")


class Face(Record):
    """One detection.

    Attributes:
        box: fractions of the frame, clipped to it.
        landmarks: left eye, right eye, nose, left mouth corner, right mouth corner (as seen in the
            picture), fractions of the frame.
        score: detector's probability, 0..1.
        size_px: shorter side of the box in pixels of the analysed frame.
        sharpness: variance of the Laplacian of the aligned grey crop; below ~50 is blurred.
        quality: 0..1, weight of this face's vote (size, sharpness, pose, score).
        crop: base64 JPEG of the face with margin, kept for the best face of each person of a unit.
    """

    box: Box
    landmarks: tuple[Point, Point, Point, Point, Point]
    score: float
    size_px: float
    sharpness: float
    quality: float
    embedding: Embedding
    crop: str | None = None


class FrameFaces(Record):
    time_ms: int
    faces: tuple[Face, ...]


class Word(Record):
    """Times in seconds; relative to the chunk inside a part, to the media in a result."""

    start_s: float
    end_s: float
    text: str
    probability: float | None = None


class Segment(Record):
    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    suspect: bool = False


class FramesPart(Record):
    kind: Literal["frames"] = "frames"
    unit: str
    detector: str
    embedder: str
    frames: tuple[FrameFaces, ...]
    usage: Usage


class AudioPart(Record):
    kind: Literal["audio"] = "audio"
    unit: str
    transcriber: str
    language: str | None
    segments: tuple[Segment, ...]
    usage: Usage


Part = Annotated[FramesPart | AudioPart, Field(discriminator="kind")]


class ErrorPart(Record):
    """A unit that is out of retries."""

    unit: str
    error: Failure


# --- gallery -------------------------------------------------------------------------------------


class KnownFace(Record):
    """One enrolled photo."""

    name: str
    photo: str
    embedding: Embedding


class Gallery(Record):
    """The people we know, as embeddings of one model.

    Attributes:
        fingerprint: changes whenever a photo is added, removed or renamed.
    """

    model: str
    fingerprint: str
    faces: tuple[KnownFace, ...] = ()


# --- result --------------------------------------------------------------------------------------


class Range(Record):
    start_s: float
    end_s: float


class Candidate(Record):
    name: str
    similarity: float


class Sighting(Record):
    """A face of a track at one sampled time."""

    time_s: float
    box: Box
    score: float


class Track(Record):
    """One uninterrupted appearance of one face."""

    id: str
    start_s: float
    end_s: float
    sightings: tuple[Sighting, ...]


class Person(Record):
    """Attributes:
    id: ``person-1`` …, in order of first appearance.
    name: the enrolled name when known, otherwise ``Person n``.
    confidence: similarity to the named person (known), or cohesion of the cluster (unknown), 0..1.
    candidates: the names it might be, best first; at most three.
    image: file name of the crop, relative to the result.
    """

    id: str
    name: str
    identity: Identity
    confidence: float
    candidates: tuple[Candidate, ...] = ()
    on_screen_s: float
    ranges: tuple[Range, ...]
    tracks: tuple[Track, ...]
    image: str | None = None


class SpokenSegment(Segment):
    """Attributes:
    id: ``speech-1`` …
    visible: the one known person on screen during the segment; a hint, not a claim of who speaks.
    """

    id: str
    visible: str | None = None


class Transcript(Record):
    engine: str | None
    language: str | None
    text: str
    segments: tuple[SpokenSegment, ...]


class TimelineEntry(Record):
    """One thing that happens: a person is on screen, or something is said.

    Attributes:
        ref: id of the person or of the speech segment.
        label: the person's name, or the words.
    """

    start_s: float
    end_s: float
    kind: Literal["person", "speech"]
    ref: str
    label: str


class UnitFailure(Record):
    """A piece of the media that was not analysed.

    Attributes:
        start_s, end_s: the piece of the timeline it covers.
    """

    unit: str
    start_s: float
    end_s: float
    error: Failure


class StageTiming(Record):
    """Attributes:
    seconds: sum over invocations.
    """

    stage: str
    invocations: int
    seconds: float
    steps: dict[str, float]


class CostItem(Record):
    what: str
    quantity: float
    unit: str
    usd: float


class Cost(Record):
    usd: float
    items: tuple[CostItem, ...]
    prices_as_of: str


class Processing(Record):
    """How the result came about. Differs between two runs of the same media; nothing above it does."""

    timings: tuple[StageTiming, ...]
    cost: Cost


class Result(Record):
    """``result.json``, schema version 1."""

    schema_version: Literal[1] = 1
    media: str
    run: str
    status: Status
    error: Failure | None
    failures: tuple[UnitFailure, ...]
    warnings: tuple[str, ...]
    source: Source
    options: Options
    sampling: Literal["interval", "keyframes"] | None
    probe: Probe | None
    duration_s: float | None
    engines: dict[str, str]
    gallery: str | None
    people: tuple[Person, ...]
    transcript: Transcript
    timeline: tuple[TimelineEntry, ...]
    processing: Processing


class ObjectInfo(Record):
    """What S3 says of an object without its body."""

    key: str
    size: int
    etag: str
    version: str | None = None
    last_modified: datetime | None = None

    @property
    def identity(self) -> str:
        """What tells this upload from the next one under the same key."""
        return self.version or self.etag


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``result.json`` (draft 2020-12), as committed in docs/."""
    schema = Result.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def merge_ranges(ranges: Sequence[tuple[float, float]], gap_s: float = 0.0) -> list[tuple[float, float]]:
    """Union of half-open time ranges, sorted; ranges at most ``gap_s`` seconds apart are joined."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + gap_s:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
