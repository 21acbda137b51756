"""Checks names in cut footage: plays sequences of labelled faces through the pipeline's own assembly.

Every order of the photos is one sequence, with half of the people enrolled and half strangers. A sequence has one of
these kinds:

    slides  each sampled frame is another photo: nothing but cuts
    pairs   the same with two people on screen, so that faces compete for tracks
    shots   each photo stays for three frames: unchanged, slightly moved, and degraded

The counts, over sightings whose person is known:

    strangers named    sightings of people who are not enrolled, under any name
    wrong names        sightings of enrolled people under another name
    named right        sightings of enrolled people under their own name
    mixed tracks       tracks of the result that hold two people or more; mixed people likewise
    identity switches  sightings of a person under another id of the result than the last time (IDSW); listing
                       somebody twice counts here, and so does taking two for one. IDF1 says it of the whole sequence
                       (``castline.evaluation.mot``)
    broken tracks      in shots: photos that stayed and whose frames are in more than one track (Frag of MOT)
    people             listed by the result, and truly there
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from castline.engines.thresholds import Thresholds
from castline.errors import EvaluationError
from castline.evaluation.mot import Mot
from castline.recognition.grade import grade_of
from castline.recognition.identity import Group, people_on
from castline.records import Face, FrameFaces, Gallery, KnownFace, Record

Kind = Literal["slides", "pairs", "shots"]
KINDS: tuple[Kind, ...] = ("slides", "pairs", "shots")
_STEP_MS = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A labelled photo in one condition.

    Attributes:
        face: its main face.
        look: that of the whole picture.
    """

    person: str
    photo: str
    face: Face
    look: str


Conditions = Mapping[str, Mapping[str, Shown]]
"""By condition (``clean``, ``moved``, and degradations), then by photo; photos without a detected face are missing."""


class TracksCount(Record):
    """Counts of the sequences of one kind and condition; the words are explained at the top of this module."""

    kind: str
    condition: str
    sequences: int
    sightings: int
    strangers: int
    strangers_named: int
    known: int
    wrong_names: int
    named_right: int
    tracks: int
    mixed_tracks: int
    mixed_people: int
    identity_switches: int
    idtp: int
    idfp: int
    idfn: int
    broken_tracks: int
    people_found: int
    people_true: int

    @property
    def idf1(self) -> float:
        """Share of sightings under the one id that is the person's own, 0 to 1."""
        return 2 * self.idtp / max(2 * self.idtp + self.idfp + self.idfn, 1)


def count(
    shown: Conditions,
    limits: Thresholds,
    model: str,
    kind: Kind,
    condition: str,
    *,
    orders: int,
    enrol: int,
    enrolled_as: str = "clean",
) -> TracksCount:
    """Play all sequences of one kind and condition, and count.

    Nothing is random: order ``n`` is the same on every machine.

    Args:
        condition: one of ``shown``'s, or ``mixed``: a different one for each photo.
        orders: sequences.
        enrol: photos enrolled of each known person; the others are shown.
        enrolled_as: condition of the enrolled photos.

    Raises:
        EvaluationError: fewer than two people, or nobody has more photos than are enrolled.
        ModelNotFound: motmetrics is not installed.
    """
    total: Counter[str] = Counter()
    mot = Mot()
    for order in range(orders):
        frames, truth, gallery, stays = _sequence(shown, model, kind, condition, order, enrol, enrolled_as)
        groups = people_on(frames, gallery, limits)
        total.update(_judge(groups, truth, {face.name for face in gallery.faces}, stays))
        found = {crop: number for number, group in enumerate(groups) for crop in _crops(group)}
        mot.add(
            [(truth[crop], found.get(crop)) for crop in (face.crop or "" for face in frame.faces)] for frame in frames
        )
    total.update(mot.counts())
    fields = [name for name in TracksCount.model_fields if name not in ("kind", "condition", "sequences")]
    return TracksCount(kind=kind, condition=condition, sequences=orders, **{name: total[name] for name in fields})


