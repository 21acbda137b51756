"""Removes a forgotten person from parts, and from results whose parts are gone.

Parts contain what was seen and heard, without names: boxes, embeddings and pictures of everybody. What `Likeness`
recognises as the forgotten person's is removed from them, too. What was seen of a mouth belongs to the face at that
place and time, and is removed with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from pydantic import TypeAdapter

from castline import keys
from castline.assembly import Assembly
from castline.assembly.attribution import names_told, same_place
from castline.errors import UnreadableObject
from castline.people.likeness import Likeness, is_known_as
from castline.records import (
    Attribution,
    AudioPart,
    Candidate,
    FrameFaces,
    FramesPart,
    Identity,
    Mouths,
    Part,
    Person,
    Result,
    SpeakingFace,
    SpokenSegment,
    Voices,
)
from castline.runs.common import read_result
from castline.runs.publish import publish
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

_NOBODY_S = {"identity": "unknown", "maybe": None, "confidence": 0.0, "reasons": ()}
_PART: TypeAdapter[FramesPart | AudioPart] = TypeAdapter(Part)


class Erased(NamedTuple):
    """Attributes:
    faces, windows: removed detections, with their embeddings and pictures, and removed windows of the voice.
    parts: the units from whose parts they were removed.
    """

    faces: int
    windows: int
    parts: tuple[keys.UnitId, ...]


def erase_from_parts(likeness: Likeness, store: ObjectStore, settings: Settings) -> Erased:
    """Remove a person's faces and voice from all parts. Call it before the photos, voices and names are removed.

    Faces that are only possible matches stay, unnamed.
    """
    faces, windows, parts = 0, 0, []
    for unit, part, theirs, _ in likeness.in_parts():
        if part is None or not any(theirs):
            continue
        if isinstance(part, FramesPart):
            faces += sum(theirs)
            left = _without_faces(part, theirs).to_json()
        else:
            windows += sum(theirs)
            left = _without_windows(part, theirs).to_json()
        store.put(settings.output_bucket, unit.part_key, left)
        parts.append(unit)
    return Erased(faces, windows, tuple(parts))


def _without_faces(part: FramesPart, theirs: Sequence[bool]) -> FramesPart:
    gone = iter(theirs)
    frames = tuple(
        frame.model_copy(update={"faces": tuple(face for face in frame.faces if not next(gone))})
        for frame in part.frames
    )
    return part.model_copy(update={"frames": frames})


def _without_windows(part: AudioPart, theirs: Sequence[bool]) -> AudioPart:
    voices = part.voices
    if voices is None:
        return part
    kept = [at for at, gone in enumerate(theirs) if not gone]
    left = Voices.of(voices.model, [voices.windows[at] for at in kept], voices.vectors()[kept])
    return part.model_copy(update={"voices": left})


def erase_mouths(store: ObjectStore, settings: Settings) -> tuple[str, ...]:
    """Remove what was seen of mouths whose faces are gone. Call it after `erase_from_parts`.

    Returns:
        Keys of the rewritten objects.
    """
    written = []
    for key, mouths, gone in mouths_of_nobody(store, settings):
        if mouths and gone:
            left = tuple(face for face in mouths.faces if face not in gone)
            store.put(settings.output_bucket, key, mouths.model_copy(update={"faces": left}).to_json())
            written.append(key)
    return tuple(written)


def mouths_of_nobody(
    store: ObjectStore, settings: Settings
) -> Iterator[tuple[str, Mouths | None, frozenset[SpeakingFace]]]:
    """What is known of mouths in each run, and what of it belongs to no face in the run's parts.

    Yields:
        The object's key; its content, None if it cannot be read; and what is left over in it.
    """
    bucket = settings.output_bucket
    for info in list(store.find(bucket)):
        run = keys.parse_mouths(info.key)
        if run is None:
            continue
        try:
            mouths = read_object(Mouths, store, bucket, info.key)
        except UnreadableObject:
            yield info.key, None, frozenset()
            continue
        if mouths:
            frames = sorted(_frames_of_run(*run, store, settings), key=lambda frame: frame.time_ms)
            yield info.key, mouths, frozenset(face for face in mouths.faces if not _has_a_face(face, frames))


def _frames_of_run(media: str, run: str, store: ObjectStore, settings: Settings) -> Iterator[FrameFaces]:
    for info in store.find(settings.output_bucket, keys.parts_prefix(media, run)):
        found = keys.parse_part(info.key)
        if found and not found[1] and found[0].kind == "frames":
            with suppress(UnreadableObject):  # whose faces it has, nobody can say; the proof names it
                part = read_object(_PART, store, settings.output_bucket, info.key)
                yield from part.frames if isinstance(part, FramesPart) else ()


def _has_a_face(mouth: SpeakingFace, frames: Sequence[FrameFaces]) -> bool:
    """Whether the frame before its middle, or the one after, has a face at that place."""
    after = bisect_right(frames, 500 * (mouth.start_s + mouth.end_s), key=lambda frame: frame.time_ms)
    return any(
        same_place(face.box, mouth.box) for frame in frames[max(after - 1, 0) : after + 1] for face in frame.faces
    )


def unname(name: str, store: ObjectStore, settings: Settings) -> Iterator[str]:
    """Remove a name from results that cannot be assembled any more, because their parts have expired.

    Yields:
        Each media file whose result was written.
    """
    results = [info.key for info in store.find(settings.output_bucket) if info.key.endswith(f"/{keys.RESULT}")]
    for key in results:
        media = key.removesuffix(f"/{keys.RESULT}")
        while True:
            shown = store.head(settings.output_bucket, key)
            result = read_result(media, store, settings)
            if result is None or not _mentions(result, name):
                break
            anonymous = without(result, name)
            pictures = {
                after.image: store.get(settings.output_bucket, keys.result_key(media, before.image or "")) or b""
                for before, after in zip(result.people, anonymous.people, strict=True)
                if after.image
            }
            if publish(Assembly(anonymous, pictures), shown, store, settings):
                yield media
                break


def without(result: Result, name: str) -> Result:
    """The result as if this name had been unknown."""
    taken = {person.name for person in result.people}
    free = (f"Person {number}" for number in range(1, 2 + len(taken)) if f"Person {number}" not in taken)
    labels: dict[str, str] = {}
    people = []
    for person in result.people:
        left = tuple(candidate for candidate in person.candidates if candidate.name != name)
        if is_known_as(person, name):
            labels[person.id] = next(free)
            people.append(_anonymous(person, labels[person.id]))
        else:
            people.append(person.model_copy(update={"candidates": left, "identity": _identity(person, left)}))
    timeline = tuple(
        entry.model_copy(update={"label": labels[entry.ref]}) if entry.ref in labels else entry
        for entry in result.timeline
    )
    voices = {item.name: f"Speaker {item.id.rpartition('-')[2]}" for item in result.transcript.speakers}
    voices = {voice: number for voice, number in voices.items() if voice == name}
    transcript = result.transcript.model_copy(
        update={
            "segments": tuple(_said(item, name, voices) for item in result.transcript.segments),
            "cues": tuple(
                item.model_copy(
                    update={
                        "visible": None if item.visible == name else item.visible,
                        "speaker": voices.get(item.speaker or "", item.speaker),
                    }
                )
                for item in result.transcript.cues
            ),
            "speakers": tuple(
                item.model_copy(update={"name": voices.get(item.name, item.name), **_NOBODY_S})
                if name in (item.name, item.maybe) or _told_of(item.reasons, name)
                else item
                for item in result.transcript.speakers
            ),
        }
    )
    warnings = tuple(
        item for item in result.warnings if item.code != "gallery_photo" or keys.gallery_name(item.about) != name
    )
    return result.model_copy(
        update={"people": tuple(people), "timeline": timeline, "transcript": transcript, "warnings": warnings}
    )


def _said(line: SpokenSegment, name: str, voices: Mapping[str, str]) -> SpokenSegment:
    """A line as it would be without the name."""
    said_by = line.said_by
    if said_by and (said_by.name == name or _told_of(said_by.reasons, name)):
        said_by = Attribution(outcome="unknown")
    visible = None if line.visible == name else line.visible
    speaker = voices.get(line.speaker or "", line.speaker)
    return line.model_copy(update={"visible": visible, "speaker": speaker, "said_by": said_by})


def _told_of(reasons: Sequence[str], name: str) -> bool:
    return any(name in names_told(reason) for reason in reasons)


def _anonymous(person: Person, label: str) -> Person:
    image = f"people/{keys.slug(label)}.jpg" if person.image else None
    return person.model_copy(update={"name": label, "identity": "unknown", "candidates": (), "image": image})


def _identity(person: Person, left: tuple[Candidate, ...]) -> Identity:
    return "unknown" if person.identity == "ambiguous" and not left else person.identity


def _mentions(result: Result, name: str) -> bool:
    return without(result, name) != result
