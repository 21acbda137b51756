"""Voices of a recording: windows of speech, which of them are one voice, and who speaks at a moment.

Windows are clustered by average linkage (R. Sokal and C. Michener, 1958): the two groups whose windows are most similar
on average are merged, until no two are similar enough. The mean of all cosine similarities between two groups of unit
vectors is the product of their means, so only the mean and size of a group are kept. A chunk's windows first become a
few groups, then the groups of all chunks become the recording's voices.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castline.records import merge_ranges

#: A window has the length that the encoder was trained on; the next begins half of it later.
WINDOW_S, STEP_S = 1.6, 0.8
_SHORTEST_S = 0.4  # no encoder can say much about less speech
_BLOCK = 400  # groups that are compared with each other at a time: 0.1 s
#: A voice with less speech is not assigned to anybody.
LEAST_S = 2.0
_NEAR_S = 0.25  # a moment this near to a window is in it: the ends of words are quiet

Window = tuple[float, float]


def windows_of(stretches: Sequence[Window]) -> list[Window]:
    """Windows of at most 1.6 s over stretches of speech (``(start_s, end_s)``, in order), evenly spread."""
    found: list[Window] = []
    for start, end in stretches:
        if end - start < _SHORTEST_S:
            continue
        if end - start <= WINDOW_S:
            found.append((start, end))
            continue
        count = int(np.ceil((end - start - WINDOW_S) / STEP_S)) + 1
        found += [(float(at), float(at) + WINDOW_S) for at in np.linspace(start, end - WINDOW_S, count)]
    return found


@dataclass(frozen=True, slots=True)
class Chunk:
    """The voice windows of a piece of the recording.

    Attributes:
        windows: seconds of the recording, in order.
        vectors: shape (len(windows), d), float32, unit norm.
    """

    windows: Sequence[Window]
    vectors: NDArray[np.float32]


class Heard:
    """Which voice speaks when; voices are numbered from 0.

    Args:
        vectors: shape (len(windows), d), unit norm.
    """

    def __init__(self, windows: Sequence[Window], labels: Sequence[int | None], vectors: NDArray[np.float32]) -> None:
        self._looks = {
            voice: vectors[[at for at, label in enumerate(labels) if label == voice]].mean(axis=0)
            for voice in sorted({label for label in labels if label is not None})
        }
        order = sorted(range(len(windows)), key=lambda at: sum(windows[at]))
        self._windows = [windows[at] for at in order]
        self._labels = [labels[at] for at in order]
        self._vectors = vectors[order]
        self._middles = [sum(window) / 2 for window in self._windows]

    def within(self, moment_s: float) -> bool:
        """Whether there is a window around a moment."""
        return self._nearest(moment_s) is not None

    def at(self, moment_s: float) -> int | None:
        """The voice at a moment; None if there is none, or if it speaks for too short a time."""
        nearest = self._nearest(moment_s)
        return None if nearest is None else self._labels[nearest]

    def agreed(self, moment_s: float) -> bool:
        """Whether all windows that contain a moment, or nearly, are of one voice; where voices change they are not."""
        low, high = moment_s - STEP_S / 2, moment_s + STEP_S / 2
        place = bisect_left(self._middles, moment_s)
        around = range(max(0, place - 3), min(len(self._windows), place + 3))
        return (
            len({self._labels[at] for at in around if self._windows[at][0] <= high and low <= self._windows[at][1]})
            <= 1
        )

    def judged(self, start_s: float, end_s: float) -> bool:
        """Whether windows tell whose voice a span is: a middle is in it, or it is between those of two that overlap.

        At the edge of a stretch of speech, each window consists mostly of what is said beside such a short span.
        """
        first, last = self._inside(start_s, end_s)
        if first < last:
            return True
        return 0 < first < len(self._windows) and self._windows[first - 1][1] > self._windows[first][0]

    def only_window(self, start_s: float, end_s: float) -> Window | None:
        """The window that alone judges a span; None if several do, or none."""
        first, last = self._inside(start_s, end_s)
        return self._windows[first] if last - first == 1 else None

    def voices(self) -> list[int]:
        """All voices."""
        return list(self._looks)

    def mean(self, voice: int) -> NDArray[np.float32]:
        """The mean of a voice's embeddings, shape (d,)."""
        return np.asarray(self._looks[voice], np.float32)

    def seconds(self, voice: int) -> float:
        """How long a voice speaks."""
        spans = [window for window, label in zip(self._windows, self._labels, strict=True) if label == voice]
        return sum(end - start for start, end in merge_ranges(spans))

    def between(self, start_s: float, end_s: float) -> NDArray[np.float32] | None:
        """The mean of the embeddings of windows whose middle is in a span, shape (d,); None if there are none."""
        inside = self._vectors[slice(*self._inside(start_s, end_s))]
        return inside.mean(axis=0) if len(inside) else None

    def _inside(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The windows whose middle is in a span: the first of them, and the one after the last."""
        return bisect_left(self._middles, start_s), bisect_right(self._middles, end_s)

    def _nearest(self, moment_s: float) -> int | None:
        """The window around a moment whose middle is nearest."""
        place = bisect_left(self._middles, moment_s)
        around = range(max(0, place - 2), min(len(self._windows), place + 2))
        inside = [at for at in around if self._windows[at][0] - _NEAR_S <= moment_s <= self._windows[at][1] + _NEAR_S]
        return min(inside, key=lambda at: (abs(self._middles[at] - moment_s), at), default=None)


def tell_apart(chunks: Sequence[Chunk], same_voice: float) -> Heard:
    """Find the voices of a recording, however many there are.

    Args:
        same_voice: mean cosine similarity of windows from which on two groups are one voice.
    """
    windows = [window for chunk in chunks for window in chunk.windows]
    if not windows:
        return Heard([], [], np.zeros((0, 0), np.float32))
    vectors = np.concatenate([chunk.vectors for chunk in chunks if len(chunk.windows)])
    firsts = np.cumsum([0, *(len(chunk.windows) for chunk in chunks)])
    groups = [
        [int(first) + at for at in group]
        for chunk, first in zip(chunks, firsts, strict=False)
        for group in _linked(chunk.vectors, np.ones(len(chunk.windows)), same_voice)
    ]
    groups = _together(groups, vectors, same_voice)
    kept = [group for group in groups if _length(group, windows) >= LEAST_S]
    return Heard(windows, _labels(kept, vectors, same_voice), vectors)


def _together(groups: list[list[int]], vectors: NDArray[np.float32], same_voice: float) -> list[list[int]]:
    """Groups of windows linked over the whole recording; in blocks, where there are many."""
    while True:
        blocks = [groups[at : at + _BLOCK] for at in range(0, len(groups), _BLOCK)]
        found = [
            [index for member in linked for index in block[member]]
            for block in blocks
            for linked in _linked(_means(block, vectors), np.array([len(group) for group in block]), same_voice)
        ]
        if len(blocks) == 1 or len(found) == len(groups):
            return found
        groups = found


def _means(groups: Sequence[Sequence[int]], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([vectors[list(group)].mean(axis=0) for group in groups])


def _length(group: Sequence[int], windows: Sequence[Window]) -> float:
    return sum(end - start for start, end in merge_ranges([windows[at] for at in group]))


def _labels(groups: Sequence[Sequence[int]], vectors: NDArray[np.float32], same_voice: float) -> list[int | None]:
    """For every window the group that is most similar on average; None if none is similar enough."""
    if not groups:
        return [None] * len(vectors)
    alike = vectors @ _means(groups, vectors).T
    nearest = alike.argmax(axis=1)
    own = {index: number for number, group in enumerate(groups) for index in group}
    return [int(nearest[at]) if alike[at, nearest[at]] >= same_voice else own.get(at) for at in range(len(vectors))]


def _linked(means: NDArray[np.float32], sizes: NDArray[np.number], same_voice: float) -> list[list[int]]:
    """Average linkage of groups, given as means of unit vectors with their sizes; members in order."""
    members: list[list[int]] = [[at] for at in range(len(means))]
    if len(members) < 2:
        return members
    sizes = np.array(sizes, np.float64)
    alike = np.asarray(means @ means.T, np.float64)
    np.fill_diagonal(alike, -np.inf)
    while True:
        one, other = sorted(divmod(int(alike.argmax()), len(alike)))
        if alike[one, other] < same_voice:
            return [sorted(group) for group in members if group]
        total = sizes[one] + sizes[other]
        row = (alike[one] * sizes[one] + alike[other] * sizes[other]) / total
        row[[one, other]] = -np.inf
        alike[one], alike[:, one] = row, row
        alike[other], alike[:, other] = -np.inf, -np.inf
        sizes[one] = total
        members[one] += members[other]
        members[other] = []
