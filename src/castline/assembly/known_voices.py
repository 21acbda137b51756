"""Compares a voice with the enrolled ones: three outcomes, as for faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from castline.assembly.attribution import HeardAs
from castline.engines.thresholds import VoiceThresholds
from castline.records import KnownVoice

#: Seconds of speech below which a voice gets no name by its sound.
ENOUGH_S = 3.0


class Enrolled:
    """The gallery's voices, stacked once for all comparisons.

    Args:
        model, size: model and length of the embeddings to compare; enrolled voices with others do not count.
    """

    def __init__(self, voices: Iterable[KnownVoice], model: str, size: int) -> None:
        people: dict[str, list[NDArray[np.float32]]] = {}
        for known in voices:
            embedding = known.voice.embedding
            if embedding.model == model and len(vector := embedding.vector()) == size:
                people.setdefault(known.name, []).append(vector)
        self._names = tuple(people)
        self._means = np.array([_mean(own) for own in people.values()], np.float32).reshape(len(people), size)

    def alike(self, vector: NDArray[np.float32]) -> dict[str, float]:
        """Cosine similarities to the mean of each person's voices; empty for a zero vector."""
        length = float(np.linalg.norm(vector))
        return dict(zip(self._names, (self._means @ vector / length).tolist(), strict=True)) if length else {}


def whose(vector: NDArray[np.float32], voice_s: float, enrolled: Enrolled, limits: VoiceThresholds) -> HeardAs:
    """How a voice compares with the enrolled ones.

    Args:
        vector: mean of its windows' embeddings, shape (d,), of any norm.
        voice_s: seconds of its speech.
    """
    alike = enrolled.alike(vector) if voice_s >= ENOUGH_S else {}
    if not alike:
        return HeardAs()
    best, *others = sorted(alike, key=lambda name: (-alike[name], name))
    unlike = frozenset(name for name, similarity in alike.items() if similarity < limits.unlike)
    nearest = alike[others[0]] if others else -1.0
    if alike[best] < limits.ambiguous:
        return HeardAs(against=unlike)
    known_as = alike[best] >= limits.known and alike[best] - nearest >= limits.apart
    return HeardAs("known" if known_as else "ambiguous", best, round(alike[best], 3), unlike)


def like(vector: NDArray[np.float32], enrolled: Enrolled, limits: VoiceThresholds) -> frozenset[str]:
    """Everybody whose enrolled voice this may be, even if it is too short to be known."""
    return frozenset(name for name, alike in enrolled.alike(vector).items() if alike >= limits.ambiguous)


def _mean(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = np.sum(vectors, axis=0)
    return np.asarray(total / (np.linalg.norm(total) or 1.0), np.float32)