def _sequence(
    shown: Conditions, model: str, kind: Kind, condition: str, order: int, enrol: int, enrolled_as: str
) -> tuple[list[FrameFaces], dict[str, str], Gallery, list[list[str]]]:
    """Frames; the person of each face; the known people; and the faces of each photo that stays.

    Faces are identified by a number in place of their crop, which assembly only passes through.
    """
    chance = np.random.default_rng(order)
    clean = shown["clean"]
    photos: defaultdict[str, list[str]] = defaultdict(list)
    for photo, item in clean.items():
        photos[item.person].append(photo)
    people = sorted(photos)
    if len(people) < 2 or all(len(own) <= enrol for own in photos.values()):
        raise EvaluationError(f"tracks need two people or more, and photos beside the {enrol} that are enrolled")
    known = {people[at] for at in chance.permutation(len(people))[: len(people) // 2]}
    enrolled, rest = [], []
    for person in people:
        own = [photos[person][at] for at in chance.permutation(len(photos[person]))]
        cut = enrol if person in known else 0
        enrolled += own[:cut]
        rest += own[cut:]
    gallery = Gallery(
        model=model,
        fingerprint="",
        faces=tuple(_photo(shown[enrolled_as][at]) for at in enrolled if at in shown[enrolled_as]),
    )
    truth: dict[str, str] = {}

    def mark(item: Shown) -> Face:
        crop = f"{len(truth):08d}"
        truth[crop] = item.person
        return item.face.model_copy(update={"crop": crop})

    conditions = [name for name in shown if name != "moved"]
    slides = [rest[at] for at in chance.permutation(len(rest))]
    rows: list[tuple[list[Face], str]] = []
    stays: list[list[str]] = []
    picks = [conditions[chance.integers(len(conditions))] if condition == "mixed" else condition for _ in slides]
    items = [shown[pick].get(photo) for pick, photo in zip(picks, slides, strict=True)]
    if kind == "shots":
        for photo, last in zip(slides, items, strict=True):
            views = [view for view in (clean[photo], shown["moved"].get(photo), last) if view]
            faces = [mark(view) for view in views]
            rows += [([face], view.look) for face, view in zip(faces, views, strict=True)]
            stays.append([face.crop or "" for face in faces])
    elif kind == "pairs":
        there = [item for item in items if item]
        for left, right in zip(there, there[1:] + there[:1], strict=True):
            beside = [left] if left.person == right.person else [left, right]
            rows.append(([_half(mark(item), at) for at, item in enumerate(beside)], left.look))
    else:
        rows = [([mark(item)], item.look) for item in items if item]
    frames = [FrameFaces(time_ms=at * _STEP_MS, faces=tuple(faces), look=look) for at, (faces, look) in enumerate(rows)]
    return frames, truth, gallery, stays


def _photo(item: Shown) -> KnownFace:
    return KnownFace(name=item.person, photo=item.photo, embedding=item.face.embedding, grade=grade_of(item.face))


def _half(face: Face, side: int) -> Face:
    """The face in the left (0) or right (1) half of a frame twice as wide."""
    x0, y0, x1, y1 = face.box
    points = tuple(((x + side) / 2, y) for x, y in face.landmarks)
    return face.model_copy(update={"box": ((x0 + side) / 2, y0, (x1 + side) / 2, y1), "landmarks": points})


def _judge(
    groups: Sequence[Group], truth: Mapping[str, str], known: set[str], stays: Sequence[Sequence[str]]
) -> Counter[str]:
    total: Counter[str] = Counter()
    found: dict[str, tuple[int, int]] = {}
    for number, group in enumerate(groups):
        holds = {truth[crop] for crop in _crops(group)}
        total["mixed_people"] += len(holds) > 1
        for at, track in enumerate(group.tracks):
            total["tracks"] += 1
            crops = [face.crop or "" for face in track.faces]
            total["mixed_tracks"] += len({truth[crop] for crop in crops}) > 1
            found.update(dict.fromkeys(crops, (number, at)))
        for crop in _crops(group):
            if truth[crop] not in known:
                total["strangers_named"] += group.name is not None
            elif group.name is not None:
                total["named_right" if group.name == truth[crop] else "wrong_names"] += 1
    for person in truth.values():
        total["sightings"] += 1
        total["known" if person in known else "strangers"] += 1
    total["broken_tracks"] = sum(len({found.get(crop) for crop in stay}) > 1 for stay in stays)
    total["people_found"] = len(groups)
    total["people_true"] = len(set(truth.values()))
    return total


def _crops(group: Group) -> Iterator[str]:
    return (face.crop or "" for track in group.tracks for face in track.faces)
