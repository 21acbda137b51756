"""Which face's mouth moves while somebody speaks: what is looked at, and where its face is between two sightings.

Faces are looked for once in a second or so. In between, a face goes straight from one place to the next (what looks at
it takes a running median); only within a track, which ends at cuts, not before its first sighting or after its last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import ActiveSpeaker
from castline.recognition.tracks import FaceTrack
from castline.records import Box, SpeakingFace, merge_ranges

#: Of a recording, seconds of faces: at 10 ms a picture, ten minutes of one processor.
MOST_S = 2400.0
_PAUSE_S = 0.5  # a shorter pause does not end what is looked at
_LEAST_S = 0.4  # the net sees ten pictures at least
_AROUND_S = 0.5
_PIECE_S = 1.0  # what one score is for
_STEP_S = 0.04
_OLD_S = 0.25  # a picture is shown for so long if none follows


class Film(Protocol):
    """The small pictures of a recording, and its sound."""

    def pictures(self, start_s: float, end_s: float) -> list[tuple[float, NDArray[np.uint8]]]:
        """Grey pictures with their times (s), in order, from the last one at or before the start to the end."""
        ...

    def sound(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mono 16 kHz, float32 in -1..1; silence where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A face that is to be looked at, from one time to another in seconds.

    Attributes:
        from_s, until_s: with what is before and after it, for the net tells little of a second alone.
    """

    track: FaceTrack
    start_s: float
    end_s: float
    from_s: float
    until_s: float


def looks(
    tracks: Sequence[FaceTrack], until_ms: dict[int, int], speech: Sequence[tuple[float, float]], most_s: float = MOST_S
) -> tuple[list[Look], bool]:
    """Faces on screen while somebody speaks, in order of time, and whether there is more than may be looked at.

    Args:
        until_ms: how long a frame stayed as it was, by its time.
        speech: when somebody speaks, seconds of the recording.
        most_s: seconds of faces in all; of more, evenly spread ones are kept.
    """
    spoken = merge_ranges(list(speech), gap_s=_PAUSE_S)
    found = []
    for track in tracks:
        last = track.times_ms[-1]
        first_s, last_s = track.times_ms[0] / 1000, max(last, until_ms.get(last, last)) / 1000
        for start, end in spoken:
            begin, stop = max(start, first_s), min(end, last_s)
            if stop - begin >= _LEAST_S:
                found.append(Look(track, begin, stop, max(begin - _AROUND_S, first_s), min(stop + _AROUND_S, last_s)))
    found.sort(key=lambda look: (look.start_s, look.end_s, look.track.faces[0].box))
    total = sum(look.end_s - look.start_s for look in found)
    if total <= most_s:
        return found, False
    kept, due = [], 0.0
    for look in found:
        due += (look.end_s - look.start_s) * most_s / total
        if due >= look.end_s - look.start_s:
            due -= look.end_s - look.start_s
            kept.append(look)
    return kept, True


def score(found: Sequence[Look], film: Film, engine: ActiveSpeaker) -> Iterator[SpeakingFace]:
    """One score for about each second of each look."""
    for look in found:
        for start, pictures in _runs(film.pictures(look.from_s, look.until_s), look.from_s, look.until_s):
            height, width = pictures[0].shape
            times = np.array([start + _STEP_S * at for at in range(len(pictures))])
            boxes = _boxes(look.track, times)
            sound = film.sound(start, start + len(pictures) * _STEP_S)
            pixels = boxes * np.array([width, height, width, height])
            scores = engine.score_speaking(pictures, pixels.astype(np.float32), sound)
            wanted = np.flatnonzero((times > look.start_s - _STEP_S / 2) & (times < look.end_s - _STEP_S / 2))
            count = max(1, round(len(wanted) * _STEP_S / _PIECE_S))
            for part in np.array_split(wanted, count) if len(wanted) else ():
                yield SpeakingFace(
                    start_s=round(float(times[part[0]]), 3),
                    end_s=round(float(times[part[-1]]) + _STEP_S, 3),
                    score=round(float(scores[part].mean()), 2),
                    engine=engine.info.id,
                    box=_box(boxes[part[len(part) // 2]]),
                )


def _runs(
    found: Sequence[tuple[float, NDArray[np.uint8]]], start_s: float, end_s: float
) -> Iterator[tuple[float, list[NDArray[np.uint8]]]]:
    """Pictures every 40 ms without a gap, and when they begin: of a film with fewer, some are taken twice."""
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
