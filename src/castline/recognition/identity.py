"""From tracks to people: names for known people, clusters for unknown ones.

Identity has three outcomes. ``known``: the track's usable faces, weighted by quality, are above the known threshold of
their grade and clearly nearest to one name. ``ambiguous``: it might be that person. ``unknown``: a stranger. Wrong
merges hurt more than duplicates, so in a cluster no two tracks may be strangers, and two faces that are on screen
together are never one person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castline.engines.thresholds import NEVER, Thresholds
from castline.recognition import confidence
from castline.recognition.grade import may_share_faults
from castline.recognition.sightings import MARGIN, Enrolled, agreeing, decide, lead, ranked
from castline.recognition.tracks import FaceTrack, is_person, link
from castline.records import Candidate, FrameFaces, Gallery, Grade, Identity

_CANDIDATES = 3


@dataclass(slots=True)
class Group:
    """Tracks of one person. ``name`` is set for known people only."""

    tracks: list[FaceTrack]
    identity: Identity
    name: str | None
    confidence: float
    candidates: tuple[Candidate, ...]


def score_names(track: FaceTrack, known: Enrolled) -> list[Candidate]:
    """The names most similar to a track, best first: the similarities of its usable faces, weighted by quality."""
    positions = track.telling
    if not known.names or not positions:
        return []
    faces = np.stack([track.vectors[at] for at in positions])
    weights = np.array([max(track.faces[at].quality, 0.01) for at in positions])
    alike = known.alike(faces, [track.grade] * len(positions))
    return known.nearest(np.average(alike, axis=0, weights=weights), _CANDIDATES)


def identify_alone(
    vector: NDArray[np.float32], known: Enrolled, grade: Grade = "clear"
) -> tuple[Identity, list[Candidate]]:
    """The outcome of ``identify`` for a face seen once, with nobody else on screen.

    Args:
        vector: embedding of the gallery's model, unit norm, shape (d,), float32.

    Returns:
        The outcome, and the most similar names, best first; ``known`` means the first of them.
    """
    (outcome,) = identify_each([vector], known, [grade])
    return outcome


def identify_each(
    vectors: Sequence[NDArray[np.float32]], known: Enrolled, grades: Sequence[Grade]
) -> list[tuple[Identity, list[Candidate]]]:
    """``identify_alone`` for many faces, which reads the gallery's matrix once per block and not once per face.

    Args:
        vectors: n embeddings of the gallery's model, unit norm, shape (d,), float32.
        grades: one for each vector.
    """
    if not known.names or not vectors:
        return [("unknown", []) for _ in vectors]
    rows = known.alike(np.stack(vectors).astype(np.float64), grades)
    named = [known.nearest(row, _CANDIDATES) for row in rows]
    return [(decide(names, known.limits.of(grade)), names) for names, grade in zip(named, grades, strict=True)]


def people_on(
    frames: Sequence[FrameFaces],
    gallery: Gallery,
    limits: Thresholds,
    until_ms: Mapping[int, int] | None = None,
) -> list[Group]:
    """Everybody in some frames, in order of first appearance; patterns that are not faces are left out.

    Args:
        frames, until_ms: as ``link`` has them.
    """
    return identify([track for track in link(frames, limits, until_ms) if is_person(track)], gallery, limits)


def identify(tracks: Sequence[FaceTrack], gallery: Gallery, limits: Thresholds) -> list[Group]:
    """Groups of tracks, one per person, in order of first appearance, whatever the order of ``tracks``.

    A track whose sightings disagree comes back in parts.
    """
    enrolled = Enrolled.of(gallery, limits)
    tracks = [part for track in tracks for part in agreeing(track, enrolled)]
    tracks = sorted(tracks, key=lambda track: (track.times_ms[0], track.faces[0].box))
    scored = [score_names(track, enrolled) for track in tracks]
    identities = [decide(names, limits.of(track.grade)) for names, track in zip(scored, tracks, strict=True)]
    known: dict[str, list[int]] = {}
    likeliest_first = sorted(range(len(tracks)), key=lambda at: -_top(scored[at]))
    for index in likeliest_first:
        if identities[index] != "known":
            continue
        members = known.setdefault(scored[index][0].name, [])
        if any(_together(tracks[index], tracks[other]) for other in members):
            identities[index] = "ambiguous"  # Ada cannot be on screen twice; the likelier track keeps the name
        else:
            members.append(index)
    clear = {name: tuple(members) for name, members in known.items()}
    for index in likeliest_first:
        if identities[index] != "ambiguous":
            continue
        name = scored[index][0].name
        if lead(scored[index]) >= MARGIN and _at_home(index, tracks, clear.get(name, ()), known.get(name, ()), limits):
            known[name].append(index)
            identities[index] = "known"
    groups = [_known_group(name, sorted(members), tracks, scored, limits) for name, members in known.items()]
    rest = [index for index, identity in enumerate(identities) if identity != "known"]
    groups += [
        _stranger_group(members, tracks, scored, identities, limits) for members in _cluster(rest, tracks, limits)
    ]
    return sorted(groups, key=lambda group: (group.tracks[0].times_ms[0], group.tracks[0].faces[0].box))


def _top(names: list[Candidate]) -> float:
    return names[0].similarity if names else -1.0


def _at_home(
    index: int, tracks: Sequence[FaceTrack], clear: Sequence[int], members: Sequence[int], limits: Thresholds
) -> bool:
    """Whether an ambiguous track belongs to the person of its own best name.

    A blurred or turned face may miss the gallery photos and still match the same person's clear
    track of the same video. Both must agree: its own best name, and its similarity to a track that has it. If neither
        track is clear, they may only have their blur or darkness in common.

    Args:
        clear: tracks that have the name by themselves.
        members: all tracks that have the name so far; nobody is on screen twice.
    """
    alike = any(
        not may_share_faults(tracks[index].grade, tracks[other].grade)
        and _surplus(tracks[index], tracks[other], limits) >= 0
        for other in clear
    )
    return alike and not any(_together(tracks[index], tracks[member]) for member in members)


def _together(a: FaceTrack, b: FaceTrack) -> bool:
    return not set(a.samples).isdisjoint(b.samples)


def _surplus(a: FaceTrack, b: FaceTrack, limits: Thresholds) -> float:
    """By how much two tracks exceed the similarity that two tracks of one person need."""
    needed = max(limits.of(track.grade).cluster for track in (a, b))
    if may_share_faults(a.grade, b.grade):
        needed += limits.both
    return float(a.centroid @ b.centroid) - needed


def _cluster(indices: list[int], tracks: Sequence[FaceTrack], limits: Thresholds) -> list[list[int]]:
    """Average-linkage agglomeration (Sokal and Michener 1958) above ``limits.cluster``.

    Two clusters join only if no two of their tracks are less alike than ``ambiguous``, and if no two were
    seen together.
    """
    clusters = [[index] for index in indices]
    if len(clusters) < 2:
        return clusters
    average = _surpluses([tracks[index] for index in indices], limits)
    least = average.copy()
    sizes = np.ones(len(indices))
    floor = limits.ambiguous - limits.cluster
    allowed = np.where(least >= floor, average, -NEVER)
    # The best partner of each cluster is stored, so that a merge costs a few rows and not the whole matrix.
    partner, best = allowed.argmax(axis=1), allowed.max(axis=1)
    while True:
        row = int(best.argmax())
        if best[row] < 0:
            return [sorted(cluster) for cluster in clusters if cluster]
        column = int(partner[row])
        keep, drop = min(row, column), max(row, column)
        clusters[keep] += clusters[drop]
        clusters[drop] = []
        weights = sizes[[keep, drop]] / sizes[[keep, drop]].sum()
        sizes[keep] += sizes[drop]
        for linkage, merged in (
            (average, weights @ average[[keep, drop]]),
            (least, least[[keep, drop]].min(axis=0)),
        ):
            linkage[keep], linkage[:, keep] = merged, merged
            linkage[keep, keep] = -NEVER
            linkage[drop], linkage[:, drop] = -NEVER, -NEVER
        allowed[keep] = np.where(least[keep] >= floor, average[keep], -NEVER)
        allowed[:, keep] = allowed[keep]
        allowed[drop], allowed[:, drop] = -NEVER, -NEVER
        closer = allowed[keep] > best
        partner[closer], best[closer] = keep, allowed[keep, closer]
        lost = ((partner == keep) & (best != allowed[keep])) | (partner == drop)
        stale = np.union1d(np.flatnonzero(lost), [keep, drop])
        partner[stale], best[stale] = allowed[stale].argmax(axis=1), allowed[stale].max(axis=1)


def _surpluses(tracks: Sequence[FaceTrack], limits: Thresholds) -> NDArray[np.float64]:
    """``_surplus`` of all pairs, shape (n, n); ``-NEVER`` for a track with itself, and for tracks seen together."""
    centroids = np.stack([track.centroid for track in tracks])
    needed = np.array([limits.of(track.grade).cluster for track in tracks])
    found: NDArray[np.float64] = centroids @ centroids.T - np.maximum(needed[:, np.newaxis], needed)
    faulty = [index for index, track in enumerate(tracks) if track.grade != "clear"]
    found[np.ix_(faulty, faulty)] -= limits.both
    np.fill_diagonal(found, -NEVER)
    at_once: dict[int, list[int]] = {}
    for index, track in enumerate(tracks):
        for sample in track.samples:
            at_once.setdefault(sample, []).append(index)
    for together in at_once.values():
        if len(together) > 1:
            found[np.ix_(together, together)] = -NEVER
    return found


def _known_group(
    name: str, members: list[int], tracks: Sequence[FaceTrack], scored: list[list[Candidate]], limits: Thresholds
) -> Group:
    best = max(_top(scored[index]) for index in members)  # this name is the best one of each
    mine = [tracks[index] for index in members]
    return Group(
        tracks=mine,
        identity="known",
        name=name,
        confidence=confidence.of_name(best, mine, limits),
        candidates=(Candidate(name=name, similarity=best),),
    )


def _stranger_group(
    members: list[int],
    tracks: Sequence[FaceTrack],
    scored: list[list[Candidate]],
    identities: list[Identity],
    limits: Thresholds,
) -> Group:
    ambiguous = any(identities[index] == "ambiguous" for index in members)
    names: dict[str, float] = {}
    for index in members:
        for candidate in scored[index]:
            names[candidate.name] = max(names.get(candidate.name, -1.0), candidate.similarity)
    mine = [tracks[index] for index in members]
    return Group(
        tracks=mine,
        identity="ambiguous" if ambiguous else "unknown",
        name=None,
        confidence=confidence.of_one_person(mine, limits),
        candidates=tuple(ranked(names)[:_CANDIDATES]) if ambiguous else (),
    )
