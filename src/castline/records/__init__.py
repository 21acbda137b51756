"""The records that travel between stages: frozen, typed, and JSON on the wire.

Times are seconds (float) from the start of the media's presentation timeline, except frame times,
which are whole milliseconds because they are also file names. Boxes are ``(x0, y0, x1, y1)`` in
fractions of the frame (0..1), so that they survive every later change of size.
"""

from __future__ import annotations

from castline.records.base import SCHEMA_VERSION, Box, Failure, Identity, Point, Record, Sampling, Status
from castline.records.parts import (
    AudioPart,
    Embedding,
    ErrorPart,
    Face,
    FrameFaces,
    FramesPart,
    Gallery,
    KnownFace,
    Part,
    Segment,
    Word,
)
from castline.records.result import (
    Candidate,
    Cost,
    CostItem,
    Person,
    Processing,
    Range,
    Result,
    Sighting,
    SpokenSegment,
    StageTiming,
    TimelineEntry,
    Track,
    Transcript,
    UnitFailure,
    json_schema,
    merge_ranges,
)
from castline.records.source import AudioStream, ObjectInfo, Options, Probe, Source, SpeechOptions, VideoStream
from castline.records.units import AudioUnit, Frame, FramesUnit, Manifest, Unit, Usage

__all__ = [
    "AudioPart",
    "AudioStream",
    "AudioUnit",
    "Box",
    "Candidate",
    "Cost",
    "CostItem",
    "Embedding",
    "ErrorPart",
    "Face",
    "Failure",
    "Frame",
    "FrameFaces",
    "FramesPart",
    "FramesUnit",
    "Gallery",
    "Identity",
    "KnownFace",
    "Manifest",
    "ObjectInfo",
    "Options",
    "Part",
    "Person",
    "Point",
    "Probe",
    "Processing",
    "Range",
    "Record",
    "Result",
    "SCHEMA_VERSION",
    "Sampling",
    "Segment",
    "Sighting",
    "Source",
    "SpeechOptions",
    "SpokenSegment",
    "StageTiming",
    "Status",
    "TimelineEntry",
    "Track",
    "Transcript",
    "Unit",
    "UnitFailure",
    "Usage",
    "VideoStream",
    "Word",
    "json_schema",
    "merge_ranges",
]
