"""How certain a person in a result is: a probability from labelled photos, lowered if little was seen.

    confidence = p * (m + 1/2) / (m + 1)
    p          = 1 / (1 + exp(-(4.2 + 5.7 z)))    z = (similarity - known) / (known - ambiguous)

``p`` is the probability that faces this similar are one person: a logistic fit to 58 000 draws of one to five
sightings, clear and degraded, half of enrolled people and half of strangers (docs/FACES.md, "Confidence"). ``m`` counts
the comparisons that agreed. The second factor is the posterior mean after them under Jeffreys' prior: one agreement is
0.75, five 0.92, twenty 0.98.
"""

from __future__ import annotations

from math import exp

import numpy as np

from castline.engines.thresholds import Thresholds
from castline.recognition.tracks import FaceTrack

_AT_KNOWN, _SLOPE = 4.2, 5.7


def of_name(similarity: float, tracks: list[FaceTrack], limits: Thresholds) -> float:
    """The confidence that a name is right, 0..1: each usable sighting is compared with that person's photos.

    Args:
        similarity: that of the best track to the name.
    """
    return _held_back(_alike(similarity, limits), sum(len(track.telling) for track in tracks))


def of_one_person(tracks: list[FaceTrack], limits: Thresholds) -> float:
    """The confidence that the tracks of a nameless person show one person, 0..1.

    Each usable sighting but the first is compared with the others; their mean similarity counts. A single sighting has
    nothing to be compared with: 0.5.
    """
    vectors = [track.vectors[at] for track in tracks for at in track.telling]
    if len(vectors) < 2:
        return 0.5 if vectors else 0.25
    # The mean over all pairs, without enumerating them: the square of a sum of unit vectors contains each pair twice.
    count, total = len(vectors), np.sum(vectors, axis=0)
    mean = (float(total @ total) - count) / (count * (count - 1))
    return _held_back(_alike(mean, limits), count - 1)


def _alike(similarity: float, limits: Thresholds) -> float:
    return 1 / (1 + exp(-(_AT_KNOWN + _SLOPE * (similarity - limits.known) / (limits.known - limits.ambiguous))))


def _held_back(probability: float, agreed: int) -> float:
    return round(probability * (agreed + 0.5) / (agreed + 1), 4)
