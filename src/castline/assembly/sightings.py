"""What single sightings say about who a track shows, and tracks whose sightings disagree.

A track's name is a claim about each of its sightings, so each may object. A clear one that looks neither
like the named person's photos nor like the sightings that do is of somebody else, and sightings that
carry two names are of two people, however the track came to take them both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from castline.assembly.tracks import FaceTrack
from castline.faces.thresholds import Thresholds
from castline.records import Candidate, Gallery, Grade, Identity

#: The best name must lead the second by this much cosine similarity.
MARGIN = 0.02


def similarities(faces: NDArray[np.float64], gallery: Gallery, limits: Thresholds) -> dict[str, NDArray[np.float64]]:
    """Of each face to each person: the highest over the person's photos, shape (n,) by name.

    A poor photo counts for less, by as much as a poor face must be more alike; one that tells nothing, not at all.

    Args:
        faces: unit embeddings of the gallery's model, shape (n, d).
    """
    if not gallery.faces:
        return {}
    photos = np.stack([known.embedding.vector() for known in gallery.faces]).astype(np.float64)
    less = {grade: limits.of(grade).known - limits.known for grade in get_args(Grade)}
    alike = faces @ photos.T - np.array([less[known.grade] for known in gallery.faces])
    names = np.array([known.name for known in gallery.faces])
    return {name: alike[:, names == name].max(axis=1) for name in sorted({known.name for known in gallery.faces})}


def ranked(names: Mapping[str, float]) -> list[Candidate]:
    """Names by similarity, best first."""
    found = [Candidate(name=name, similarity=round(float(value), 4)) for name, value in names.items()]
    return sorted(found, key=lambda candidate: (-candidate.similarity, candidate.name))


def lead(names: Sequence[Candidate]) -> float:
    """By how much the best of the names, sorted, leads the second; all there is, where there is no second."""
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


def agreeing(track: FaceTrack, gallery: Gallery, limits: Thresholds) -> list[FaceTrack]:
    """The track, or its parts where its sightings disagree about who it is; in order of time.

    Every sighting is in exactly one part. Nothing is split where no sighting has a name, or where most
    object to it: then the name is the mistake, and the whole track is judged.
    """
    if len(track.faces) < 2 or not gallery.faces:
        return [track]
    alike = similarities(np.stack(track.vectors), gallery, limits)
    names = [ranked({name: values[at] for name, values in alike.items()}) for at in range(len(track.faces))]
    said = [
        found[0].name if decide(found, limits.of(grade)) == "known" else None
        for found, grade in zip(names, track.grades, strict=True)
    ]
    anchors = {name: [at for at, own in enumerate(said) if own == name] for name in said if name}
    if not anchors:
        return [track]
    belongs = _nearest(track, said, anchors, alike, limits)
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


def _nearest(
    track: FaceTrack,
    said: Sequence[str | None],
    anchors: Mapping[str, list[int]],
    photos: Mapping[str, NDArray[np.float64]],
    limits: Thresholds,
) -> list[str | None]:
    """``said``, and for each nameless sighting whose it is most like; None where it objects to all of them.

    Args:
        anchors: positions of the sightings that have a name by themselves.
        photos: similarities of all sightings to the photos of each name.
    """
    belongs = list(said)
    nameless = [at for at, own in enumerate(said) if own is None]
    if not nameless:
        return belongs
    vectors = np.stack(track.vectors)
    alike = {name: (vectors[nameless] @ vectors[members].T).max(axis=1) for name, members in anchors.items()}
    for row, at in enumerate(nameless):
        name = max(alike, key=lambda each: float(alike[each][row]))
        # A poor face looks like nobody; its place made it part of the track.
        needed = limits.ambiguous if track.grades[at] == "clear" else limits.same_track
        belongs[at] = name if max(alike[name][row], photos[name][at]) >= needed else None
    return belongs
