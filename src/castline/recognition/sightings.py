"""Decides from single sightings who a track shows, and splits tracks whose sightings disagree.

A track's name is a claim about each of its sightings, so each may object. A clear sighting that resembles neither the
named person's photos nor the sightings that resemble them shows somebody else, and sightings with two names show two
people, even if one track contains both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from castline.engines.thresholds import NEVER, Thresholds
from castline.recognition.grade import SHARP
from castline.recognition.tracks import FaceTrack
from castline.records import Candidate, Gallery, Grade, Identity

#: The best name must lead the second by this much cosine similarity.
MARGIN = 0.02
_DIGITS = 4  # digits kept of a candidate's similarity
_ROUNDED = 10.0**-_DIGITS
_BLOCK = 128  # faces
_COHORT = 1000  # photos of others, at most, with which a photo is compared


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A gallery as matrices: decoded and stacked once, for all faces that are compared with it.

    Attributes:
        names: everybody who has a photo, p of them, sorted.
        photos: unit embeddings, shape (m, d), float64; those of one person are adjacent, in the order of ``names``.
        less: by how much each photo's similarities are reduced because of its grade, shape (m,).
        clear: whether each photo is clear, shape (m,).
        first: row of each person's first photo, shape (p,).
        limits: the thresholds of the gallery's model.
    """

    names: tuple[str, ...]
    photos: NDArray[np.float64]
    less: NDArray[np.float64]
    clear: NDArray[np.bool_]
    first: NDArray[np.intp]
    limits: Thresholds

    @classmethod
    def of(cls, gallery: Gallery, limits: Thresholds) -> Self:
        """Build it from a gallery whose embeddings all have one model and length.

        The similarities of a degraded or poor photo are reduced by the margin of poor faces; a useless photo does not
        count. They are also reduced if the photo resembles photos of other people: photos compressed or lit alike are
        closer to each other than the people are, so a face must resemble it more than they do. This alone makes nobody
        who was ``known`` ``unknown``: somebody enrolled under two names stays ambiguous.
        """
        faces = sorted(gallery.faces, key=lambda face: face.name)
        photos = np.array([face.embedding.vector() for face in faces], np.float64)
        by_grade: dict[Grade, float] = {"clear": 0.0, "degraded": limits.poor, "poor": limits.poor, "useless": NEVER}
        owners = np.array([face.name for face in faces], object)
        names, first, owner = np.unique(owners, return_index=True, return_inverse=True)
        less = np.array([by_grade[face.grade] for face in faces])
        if len(names) > 1:
            crowded = np.minimum(_most_alike_other(photos, owner), 2 * limits.known - limits.ambiguous)
            less = np.maximum(less, crowded - limits.known)
        return cls(tuple(names), photos, less, np.array([face.grade == "clear" for face in faces], bool), first, limits)

    def alike(self, faces: NDArray[np.float64], grades: Sequence[Grade]) -> NDArray[np.float64]:
        """Similarity of each face to each person: the highest over the person's photos, shape (n, p).

        A face and a photo neither of which is clear may have only their blur or darkness in common, so their similarity
        is capped just below ``known``.

        Args:
            faces: unit embeddings, shape (n, d); the gallery must not be empty.
            grades: one for each face.
        """
        clear = np.array([grade == "clear" for grade in grades], bool)
        known = np.array([self.limits.of(grade).known for grade in grades])
        # Block by block: with all photos at once, an hour of one face and thousands of people would take gigabytes.
        blocks = (slice(at, at + _BLOCK) for at in range(0, len(faces), _BLOCK))
        return np.concatenate(
            [np.maximum.reduceat(self._each(faces[at], clear[at], known[at]), self.first, axis=1) for at in blocks]
        )

    def _each(
        self, faces: NDArray[np.float64], clear: NDArray[np.bool_], known: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Similarity of each face to each photo, shape (n, m)."""
        similar: NDArray[np.float64] = faces @ self.photos.T - self.less
        neither = np.ix_(~clear, ~self.clear)
        # Kept in the order of similarity, so that candidates stay ranked.
        at_most = known[~clear, np.newaxis] - _ROUNDED - MARGIN * (1 - similar[neither])
        similar[neither] = np.minimum(similar[neither], at_most)
        return similar

    def nearest(self, similarities: NDArray[np.float64], most: int = 3) -> list[Candidate]:
        """The most similar people, best first.

        Args:
            similarities: by person, shape (p,).
        """
        likely = np.arange(len(self.names))
        if most < len(self.names):
            # Those that rounding makes equal to the last one are ordered by name.
            likely = np.flatnonzero(similarities >= np.partition(similarities, -most)[-most] - _ROUNDED)
        return ranked({self.names[at]: similarities[at] for at in likely})[:most]


def _most_alike_other(photos: NDArray[np.float64], owner: NDArray[np.intp]) -> NDArray[np.float64]:
    """The highest similarity of each photo to photos of other people, shape (m,).

    Args:
        owner: index of each photo's person, shape (m,).
    """
    step = -(-len(photos) // _COHORT)
    others, theirs = photos[::step], owner[::step]
    rows = (slice(at, at + _BLOCK) for at in range(0, len(photos), _BLOCK))
    return np.concatenate(
        [np.where(owner[row, None] == theirs, -1.0, photos[row] @ others.T).max(axis=1) for row in rows]
    )


def ranked(names: Mapping[str, float]) -> list[Candidate]:
    """Names by similarity, best first."""
    found = [Candidate(name=name, similarity=round(float(value), _DIGITS)) for name, value in names.items()]
    return sorted(found, key=lambda candidate: (-candidate.similarity, candidate.name))


def lead(names: Sequence[Candidate]) -> float:
    """By how much the best of the sorted names leads the second; its whole similarity if there is no second."""
    return names[0].similarity - names[1].similarity if len(names) > 1 else 2.0


def decide(names: Sequence[Candidate], limits: Thresholds) -> Identity:
    """The outcome for names by similarity, best first.

    Args:
        limits: those for the grade of the faces that were compared.
    """
    best = names[0].similarity if names else -1.0
    if best >= limits.known and lead(names) >= MARGIN:
        return "known"
    return "ambiguous" if best >= limits.ambiguous else "unknown"


def agreeing(track: FaceTrack, known: Enrolled) -> list[FaceTrack]:
    """The track, or its parts if its sightings disagree about who it is; in order of time.

    Every sighting is in exactly one part. Nothing is split if no sighting has a name, or if most object to it: then the
    name is the mistake, and the whole track is judged.
    """
    if len(track.faces) < 2 or not known.names:
        return [track]
    alike = known.alike(np.stack(track.vectors), track.grades)
    said = [_name_of(row, known, grade) for row, grade in zip(alike, track.grades, strict=True)]
    anchors = {name: [at for at, own in enumerate(said) if own == name] for name in said if name}
    if not anchors:
        return [track]
    photos = {name: alike[:, known.names.index(name)] for name in anchors}
    belongs = _nearest(track, said, anchors, photos, known.limits)
    objecting = belongs.count(None)
    if len(anchors) == 1 and (not objecting or objecting >= len(said) - objecting):
        return [track]
    parts = [track.part([at for at, own in enumerate(belongs) if own == name]) for name in anchors]
    runs: list[list[int]] = []
    for at in (at for at, own in enumerate(belongs) if own is None):
        if runs and runs[-1][-1] == at - 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    return sorted([*parts, *map(track.part, runs)], key=lambda part: part.times_ms[0])


def _name_of(similarities: NDArray[np.float64], known: Enrolled, grade: Grade) -> str | None:
    limits = known.limits.of(grade)
    if similarities.max() < limits.known - _ROUNDED:
        return None
    names = known.nearest(similarities, 2)
    return names[0].name if decide(names, limits) == "known" else None


def _nearest(
    track: FaceTrack,
    said: Sequence[str | None],
    anchors: Mapping[str, list[int]],
    photos: Mapping[str, NDArray[np.float64]],
    limits: Thresholds,
) -> list[str | None]:
    """``said``, and for each nameless sighting the most similar name; None if it objects to all of them.

    Args:
        anchors: positions of the sightings that have a name by themselves.
        photos: similarities of all sightings to the photos of each of these names.
    """
    belongs = list(said)
    nameless = [at for at, own in enumerate(said) if own is None]
    if not nameless:
        return belongs
    vectors = np.stack(track.vectors)
    alike = {name: (vectors[nameless] @ vectors[members].T).max(axis=1) for name, members in anchors.items()}
    for row, at in enumerate(nameless):
        name = max(alike, key=lambda each: float(alike[each][row]))
        # A poor face resembles nobody; its position made it part of the track.
        needed = limits.ambiguous if track.grades[at] in SHARP else limits.same_track
        belongs[at] = name if max(alike[name][row], photos[name][at]) >= needed else None
    return belongs
