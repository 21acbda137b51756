"""Tracks: one uninterrupted appearance of one face across sampled frames.

A track ends at a cut (``recognition/cuts.py``), and where the next face is too far away to be the same one.
Whether the same person appears again later is decided by looks alone (``recognition/identity.py``). Within a
shot, sampled frames still lie a second or more apart, so position alone is never enough:

- A face that hardly moved, in unchanged surroundings, continues a track at the threshold ``same_track``: a
  turn of the head or a blink changes its looks more than its position.
- One that moved, but no further than people do in that time, continues it at ``moved``.
- A poor face (``recognition/grade.py``: small, blurred, or the detector is not sure) must reach the thresholds
  for poor faces (``ambiguous`` where it hardly moved) and may not have moved as far, because blur and few
  pixels make strangers look alike. A useless one continues a track only where it hardly moved. Neither
  takes a track that a clear face also fits.

A face is compared with the faces of the track, not with their mean: a mean that took in a wrong face
drifts away and takes in more. The most similar of the last few faces must be similar enough, and the median
similarity to many must be higher than a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, sqrt
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from castline.engines.thresholds import Thresholds
from castline.recognition.cuts import shots, stayed
from castline.recognition.grade import LONE_MIN_SCORE, PERSON_MIN_SCORE, SHARP, grade_of
from castline.records import Box, Face, FrameFaces, Grade

#: How long a face may be lost (turned away, blurred) without ending its track, in seconds; and how far apart
#: two successive sampled frames may lie, because nothing was looked at in between.
_MAX_GAP_S, _MAX_STEP_S = 3.0, 10.0
_RECENT, _MIDDLE = 5, 50  # last faces of a track that count for the best and for the median similarity
_NEAR_IOU = 0.3
_IOU_WEIGHT = 0.5  # full overlap counts as half the way from same_track to known, when faces compete
_WORSE: tuple[Grade, ...] = get_args(Grade)  # from best to worst
#: How far a face may move in a shot, in face widths: at once and per second; by which factor it may grow or
#: shrink, likewise. A poor face may move less.
_MOVE, _MOVE_PER_S, _POOR_MOVE_PER_S = 1.0, 2.0, 0.5
_RESIZE, _RESIZE_PER_S = 1.5, 0.5


@dataclass(slots=True)
class FaceTrack:
    """A track under construction; ``samples`` are indices into the list of sampled frames."""

    samples: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)
    vectors: list[NDArray[np.float64]] = field(default_factory=list)
    _graded: dict[Grade, list[int]] = field(default_factory=lambda: {grade: [] for grade in _WORSE})

    def add(self, sample: int, time_ms: int, face: Face) -> None:
        self.samples.append(sample)
        self.times_ms.append(time_ms)
        self.faces.append(face)
        grade = grade_of(face)
        self._graded[grade].append(len(self.grades))
        self.grades.append(grade)
        self.vectors.append(face.embedding.vector().astype(np.float64))

    def part(self, positions: Sequence[int]) -> FaceTrack:
        """A track of some of the faces.

        Args:
            positions: indices into ``faces``, in ascending order.
        """
        part = FaceTrack()
        for at in positions:
            part.add(self.samples[at], self.times_ms[at], self.faces[at])
        return part

    @property
    def telling(self) -> list[int]:
        """Positions of the faces that say most about who it is: those of the best grade; empty if all are useless."""
        return self._graded["clear"] or self._graded["degraded"] or self._graded["poor"]

    @property
    def grade(self) -> Grade:
        """The grade of its telling faces; useless where there are none."""
        telling = self.telling
        return self.grades[telling[0]] if telling else "useless"

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Quality-weighted mean embedding of the telling faces, or of all if none is; unit norm, shape (d,)."""
        positions = self.telling or range(len(self.faces))
        total = np.sum([self.vectors[at] * max(self.faces[at].quality, 0.01) for at in positions], axis=0)
        mean: NDArray[np.float64] = total / max(float(np.linalg.norm(total)), 1e-9)
        return mean

    @property
    def best(self) -> Face:
        """The face of the highest quality; the earliest among equals."""
        return max(self.faces, key=lambda face: face.quality)


