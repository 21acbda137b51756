"""Recognises a person in parts, which contain what was seen and heard of everybody, without names.

A face, or a moment of a voice, is theirs if a result says so, or if it alone would be known as theirs. Forgetting
removes what is recognised, and the proof looks for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from castline import keys
from castline.assembly.known_voices import Enrolled as EnrolledVoices
from castline.assembly.known_voices import whose
from castline.engines.plugins import find_engine, thresholds_for
from castline.errors import ModelError, UnreadableObject
from castline.gallery.load import load_gallery
from castline.gallery.voices import load_voices
from castline.recognition.grade import grade_of
from castline.recognition.identity import identify_each
from castline.recognition.sightings import Enrolled
from castline.records import AudioPart, AudioUnit, Box, ErrorPart, Face, FramesPart, Person, Result, merge_ranges
from castline.runs.common import read_result
from castline.runs.sets import read_manifest, read_part
from castline.runs.written import as_shown
from castline.settings import Settings
from castline.storage.base import ObjectStore

Span = tuple[float, float]


class Found(NamedTuple):
    """What a part contains of a person.

    Attributes:
        part: None if it cannot be read.
        theirs: for each face, frame by frame, or each window of a voice, whether it is theirs.
        sure: whether nothing else in it can be theirs.
    """

    unit: keys.UnitId
    part: FramesPart | AudioPart | None
    theirs: tuple[bool, ...] = ()
    sure: bool = False


class _Named(NamedTuple):
    """Where a run's result shows and hears the person: times in ms and boxes, and spans in seconds."""

    faces: frozenset[tuple[int, Box]]
    spans: list[Span]


class Likeness:
    """How a person is recognised. It remembers what it read, so it works on after photos and names were removed."""

    def __init__(self, name: str, store: ObjectStore, settings: Settings) -> None:
        self._name, self._store, self._settings = name, store, settings
        self._voices = load_voices(store, settings.gallery_bucket)
        self._enrolled = cache(self._load_enrolled)
        self._named = cache(self._read_named)

    def in_parts(self) -> Iterator[Found]:
        """Every part of every run, with what is theirs in it."""
        for info in list(self._store.find(self._settings.output_bucket)):
            parsed = keys.parse_part(info.key)
            if parsed is None or parsed[1]:
                continue
            if (found := self._look(parsed[0])) is not None:
                yield found

    def _look(self, unit: keys.UnitId) -> Found | None:
        """None for a part that is gone."""
        try:
            part = read_part(unit, self._store, self._settings)
            if isinstance(part, ErrorPart):
                return None
            return self._faces(unit, part) if isinstance(part, FramesPart) else self._windows(unit, part)
        except (
            UnreadableObject,
            ModelError,
            ValueError,
        ):  # ValueError: embeddings of another length than the gallery's
            there = self._store.head(self._settings.output_bucket, unit.part_key)
            return Found(unit, None) if there else None

    def _faces(self, unit: keys.UnitId, part: FramesPart) -> Found:
        faces = [(frame.time_ms, face) for frame in part.frames for face in frame.faces]
        named = self._named(unit.media, unit.run).faces
        alone = _known_as(self._name, [face for _, face in faces], self._enrolled(part.embedder))
        theirs = (known or (at, face.box) in named for known, (at, face) in zip(alone, faces, strict=True))
        return Found(unit, part, tuple(theirs), sure=True)

    def _windows(self, unit: keys.UnitId, part: AudioPart) -> Found:
        if part.voices is None or not part.voices.windows:
            return Found(unit, part, sure=True)
        limits = find_engine(part.voices.model).voice_thresholds
        enrolled = EnrolledVoices(self._voices, *part.voices.space)
        alone = [whose(vector, 1e3, enrolled, limits) if limits else None for vector in part.voices.vectors()]
        spans = self._named(unit.media, unit.run).spans
        begin = _begin(unit, self._store, self._settings) if spans else 0.0
        theirs = (
            (begin is not None and mostly_within(start + begin, end + begin, spans))
            or (heard is not None and heard.identity == "known" and heard.name == self._name)
            for (start, end), heard in zip(part.voices.windows, alone, strict=True)
        )
        return Found(unit, part, tuple(theirs), sure=begin is not None)

    def _load_enrolled(self, model: str) -> Enrolled:
        known = load_gallery(self._store, self._settings.gallery_bucket, model)
        return Enrolled.of(known.gallery, thresholds_for(model))

    def _read_named(self, media: str, run: str) -> _Named:
        result = read_result(media, self._store, self._settings)
        if result is None or result.run != run:
            return _Named(frozenset(), [])
        both = (result, as_shown(result, self._store, self._settings))
        tracks = [track for each in both for person in each.people if is_known_as(person, self._name)
                  for track in person.tracks]  # fmt: skip
        faces = frozenset((round(1000 * seen.time_s), seen.box) for track in tracks for seen in track.sightings)
        return _Named(faces, merge_ranges([span for each in both for span in spans_of(each, {self._name})]))


def is_known_as(person: Person, name: str) -> bool:
    return person.identity == "known" and person.name == name


def spans_of(result: Result, speakers: set[str]) -> list[Span]:
    """When any of these voices speak, by the lines of a result."""
    lines = result.transcript.segments
    return merge_ranges([(line.start_s, line.end_s) for line in lines if line.speaker in speakers])


def mostly_within(start: float, end: float, spans: Sequence[Span]) -> bool:
    """Whether most of a window is in the spans."""
    both = sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)
    return both > (end - start) / 2


def _begin(unit: keys.UnitId, store: ObjectStore, settings: Settings) -> float | None:
    """Where in the recording a chunk of sound begins, in seconds; None if no manifest says so."""
    try:
        manifest = read_manifest(unit.media, unit.run, store, settings)
    except UnreadableObject:
        manifest = None
    units = manifest.units if manifest else ()
    return next((each.start_s for each in units if isinstance(each, AudioUnit) and each.name == unit.name), None)


def _known_as(name: str, faces: Sequence[Face], known: Enrolled) -> list[bool]:
    """For each face, whether it alone would be known as this person's."""
    if name not in known.names:
        return [False] * len(faces)
    outcomes = identify_each([face.embedding.vector() for face in faces], known, [grade_of(face) for face in faces])
    return [identity == "known" and names[0].name == name for identity, names in outcomes]
