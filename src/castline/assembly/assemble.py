"""Builds a run's result from manifest, parts and gallery: pure, deterministic, whatever order they arrived in."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from castline import keys
from castline.assembly.attribution import watched
from castline.assembly.speakers import Line, said_by
from castline.assembly.stitch import stitch
from castline.cost import Sizes, cost_of, estimate
from castline.cues import cues_of
from castline.engines.plugins import thresholds_for
from castline.recognition.identity import Group, people_on
from castline.recognition.tracks import FaceTrack
from castline.records import (
    AudioPart,
    AudioUnit,
    Cost,
    ErrorPart,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Gallery,
    Manifest,
    Mouths,
    Notice,
    Person,
    Processing,
    Range,
    Result,
    Segment,
    Sighting,
    SpokenLanguage,
    SpokenSegment,
    StageTiming,
    Status,
    TimelineEntry,
    Track,
    Transcript,
    UnitFailure,
    Usage,
    merge_ranges,
)

_AUDIBLE_DB = -50.0  # RMS of the loudest second; speech reaches -40 at least
_NOT_LISTENED = ("no_speech_engine", "speech_not_read")


@dataclass(frozen=True, slots=True)
class Assembly:
    """Attributes:
    images: JPEG bytes by the file name that ``Person.image`` refers to.
    """

    result: Result
    images: dict[str, bytes]


def assemble(
    manifest: Manifest,
    parts: Mapping[str, FramesPart | AudioPart],
    errors: Mapping[str, ErrorPart],
    gallery: Gallery | None,
    warnings: Sequence[Notice] = (),
    mouths: Mouths | None = None,
) -> Assembly:
    """Put a run together.

    Args:
        parts: analysed units by unit name; every unit of the manifest is here or in ``errors``.
        gallery: the known people, embedded by the same model as the parts; None if there are no faces or voices.
        warnings: notices from loading the gallery.
        mouths: which faces were seen to speak; None where that was not analysed.
    """
    all_frames = [part for part in _in_order(manifest, parts) if isinstance(part, FramesPart)]
    model = main_embedder(all_frames)
    frame_parts = [part for part in all_frames if part.embedder == model]
    spaces = Counter(part.space for part in frame_parts if part.space)
    space = min(spaces, key=lambda space: (-spaces[space], space), default=None)
    frame_parts = [part for part in frame_parts if part.space in (None, space)]
    if gallery:
        comparable = tuple(face for face in gallery.faces if face.embedding.space == space)
        gallery = gallery.model_copy(update={"faces": comparable})
    if len(frame_parts) < len(all_frames):
        # Embeddings of different models are never compared.
        left = f"{len(all_frames) - len(frame_parts)} of {len(all_frames)}"
        message = f"{left} batches of frames were analysed by another face model and are left out"
        warnings = (*warnings, Notice(code="mixed_models", message=message))
    audio = [
        (unit, part)
        for unit in manifest.units
        if isinstance(unit, AudioUnit) and isinstance(part := parts.get(unit.name), AudioPart)
    ]
    clock = _Clock(manifest)
    people, images = _people(frame_parts, gallery, clock)
    looked_at = [face for part in frame_parts for face in part.mouths]
    people = watched(people, [*looked_at, *(mouths.faces if mouths else ())])
    compared = people if manifest.options.speakers == "auto" else None
    known = gallery.voices if gallery else ()
    said = said_by(stitch(audio), audio, compared, known=known, pictures=bool(frame_parts))
    segments = _spoken(said.lines, people)
    language = main_language(audio)
    cues = cues_of(segments, language)
    if not manifest.options.word_times:  # stitching and the cues needed them
        segments = tuple(segment.model_copy(update={"words": ()}) for segment in segments)
    heard = dict.fromkeys(_in_media(warning, unit) for unit, part in audio for warning in part.warnings)
    failures = _failures(manifest, parts, errors, clock)
    status: Status = "failed" if manifest.error and not manifest.units else "complete"
    if failures or (manifest.error and manifest.units):
        status = "partial" if parts else "failed"
    usages = [manifest.usage, *manifest.ranges, *(part.usage for part in _in_order(manifest, parts))]
    if mouths:
        usages.append(mouths.usage)
        warnings = (*mouths.warnings, *warnings)
    result = Result(
        media=manifest.media,
        run=manifest.run,
        status=status,
        error=manifest.error or (failures[0].error if failures else None),
        failures=failures,
        warnings=(*manifest.warnings, *heard, *_nothing_heard(audio, list(heard)), *said.warnings, *warnings),
        source=manifest.source,
        options=manifest.options,
        sampling=manifest.sampling,
        probe=manifest.probe,
        duration_s=manifest.duration_s,
        engines=_engines(frame_parts, [part for _, part in audio], said.model, mouths),
        gallery=gallery.fingerprint if gallery else None,
        people=people,
        transcript=Transcript(
            engine=_transcriber(part for _, part in audio),
            language=language,
            languages=_languages(audio),
            text=" ".join(segment.text.strip() for segment in segments if not segment.suspect),
            segments=segments,
            cues=cues,
            speakers=said.speakers,
        ),
        timeline=timeline_of(people, segments),
        processing=Processing(timings=_timings(usages), cost=_cost(manifest, usages)),
    )
    return Assembly(result, images)


def _cost(manifest: Manifest, usages: Sequence[Usage]) -> Cost:
    """The cost on Lambda; an estimate where another machine did the work, because its seconds are not Lambda's."""
    units = len(manifest.units)
    if any(usage.elsewhere for usage in usages) and manifest.probe and manifest.duration_s:
        film, audio = manifest.probe.video, manifest.probe.audio is not None
        proxied = "proxy" in manifest.usage.steps
        usages, units = estimate(
            manifest.duration_s, manifest.options, film, audio=audio, sizes=Sizes(), proxied=proxied
        )
    return cost_of(usages, units, manifest.source.size)


