"""Tracks: one uninterrupted appearance of one face across sampled frames.

A face continues a track when the embedding says it may be the same person; where the face hardly
moved (IoU), a weaker similarity is enough, because a profile or a blink changes the embedding more
than it changes the place. Sampled frames lie a second or more apart, so position alone is never
enough, and never outweighs a clear difference in looks: a cut may put another face at the same
place, and in a crowd somebody walks to where somebody else was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from castline.faces.thresholds import Thresholds
from castline.records import Box, Face, FrameFaces

_MAX_MISSED = 2  # sampled frames a face may be lost in (turned away, blurred) without ending its track
_NEAR_IOU = 0.3
_IOU_WEIGHT = 0.5  # full overlap counts as half the way from same_track to known, when faces compete


@dataclass(slots=True)
class FaceTrack:
    """A track under construction; ``samples`` are indices into the list of sampled frames."""

    samples: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    _sum: NDArray[np.float64] | None = None

    def add(self, sample: int, time_ms: int, face: Face) -> None:
        self.samples.append(sample)
        self.times_ms.append(time_ms)
        self.faces.append(face)
        weighted = face.embedding.vector().astype(np.float64) * max(face.quality, 0.01)
        self._sum = weighted if self._sum is None else self._sum + weighted

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Quality-weighted mean embedding, unit norm, shape (d,)."""
        assert self._sum is not None  # noqa: S101 - a track is never empty
        return self._sum / max(float(np.linalg.norm(self._sum)), 1e-9)

    @property
    def best(self) -> Face:
        """The face of the highest quality; the earliest among equals."""
        return max(self.faces, key=lambda face: face.quality)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def link(frames: Sequence[FrameFaces], limits: Thresholds) -> list[FaceTrack]:
    """Greedy linking, best pair first, in order of time.

    Args:
        frames: analysed frames, sorted by time.

    Returns:
        Tracks in order of first appearance. Every face is in exactly one of them.
    """
    done: list[FaceTrack] = []
    active: list[FaceTrack] = []
    for sample, frame in enumerate(frames):
        ended = [track for track in active if _missed(track, sample) > _MAX_MISSED]
        active = [track for track in active if _missed(track, sample) <= _MAX_MISSED]
        done.extend(ended)
        # By place, so that equally good pairs are decided the same way whatever the detector's order.
        faces = sorted(frame.faces, key=lambda face: (face.box, face.embedding.data))
        free = set(range(len(faces)))
        open_tracks = set(range(len(active)))
        for _, at, index in sorted(_pairs(active, faces, limits), reverse=True):
            if at in open_tracks and index in free:
                open_tracks.discard(at)
                free.discard(index)
                active[at].add(sample, frame.time_ms, faces[index])
        for index in sorted(free):
            track = FaceTrack()
            track.add(sample, frame.time_ms, faces[index])
            active.append(track)
    return sorted([*done, *active], key=lambda track: (track.times_ms[0], track.faces[0].box))


def _missed(track: FaceTrack, sample: int) -> int:
    """Sampled frames between the last sighting and this one."""
    return sample - track.samples[-1] - 1


def _pairs(active: list[FaceTrack], faces: Sequence[Face], limits: Thresholds) -> list[tuple[float, int, int]]:
    pairs = []
    bonus = _IOU_WEIGHT * (limits.known - limits.same_track)
    for at, track in enumerate(active):
        centroid = track.centroid
        for index, face in enumerate(faces):
            similarity = float(centroid @ face.embedding.vector())
            overlap = iou(track.faces[-1].box, face.box)
            needed = limits.same_track if overlap >= _NEAR_IOU else limits.ambiguous
            if similarity >= needed:
                pairs.append((similarity + bonus * overlap, at, index))
    return pairs
