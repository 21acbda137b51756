"""What single sightings say about who a track shows, and tracks whose sightings disagree.

A track's name is a claim about each of its sightings, so each may object. A clear one that looks neither
like the named person's photos nor like the sightings that do is of somebody else, and sightings that
carry two names are of two people, however the track came to take them both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from castline.assembly.tracks import FaceTrack
from castline.faces.thresholds import Thresholds
from castline.records import Candidate, Gallery, Identity

#: The best name must lead the second by this much cosine similarity.
MARGIN = 0.02


def score(faces: NDArray[np.float64], weights: NDArray[np.float64], gallery: Gallery) -> list[Candidate]:
    """Names by similarity, best first.

    The similarity of one face to a person is the highest over the person's photos; of several faces, the
    mean, weighted.

    Args:
        faces: unit embeddings of the gallery's model, shape (n, d).
        weights: shape (n,), positive.
    """
    scored = []
    for name in sorted({known.name for known in gallery.faces}):
        photos = np.stack([known.embedding.vector() for known in gallery.faces if known.name == name])
        per_face = (faces @ photos.T.astype(np.float64)).max(axis=1)
        scored.append(Candidate(name=name, similarity=round(float(np.average(per_face, weights=weights)), 4)))
    return sorted(scored, key=lambda candidate: (-candidate.similarity, candidate.name))


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
    names = [score(vector[np.newaxis], np.ones(1), gallery) for vector in track.vectors]
    said = [
        found[0].name if decide(found, limits.of(grade)) == "known" else None
        for found, grade in zip(names, track.grades, strict=True)
    ]
    anchors = {name: [at for at, own in enumerate(said) if own == name] for name in said if name}
    if not anchors:
        return [track]
    belongs: list[str | None] = list(said)
    for at in range(len(said)):
        if said[at] is None:
            belongs[at] = _nearest(at, track, anchors, {item.name: item.similarity for item in names[at]}, limits)
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
    at: int, track: FaceTrack, anchors: dict[str, list[int]], photos: dict[str, float], limits: Thresholds
) -> str | None:
    """Whose sightings a nameless one is most like; None where it objects to all of them.

    Args:
        anchors: positions of the sightings that have a name by themselves.
        photos: similarity of this sighting to the photos of each name.
    """
    alike = {
        name: max(float(track.vectors[at] @ track.vectors[other]) for other in members)
        for name, members in anchors.items()
    }
    name = max(alike, key=lambda each: alike[each])
    # A poor face looks like nobody; its place made it part of the track.
    needed = limits.ambiguous if track.grades[at] == "clear" else limits.same_track
    return name if max(alike[name], photos[name]) >= needed else None