def _nothing_heard(audio: Sequence[tuple[AudioUnit, AudioPart]], said: Sequence[Notice]) -> tuple[Notice, ...]:
    """A notice that the sound has no words in it, unless another notice already says so."""
    if any(part.segments for _, part in audio) or any(notice.code in _NOT_LISTENED for notice in said):
        return ()
    loudest = max((unit.level_db for unit, _ in audio if unit.level_db is not None), default=-100.0)
    if loudest < _AUDIBLE_DB:
        return ()
    message = f"there is sound ({loudest:.0f} dBFS at its loudest), but no words were heard in it"
    return (Notice(code="nothing_heard", message=message),)


def _in_media(warning: Notice, unit: AudioUnit) -> Notice:
    """A part's warning, with its times counted from the start of the recording."""
    if warning.start_s is None or warning.end_s is None:
        return warning
    return warning.model_copy(
        update={
            "start_s": round(warning.start_s + unit.start_s, 3),
            "end_s": round(warning.end_s + unit.start_s, 3),
        }
    )


def main_language(audio: Sequence[tuple[AudioUnit, AudioPart]]) -> str | None:
    """The language spoken most; where none is set, it is detected in each chunk, even in music."""
    seconds: dict[str, float] = {}
    for _, part in audio:
        if part.language:
            spoken = sum(segment.end_s - segment.start_s for segment in part.segments)
            seconds[part.language] = seconds.get(part.language, 0.0) + spoken
    return min(seconds, key=lambda code: (-seconds[code], code), default=None)


def _languages(audio: Sequence[tuple[AudioUnit, AudioPart]]) -> tuple[SpokenLanguage, ...]:
    """The languages detected in any chunk, the one spoken most first."""
    seconds: dict[str, float] = {}
    weighted: dict[str, float] = {}
    for item in (item for _, part in audio for item in part.languages):
        seconds[item.code] = seconds.get(item.code, 0.0) + item.seconds
        weighted[item.code] = weighted.get(item.code, 0.0) + item.seconds * item.probability
    return tuple(
        SpokenLanguage(code=code, probability=round(weighted[code] / total, 4), seconds=round(total, 3))
        for code, total in sorted(seconds.items(), key=lambda each: (-each[1], each[0]))
        if total
    )


