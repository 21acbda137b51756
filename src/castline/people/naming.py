"""Names somebody from a result: the pictures that show them there become their photos."""

from __future__ import annotations

import base64
import contextlib
import unicodedata
from collections.abc import Iterator

from castline import keys
from castline.errors import GalleryError, UnreadableObject
from castline.gallery.load import PhotoEmbedder
from castline.gallery.photos import enrol
from castline.gallery.pictures import MOST, Picture, problem_of
from castline.records import Face, FramesPart, Person, Result
from castline.runs.common import read_result, why_no_result
from castline.runs.sets import read_part, written_parts
from castline.runs.written import as_shown
from castline.settings import Settings
from castline.storage.base import ObjectStore


def name_person(
    media: str, label: str, name: str, store: ObjectStore, settings: Settings, embed: PhotoEmbedder
) -> list[str]:
    """Enrol somebody from a result; `reassemble` then binds the name in the results.

    Parts keep one picture per appearance and unit. The best of them, at most five, become photos, each
    only if exactly one main face is found in it again and resembles the face it was kept for.

    Args:
        label: the person's name in the result (``Person 2``), or id (``person-2``).
        name: the new name; if a person already has it, the photos are added to theirs.

    Returns:
        Keys of the photos.

    Raises:
        GalleryError: there is no such result or no such person in it, the person is known by another
            name, or no picture of the person can be enrolled.
        KeyLayoutError: a name that cannot be a prefix.
    """
    name = keys.check_person_name(name)
    result = read_result(media, store, settings)
    if result is None:
        raise GalleryError(why_no_result(media, store, settings))
    result = as_shown(result, store, settings)
    person = _find(label, result)
    if person.identity == "known" and person.name != name:
        raise GalleryError(
            f"{person.name!r} is a known name: castline people rename changes it everywhere, castline correct person "
            "says who it is in this recording alone"
        )
    crops = sorted(_crops(person, result, store, settings), key=lambda face: -face.quality)
    if not crops:
        raise GalleryError(f"no picture of {label} in {media} is kept; {_otherwise(name)}")
    pictures: list[Picture] = []
    problems: list[str] = []
    for face in crops:
        body = base64.b64decode(face.crop or "")
        problem = problem_of(body, face, embed)
        if problem:
            problems.append(problem)
        elif len(pictures) < MOST:
            pictures.append(Picture(f"{person.name} in {media}", ".jpg", body))
        if len(pictures) == MOST:
            break
    if not pictures:
        reasons = "; ".join(dict.fromkeys(problems))
        raise GalleryError(f"no picture of {label} in {media} can be enrolled ({reasons}); {_otherwise(name)}")
    return enrol(name, pictures, store, settings)


def _otherwise(name: str) -> str:
    """How to name somebody of whom a recording has no good picture."""
    return (
        f"enrol {name} by photos (castline people add), or say who it is in this recording alone (castline correct "
        "person)"
    )


def _find(label: str, result: Result) -> Person:
    wanted = unicodedata.normalize("NFC", label).strip()
    for person in result.people:
        if wanted in (person.name, person.id):
            return person
    there = ", ".join(person.name for person in result.people)
    raise GalleryError(
        f"nobody in {result.media} is called {label!r}; there are: {there}"
        if there
        else f"nobody is on screen in {result.media}"
    )


def _crops(person: Person, result: Result, store: ObjectStore, settings: Settings) -> Iterator[Face]:
    """The faces of a person that have a picture, found in the parts by time and position."""
    sightings = {(round(s.time_s * 1000), s.box) for track in person.tracks for s in track.sightings}
    done, _ = written_parts(result.media, result.run, store, settings)
    for unit in done.values():
        part = None
        with contextlib.suppress(UnreadableObject):  # `reconcile` makes it again
            part = read_part(unit, store, settings) if unit.kind == "frames" else None
        if isinstance(part, FramesPart) and part.embedder == result.engines.get("embedder"):
            for frame in part.frames:
                yield from (face for face in frame.faces if face.crop and (frame.time_ms, face.box) in sightings)
