"""``result.json``: who is on screen and what is said, on one timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from castline.records.base import Box, Count, Failure, Identity, Notice, Number, Record, Seconds, Status
from castline.records.options import Options
from castline.records.parts import Segment, Speaking, SpokenLanguage
from castline.records.source import Probe, Source


class Range(Record):
    start_s: Seconds
    end_s: Seconds


class Candidate(Record):
    name: str
    similarity: Number


class Sighting(Record):
    """A face of a track at one sampled time."""

    time_s: Seconds
    box: Box
    score: Number


class Track(Record):
    """One uninterrupted appearance of one face.

    Attributes:
        speaking: what was seen of its mouth, and when; in order of time.
    """

    id: str
    start_s: Seconds
    end_s: Seconds
    sightings: tuple[Sighting, ...]
    speaking: tuple[Speaking, ...] = Field((), exclude_if=lambda speaking: not speaking)


class Person(Record):
    """Attributes:
    id: ``person-1`` …, in order of first appearance.
    name: the enrolled name if known, otherwise ``Person n``.
    confidence: 0..1. Known: the probability that the name is right. Otherwise: that all sightings are one person. Both
        are calibrated on labelled photos and low for few sightings: at most 0.75 for a name from one sighting, 0.5 for
        a stranger seen once (``recognition/confidence.py``).
    candidates: the names it might be, best first; at most three.
    image: file name of the crop, relative to the result.
    """

    id: str
    name: str
    identity: Identity
    confidence: Number
    candidates: tuple[Candidate, ...] = ()
    on_screen_s: Seconds
    ranges: tuple[Range, ...]
    tracks: tuple[Track, ...]
    image: str | None = None


class Speaker(Record):
    """A voice of the recording.

    Attributes:
        id: ``speaker-1`` …, in order of first words.
        name: a person's name if it is certain whose voice it is, otherwise ``Speaker 1`` …
        voice_s: seconds of its speech.
        identity: ``known`` if ``name`` is a person's, ``ambiguous`` if there is a ``maybe``.
        maybe: the known person whose voice it may be; a guess, never shown as the name.
        confidence: 0..1, that the name or ``maybe`` is right, judged by what was seen and said; 0 without either.
        reasons: why there is a name or a ``maybe``, or why not, for people.
    """

    id: str
    name: str
    voice_s: Seconds
    identity: Identity = Field("unknown", exclude_if=lambda identity: identity == "unknown")
    maybe: str | None = None
    confidence: Number = 0.0
    reasons: tuple[str, ...] = ()


class Attribution(Record):
    """Who says a line.

    Attributes:
        outcome: ``says``: it is ``name``. ``maybe``: it may be. ``off_screen``: none of the faces on screen, and the
            voice is unknown. ``unknown``: somebody.
        name: that of a known person; None for ``off_screen`` and ``unknown``.
        confidence: 0..1; 0 without a name.
        reasons: for people.
    """

    outcome: Literal["says", "maybe", "off_screen", "unknown"]
    name: str | None = None
    confidence: Number = 0.0
    reasons: tuple[str, ...] = ()


class SpokenSegment(Segment):
    """Attributes:
    id: ``speech-1`` …
    visible: the one known person on screen during the segment; a hint, not a claim of who speaks.
    speaker: name of the voice that says it (``Ada``, ``Speaker 1``); None if voices were not told apart, or if it
        speaks too briefly to be determined.
    said_by: who says it, and why; None if voices and faces were not compared.
    """

    id: str
    visible: str | None = None
    speaker: str | None = Field(None, exclude_if=lambda speaker: speaker is None)
    said_by: Attribution | None = Field(None, exclude_if=lambda said_by: said_by is None)


class Cue(Record):
    """One subtitle, as in the subtitle files.

    Attributes:
        start_s, end_s: when it is shown, in whole milliseconds; ``start_s < end_s``, and no two overlap.
        lines: one or two lines of plain text.
        visible: the one known person on screen while it is spoken; a hint, not a claim of who speaks.
        speaker: name of the voice, as in segments.
    """

    start_s: Seconds
    end_s: Seconds
    lines: tuple[str, ...] = Field(min_length=1)
    visible: str | None = None
    speaker: str | None = Field(None, exclude_if=lambda speaker: speaker is None)

    @property
    def start_ms(self) -> int:
        return round(self.start_s * 1000)

    @property
    def end_ms(self) -> int:
        return round(self.end_s * 1000)


class Transcript(Record):
    """Attributes:
    language: the one spoken most, requested or detected.
    languages: the detected ones, the main one first; empty if a language was requested.
    segments: with or without words, as requested.
    cues: the text of all segments except suspects, laid out as subtitles by the times of the words.
    speakers: the voices, if they were told apart.
    """

    engine: str | None
    language: str | None
    languages: tuple[SpokenLanguage, ...] = ()
    text: str
    segments: tuple[SpokenSegment, ...]
    cues: tuple[Cue, ...]
    speakers: tuple[Speaker, ...] = Field((), exclude_if=lambda speakers: not speakers)


class TimelineEntry(Record):
    """One thing that happens: a person is on screen, or something is said.

    Attributes:
        ref: id of the person or of the speech segment.
        label: the person's name, or the words.
    """

    start_s: Seconds
    end_s: Seconds
    kind: Literal["person", "speech"]
    ref: str
    label: str


class UnitFailure(Record):
    """A piece of the media that was not analysed.

    Attributes:
        start_s, end_s: the piece of the timeline it covers.
    """

    unit: str
    start_s: Seconds
    end_s: Seconds
    error: Failure


class StageTiming(Record):
    """Attributes:
    seconds: sum over invocations.
    """

    stage: str
    invocations: Count
    seconds: Seconds
    steps: dict[str, Seconds]


class CostItem(Record):
    what: str
    quantity: Number
    unit: str
    usd: Number


class Cost(Record):
    usd: Number
    items: tuple[CostItem, ...]
    prices_as_of: str


class Processing(Record):
    """How the result was made. This differs between two runs of the same media file; nothing before it does."""

    timings: tuple[StageTiming, ...]
    cost: Cost


class Result(Record):
    """``result.json``, schema version 2."""

    schema_version: Literal[2] = 2
    media: str
    run: str
    status: Status
    error: Failure | None
    failures: tuple[UnitFailure, ...]
    warnings: tuple[Notice, ...]
    source: Source
    options: Options
    sampling: Literal["interval", "keyframes"] | None
    probe: Probe | None
    duration_s: Seconds | None
    engines: dict[str, str]
    gallery: str | None
    people: tuple[Person, ...]
    transcript: Transcript
    timeline: tuple[TimelineEntry, ...]
    processing: Processing


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