def is_person(track: FaceTrack) -> bool:
    """Whether a track is taken for a person and not a pattern; the detector's score alone is not enough.

    It takes a clear or degraded face that the detector is sure of, two of any grade, or a poor one it is very sure of.
    """
    sure = [at for at, face in enumerate(track.faces) if face.score >= PERSON_MIN_SCORE]
    if len(sure) > 1 or any(track.grades[at] in SHARP for at in sure):
        return True
    return any(track.grades[at] == "poor" and track.faces[at].score >= LONE_MIN_SCORE for at in sure)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def within_reach(a: Box, b: Box, seconds: float, per_s: float = _MOVE_PER_S) -> bool:
    """Whether one face can move from one box to the other, and change its size accordingly, in this time.

    Distances are measured in widths and heights of the boxes, so the shape of the frame does not matter.

    Args:
        per_s: how many widths it may move in a second.
    """
    wide = max((a[2] - a[0] + b[2] - b[0]) / 2, 1e-9)
    high = max((a[3] - a[1] + b[3] - b[1]) / 2, 1e-9)
    moved = hypot((a[0] + a[2] - b[0] - b[2]) / 2 / wide, (a[1] + a[3] - b[1] - b[3]) / 2 / high)
    areas = sorted(max((box[2] - box[0]) * (box[3] - box[1]), 1e-9) for box in (a, b))
    resized = sqrt(areas[1] / areas[0])
    return moved <= _MOVE + per_s * seconds and resized <= _RESIZE + _RESIZE_PER_S * seconds


def link(
    frames: Sequence[FrameFaces], limits: Thresholds, until_ms: Mapping[int, int] | None = None
) -> list[FaceTrack]:
    """Greedy linking, best pair first, in order of time.

    Args:
        frames: analysed frames, sorted by time.
        until_ms: the end of each still picture, by its frame's time; a face in a still picture is not lost.

    Returns:
        Tracks in order of first appearance. Every face is in exactly one of them.
    """
    until = until_ms or {}
    shot = shots(frames)
    done: list[FaceTrack] = []
    active: list[FaceTrack] = []
    for sample, frame in enumerate(frames):
        lost = [
            shot[track.samples[-1]] != shot[sample] or _lost(track, sample, frame.time_ms, until) for track in active
        ]
        done.extend(track for track, gone in zip(active, lost, strict=True) if gone)
        active = [track for track, gone in zip(active, lost, strict=True) if not gone]
        # By position, so that ties between pairs are broken the same way whatever the detector's order.
        faces = sorted(frame.faces, key=lambda face: (face.box, face.embedding.data))
        vectors = [face.embedding.vector().astype(np.float64) for face in faces]
        pairs = []
        for at, track in enumerate(active):
            gap_s = _gap_s(track, frame.time_ms, until)
            for index, face in enumerate(faces):
                near = iou(track.faces[-1].box, face.box) >= _NEAR_IOU
                stays = near and stayed(frames[track.samples[-1]].look, frame.look, face.box)
                fit = _fit(track, face, vectors[index], gap_s, limits, stays=stays)
                if fit is not None:
                    pairs.append((grade_of(face) in SHARP, fit, at, index))
        free = set(range(len(faces)))
        open_tracks = set(range(len(active)))
        for _, _, at, index in sorted(pairs, reverse=True):
            if at in open_tracks and index in free:
                open_tracks.discard(at)
                free.discard(index)
                active[at].add(sample, frame.time_ms, faces[index])
        for index in sorted(free):
            track = FaceTrack()
            track.add(sample, frame.time_ms, faces[index])
            active.append(track)
    return sorted([*done, *active], key=lambda track: (track.times_ms[0], track.faces[0].box))


def _lost(track: FaceTrack, sample: int, time_ms: int, until: Mapping[int, int]) -> bool:
    step = track.samples[-1] == sample - 1
    return _gap_s(track, time_ms, until) > (_MAX_STEP_S if step else _MAX_GAP_S)


def _gap_s(track: FaceTrack, time_ms: int, until: Mapping[int, int]) -> float:
    """Seconds since the track's face was last known to be on screen."""
    last = track.times_ms[-1]
    return max(time_ms - max(until.get(last, last), last), 0) / 1000


def _fit(
    track: FaceTrack, face: Face, vector: NDArray[np.float64], gap_s: float, limits: Thresholds, *, stays: bool
) -> float | None:
    """How well a face continues a track; None where it does not.

    Args:
        gap_s: seconds since the track's last face.
        vector: the face's embedding.
        stays: the face hardly moved, and its surroundings are unchanged.
    """
    overlap = iou(track.faces[-1].box, face.box)
    grade = grade_of(face)
    if stays:
        positions: Sequence[int] = range(len(track.faces))
        needed = limits.same_track if grade in SHARP else limits.of("poor").ambiguous
    else:
        worse = max(grade, track.grade, key=_WORSE.index)
        per_s = _MOVE_PER_S if worse in SHARP else _POOR_MOVE_PER_S
        if worse == "useless" or not within_reach(track.faces[-1].box, face.box, gap_s, per_s):
            return None
        positions, needed = track.telling, limits.of(worse).moved
    alike = np.stack([track.vectors[at] for at in positions[-_MIDDLE:]]) @ vector
    nearest = float(alike[-_RECENT:].max())
    if nearest < needed or float(np.median(alike)) < limits.same_track:
        return None
    return nearest + _IOU_WEIGHT * (limits.known - limits.same_track) * overlap
