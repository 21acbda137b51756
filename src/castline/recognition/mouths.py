"""Whose mouth moves while somebody speaks: which faces are watched when, and where they are between two sightings.

Faces are detected about once a second. In between, a face is assumed to move straight from one place to the next (the
engine takes a running median); only within a track, which ends at cuts, and neither before its first sighting nor after
its last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import ActiveSpeaker, pixels_inside
from castline.recognition.tracks import FaceTrack
from castline.records import Box, SpeakingFace

#: Seconds of faces watched in one recording at most: at 2 ms a picture, two minutes of one processor.
MOST_S = 2400.0
#: Logits from which on a mouth moves with the sound, and below which it does not; in between it is undecided. LR-ASD on
#: GRID's clips: speakers +2.0 to +2.8, others -0.9 to -1.5 (docs/VOICES.md).
MOVES, RESTS = 0.5, -0.5
_LONGEST_S = 3.0  # of a line, at a time
_GLANCE_S = 1.0
_LEAST_S = 0.4  # the net needs ten pictures at least
_PIECE_S = 1.0  # the time that one score covers
_STEP_S = 0.04
_OLD_S = 0.25  # a picture is shown for so long if none follows
_STILL, _STILL_SCORE = 0.2, -1.0


class Film(Protocol):
    """The small pictures of a recording, and its sound."""

    def pictures(self, start_s: float, end_s: float) -> list[tuple[float, NDArray[np.uint8]]]:
        """Grey pictures with their times in seconds, in order, from the last one at or before the start to the end."""
        ...

    def sound(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mono 16 kHz, float32 in -1..1; silence where there is no sound."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A face to watch while something is said, from one time to another in seconds."""

    track: FaceTrack
    start_s: float
    end_s: float

    def glance(self) -> Look:
        """A second in the middle."""
        middle, half = (self.start_s + self.end_s) / 2, min(_GLANCE_S, self.end_s - self.start_s) / 2
        return replace(self, start_s=middle - half, end_s=middle + half)

    def beside(self) -> list[Look]:
        """What is before and after the glance; nothing where that is too short."""
        middle = self.glance()
        both = replace(self, end_s=middle.start_s), replace(self, start_s=middle.end_s)
        return [each for each in both if each.end_s - each.start_s >= _LEAST_S]


Scene = tuple[Look, ...]
"""The faces on screen while something of three seconds at most is said."""


def looks(
    tracks: Sequence[FaceTrack], until_ms: dict[int, int], speech: Sequence[tuple[float, float]], most_s: float = MOST_S
) -> tuple[list[Scene], bool]:
    """Faces on screen while somebody speaks, in order of time, and whether there are more than may be watched.

    Args:
        until_ms: how long a frame stayed unchanged, by its time.
        speech: when something is said, seconds of the recording; each line, or word, in order.
        most_s: seconds of faces in all; if there are more, evenly spread ones are kept.
    """
    spans = [_span(track, until_ms) for track in tracks]
    found = []
    for start, end in _pieces(speech):
        there = [
            Look(track, max(start, first), min(end, last))
            for track, (first, last) in zip(tracks, spans, strict=True)
            if min(end, last) - max(start, first) >= _LEAST_S
        ]
        if there:
            found.append(tuple(sorted(there, key=lambda look: (look.start_s, look.end_s, look.track.faces[0].box))))
    lengths = [sum(look.end_s - look.start_s for look in scene) for scene in found]
    total = sum(lengths)
    if total <= most_s:
        return found, False
    kept, due = [], 0.0
    for scene, seconds in zip(found, lengths, strict=True):
        due += seconds * most_s / total
        if due >= seconds:
            due -= seconds
            kept.append(scene)
    return kept, True


