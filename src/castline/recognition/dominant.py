"""Which face a picture is about: one rule for photos to enrol, the gallery, evaluation and the classic profile."""

from __future__ import annotations

from collections.abc import Sequence

from castline.recognition.grade import PERSON_MIN_SCORE
from castline.records import Face

#: Factor by which the main face must lead the next one. Photos of two people side by side have 1.02; the most prominent
#: bystanders in LFW leave a lead of 1.50.
_LEAD = 1.4


def prominence(face: Face) -> float:
    """How much a picture is about a face: large, clear, and near the middle."""
    x0, _, x1, _ = face.box
    return face.size_px * face.quality * (1.0 - abs((x0 + x1) / 2 - 0.5))


def most_prominent_first(faces: Sequence[Face]) -> list[Face]:
    """The faces that the detector is certain of (``PERSON_MIN_SCORE``), by ``prominence``."""
    return sorted((face for face in faces if face.score >= PERSON_MIN_SCORE), key=prominence, reverse=True)


def dominant(faces: Sequence[Face]) -> Face | None:
    """The one face a picture is about; None if there is none, or if several are equally prominent."""
    found = most_prominent_first(faces)
    if not found or (len(found) > 1 and prominence(found[0]) < _LEAD * prominence(found[1])):
        return None
    return found[0]