def main_embedder(parts: Sequence[FramesPart]) -> str | None:
    """The embedding model of most parts; they differ if a deployment changed it in the middle of a run."""
    counts = Counter(part.embedder for part in parts)
    return min(counts, key=lambda model: (-counts[model], model), default=None)


class _Clock:
    """What a sampled frame stands for: everything until the next sampled frame."""

    def __init__(self, manifest: Manifest) -> None:
        frames = [frame for unit in manifest.units if isinstance(unit, FramesUnit) for frame in unit.frames]
        self.until_ms = {frame.time_ms: frame.until_ms for frame in frames}
        self._samples = sorted({*manifest.sample_times_ms, *self.until_ms})
        # Who is on screen is unknown where nothing could be decoded.
        short = [warning for warning in manifest.warnings if warning.code == "short_decode"]
        decoded = [warning.start_s for warning in short if warning.about != "sound"]
        self._end = min([manifest.duration_s or 0.0, *(end for end in decoded if end is not None)])

    def range_of(self, time_ms: int) -> tuple[float, float]:
        """Start and end, in seconds, of the time that a kept frame stands for."""
        until = self.until_ms.get(time_ms, time_ms)
        following = bisect_right(self._samples, until)
        end = self._samples[following] / 1000 if following < len(self._samples) else max(self._end, until / 1000)
        return time_ms / 1000, end


def _failures(
    manifest: Manifest,
    parts: Mapping[str, FramesPart | AudioPart],
    errors: Mapping[str, ErrorPart],
    clock: _Clock,
) -> tuple[UnitFailure, ...]:
    failures = []
    for unit in manifest.units:
        name = unit.name
        if name in parts or name not in errors:
            continue
        if isinstance(unit, AudioUnit):
            start, end = unit.start_s, unit.end_s
        else:
            start, end = unit.frames[0].time_ms / 1000, clock.range_of(unit.frames[-1].time_ms)[1]
        failures.append(UnitFailure(unit=name, start_s=start, end_s=end, error=errors[name].error))
    return tuple(failures)


def _in_order(manifest: Manifest, parts: Mapping[str, FramesPart | AudioPart]) -> list[FramesPart | AudioPart]:
    names = [unit.name for unit in manifest.units]
    return [parts[name] for name in names if name in parts]


def _people(
    parts: list[FramesPart], gallery: Gallery | None, clock: _Clock
) -> tuple[tuple[Person, ...], dict[str, bytes]]:
    frames: list[FrameFaces] = sorted((frame for part in parts for frame in part.frames), key=lambda item: item.time_ms)
    if not any(frame.faces for frame in frames):
        return (), {}
    limits = thresholds_for(parts[0].embedder)
    known = gallery or Gallery(model=parts[0].embedder, fingerprint="")
    groups = people_on(frames, known, limits, clock.until_ms)
    people: list[Person] = []
    images: dict[str, bytes] = {}
    taken = {group.name for group in groups}  # somebody may be enrolled as "Person 1"
    free_names = (name for number in count(1) if (name := f"Person {number}") not in taken)
    for number, group in enumerate(groups, start=1):
        name = group.name or next(free_names)
        image = _image(group)
        file = f"people/{keys.slug(name)}.jpg" if image else None
        if file and image:
            images[file] = image
        people.append(_person(f"person-{number}", name, group, clock, file))
    return tuple(people), images


def _image(group: Group) -> bytes | None:
    crops = [face for track in group.tracks for face in track.faces if face.crop]
    best = max(crops, key=lambda face: face.quality, default=None)
    return base64.b64decode(best.crop) if best and best.crop else None


