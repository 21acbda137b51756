"""Identity switches and IDF1 of people on a timeline, counted by motmetrics.

CLEAR MOT: Bernardin and Stiefelhagen, EURASIP JIVP 2008. IDF1: Ristani et al., ECCV Workshops 2016.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, TypedDict

import numpy as np

from castline.errors import ModelNotFound

#: For each face of a frame: the person it shows, and its id in the result, or None.
Seen = Iterable[tuple[Hashable, Hashable | None]]


class MotCount(TypedDict):
    """Counts of motmetrics; IDF1 is ``2 idtp / (2 idtp + idfp + idfn)``.

    identity_switches: IDSW: sightings of a person under another id than the last time.
    idtp, idfp, idfn: sightings under the id that is a person's own in the one assignment of ids to people that is best
        for the whole sequence; those of the result beyond it; those of the truth beyond it.
    """

    identity_switches: int
    idtp: int
    idfp: int
    idfn: int


class Mot:
    """Adds up sequences, each with people and ids of its own.

    Raises:
        ModelNotFound: motmetrics is not installed.
    """

    def __init__(self) -> None:
        try:
            import motmetrics
        except ModuleNotFoundError as error:
            raise ModelNotFound("measuring tracks needs motmetrics: pip install 'castline[eval]'") from error
        self._events = motmetrics.MOTAccumulator(auto_id=True)
        self._metrics = motmetrics.metrics.create()
        self._people: dict[Hashable, int] = {}
        self._ids: dict[Hashable, int] = {}
        self._sequences = 0

    def add(self, frames: Iterable[Seen]) -> None:
        """One sequence, frame by frame."""
        for seen in frames:
            pairs = [
                (self._number(self._people, person), None if found is None else self._number(self._ids, found))
                for person, found in seen
            ]
            ids = list(dict.fromkeys(found for _, found in pairs if found is not None))
            distances = np.array([[0.0 if own == found else np.nan for own in ids] for _, found in pairs])
            self._events.update([person for person, _ in pairs], ids, distances.reshape(len(pairs), len(ids)))
        self._sequences += 1

    def counts(self) -> MotCount:
        """The counts of all sequences so far."""
        row: Any = self._metrics.compute(self._events, metrics=["num_switches", "idtp", "idfp", "idfn"]).iloc[0]
        return MotCount(
            identity_switches=round(row["num_switches"]),
            idtp=round(row["idtp"]),
            idfp=round(row["idfp"]),
            idfn=round(row["idfn"]),
        )

    def _number(self, known: dict[Hashable, int], name: Hashable) -> int:
        return known.setdefault((self._sequences, name), len(known))
