"""How far a face's looks can be trusted: clear, poor, or not at all.

A quality between 0 and 1 (``recognition/quality.py``) weighs votes. It cannot say where a similarity stops to
mean what the thresholds say: blur and few pixels take away what tells people apart, so that strangers
come closer to each other. Measured in docs/FACES.md, "Poor faces".
"""

from __future__ import annotations

from castline.records import Face, Grade

#: A person needs a sighting the detector is this sure of; weaker ones alone are mostly patterns.
#: Measured: docs/FACES.md, "When a detection is a person".
PERSON_MIN_SCORE = 0.95
#: ... and this sure where it is the only sighting, and a poor one.
LONE_MIN_SCORE = 0.99

_CLEAR_PX, _CLEAR_SHARPNESS = 32.0, 40.0
_USELESS_PX, _USELESS_SHARPNESS, _USELESS_QUALITY = 20.0, 8.0, 0.05


def grade_of(face: Face) -> Grade:
    """``clear``: the thresholds hold. ``poor``: higher ones do. ``useless``: it says nothing about who it is."""
    if face.size_px < _USELESS_PX or face.sharpness < _USELESS_SHARPNESS or face.quality < _USELESS_QUALITY:
        return "useless"
    clear = face.size_px >= _CLEAR_PX and face.sharpness >= _CLEAR_SHARPNESS and face.score >= PERSON_MIN_SCORE
    return "clear" if clear else "poor"