def _pieces(speech: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Each line in equal pieces; time that two lines have in common belongs to the first."""
    until = 0.0
    for begin, end in sorted(speech):
        start, until = max(begin, until), max(end, until)
        count = max(1, math.ceil((end - start) / _LONGEST_S - 1e-6))
        step = (end - start) / count
        yield from ((start + at * step, start + (at + 1) * step) for at in range(count) if end > start)


def _span(track: FaceTrack, until_ms: dict[int, int]) -> tuple[float, float]:
    last = track.times_ms[-1]
    return track.times_ms[0] / 1000, max(last, until_ms.get(last, last)) / 1000


def score(scenes: Sequence[Scene], film: Film, engine: ActiveSpeaker) -> Iterator[SpeakingFace]:
    """Scores of mouths for a second of each scene, and for the rest of it unless exactly one mouth clearly moves.

    A mouth that moves clearly less than another is not watched for longer.
    """
    for scene in scenes:
        glances = [list(_watch(look.glance(), film, engine)) for look in scene]
        best, *others = sorted((face.score for seen in glances for face in seen), reverse=True) or [RESTS]
        near = best - (MOVES - RESTS)
        still_open = best < MOVES or any(score > near for score in others)
        for look, seen in zip(scene, glances, strict=True):
            yield from seen
            if still_open and (not seen or max(face.score for face in seen) > near):
                for each in look.beside():
                    yield from _watch(each, film, engine)


def _watch(look: Look, film: Film, engine: ActiveSpeaker) -> Iterator[SpeakingFace]:
    """One score for about each second."""
    for start, pictures in _runs(film.pictures(look.start_s, look.end_s), look.start_s, look.end_s):
        height, width = pictures[0].shape
        times = np.array([start + _STEP_S * at for at in range(len(pictures))])
        boxes = _boxes(look.track, times)
        pixels = (boxes * np.array([width, height, width, height])).astype(np.float32)
        if _is_still(pictures, pixels):
            scores = np.full(len(pictures), _STILL_SCORE, np.float32)
        else:
            scores = engine.score_speaking(pictures, pixels, film.sound(start, start + len(pictures) * _STEP_S))
        count = max(1, round(len(pictures) * _STEP_S / _PIECE_S))
        for part in np.array_split(np.arange(len(pictures)), count):
            yield SpeakingFace(
                start_s=round(float(times[part[0]]), 3),
                end_s=round(float(times[part[-1]]) + _STEP_S, 3),
                score=round(float(scores[part].mean()), 2),
                engine=engine.info.id,
                box=_box(boxes[part[len(part) // 2]]),
            )


def _is_still(pictures: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]) -> bool:
    """Whether this is a still picture, for which the net's score is unreliable: only the codec changes anything."""
    box = boxes[len(boxes) // 2]
    faces = np.stack([pixels_inside(picture, box) for picture in pictures]).astype(np.int16)
    return bool(faces.size) and float(np.abs(np.diff(faces, axis=0)).mean()) < _STILL


def _runs(
    found: Sequence[tuple[float, NDArray[np.uint8]]], start_s: float, end_s: float
) -> Iterator[tuple[float, list[NDArray[np.uint8]]]]:
    """Pictures every 40 ms without a gap, and when they begin; if the film has fewer, some are repeated."""
    run: list[NDArray[np.uint8]] = []
    began, at, time = start_s, 0, start_s
    while found and time < end_s - _STEP_S / 2:
        while at + 1 < len(found) and found[at + 1][0] <= time + _STEP_S / 2:
            at += 1
        shown = found[at][0] <= time + _STEP_S / 2 and time - found[at][0] <= _OLD_S
        if shown and run and run[0].shape != found[at][1].shape:
            shown = False
        if shown:
            began = began if run else time
            run.append(found[at][1])
        elif run:
            yield from _long_enough(began, run)
            run = []
        time += _STEP_S
    yield from _long_enough(began, run)


def _long_enough(began: float, run: list[NDArray[np.uint8]]) -> Iterator[tuple[float, list[NDArray[np.uint8]]]]:
    if len(run) * _STEP_S >= _LEAST_S:
        yield began, run


def _boxes(track: FaceTrack, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a face is, fractions of the frame, shape (len(times_s), 4)."""
    known = np.array([face.box for face in track.faces])
    at = np.array(track.times_ms) / 1000
    return np.stack([np.interp(times_s, at, known[:, side]) for side in range(4)], axis=1)


def _box(values: NDArray[np.float64]) -> Box:
    left, top, right, bottom = (round(float(value), 5) for value in values)
    return left, top, right, bottom