def _person(identifier: str, name: str, group: Group, clock: _Clock, image: str | None) -> Person:
    tracks = tuple(
        _track(f"{identifier}-track-{number}", track, clock) for number, track in enumerate(group.tracks, start=1)
    )
    spans = [clock.range_of(time) for track in group.tracks for time in track.times_ms]
    ranges = tuple(Range(start_s=start, end_s=end) for start, end in merge_ranges(spans, gap_s=0.001))
    return Person(
        id=identifier,
        name=name,
        identity=group.identity,
        confidence=group.confidence,
        candidates=group.candidates,
        on_screen_s=round(sum(item.end_s - item.start_s for item in ranges), 3),
        ranges=ranges,
        tracks=tracks,
        image=image,
    )


def _track(identifier: str, track: FaceTrack, clock: _Clock) -> Track:
    sightings = tuple(
        Sighting(time_s=time / 1000, box=face.box, score=face.score)
        for time, face in zip(track.times_ms, track.faces, strict=True)
    )
    return Track(
        id=identifier,
        start_s=clock.range_of(track.times_ms[0])[0],
        end_s=clock.range_of(track.times_ms[-1])[1],
        sightings=sightings,
    )


def _spoken(lines: Sequence[Line], people: tuple[Person, ...]) -> tuple[SpokenSegment, ...]:
    return tuple(
        SpokenSegment(
            **line.segment.model_dump(),
            id=f"speech-{number}",
            visible=visible_during(line.segment, people),
            speaker=line.speaker,
            said_by=line.said_by,
        )
        for number, line in enumerate(lines, start=1)
    )


def visible_during(segment: Segment, people: tuple[Person, ...]) -> str | None:
    """The known person who is alone on screen while a segment is spoken, if there is one."""
    seen = [
        person
        for person in people
        if any(item.start_s < segment.end_s and segment.start_s < item.end_s for item in person.ranges)
    ]
    return seen[0].name if len(seen) == 1 and seen[0].identity == "known" else None


def timeline_of(people: tuple[Person, ...], segments: tuple[SpokenSegment, ...]) -> tuple[TimelineEntry, ...]:
    entries = [
        TimelineEntry(start_s=item.start_s, end_s=item.end_s, kind="person", ref=person.id, label=person.name)
        for person in people
        for item in person.ranges
    ]
    entries += [
        TimelineEntry(start_s=item.start_s, end_s=item.end_s, kind="speech", ref=item.id, label=item.text)
        for item in segments
        if not item.suspect
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.start_s, entry.kind, entry.end_s, entry.ref)))


def _engines(
    frames: list[FramesPart], audio: list[AudioPart], voices: str | None, mouths: Mouths | None
) -> dict[str, str]:
    engines: dict[str, str] = {}
    if frames:
        engines |= {"detector": frames[0].detector, "embedder": frames[0].embedder}
    if transcriber := _transcriber(audio):
        engines["transcriber"] = transcriber
    if voices:
        engines["voice_encoder"] = voices
    if mouths and mouths.engine:
        engines["active_speaker"] = mouths.engine
    return engines


def _transcriber(audio: Iterable[AudioPart]) -> str | None:
    """The first transcriber that was used."""
    return next((part.transcriber for part in audio if part.transcriber), None)


def _timings(usages: Sequence[Usage]) -> tuple[StageTiming, ...]:
    stages: dict[str, list[Usage]] = {}
    for usage in usages:
        stages.setdefault(usage.stage, []).append(usage)
    timings = []
    for stage, members in stages.items():
        steps: dict[str, float] = {}
        for usage in members:
            for step, seconds in usage.steps.items():
                steps[step] = round(steps.get(step, 0.0) + seconds, 4)
        total = round(sum(usage.seconds for usage in members), 4)
        timings.append(StageTiming(stage=stage, invocations=len(members), seconds=total, steps=steps))
    return tuple(timings)
