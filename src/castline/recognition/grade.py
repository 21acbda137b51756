"""How far a face's appearance can be trusted: clear, degraded, poor, or not at all.

A quality between 0 and 1 (``recognition/quality.py``) weighs votes. It cannot say when the thresholds no longer apply
to a similarity: blur and few pixels remove what distinguishes people, so that strangers become more alike. Smear,
darkness, glare, noise and compression have this effect if *both* pictures have them, because both faces were changed in
the same way. Measured in docs/FACES.md, "Poor faces".
"""

from __future__ import annotations

from castline.records import Face, Grade

#: Increased when the rules of grading change: stored grades with a lower number are computed again.
GRADING = 3
#: A person needs a sighting with at least this detector score; weaker ones alone are mostly patterns.
#: Measured: docs/FACES.md, "When a detection is a person".
PERSON_MIN_SCORE = 0.95
#: The score needed if there is only one sighting, and a poor one.
LONE_MIN_SCORE = 0.99

#: Grades of faces that are large and sharp enough to be tracked and told apart, whatever else is wrong with them.
SHARP: tuple[Grade, ...] = ("clear", "degraded")

_CLEAR_PX, _CLEAR_SHARPNESS = 32.0, 40.0
_CLEAR_DETAIL, _CLEAR_BLOCKING, _CLEAR_NOISE = 12.0, 2.0, 0.055
_CLEAR_BURNT = 0.3
_USELESS_PX, _USELESS_SHARPNESS, _USELESS_QUALITY = 20.0, 8.0, 0.05


def grade_of(face: Face) -> Grade:
    """``clear``: the thresholds apply. ``degraded``: they apply against a clear face. ``poor``: higher ones apply.

    ``useless``: the face says nothing about who it is.
    """
    if face.size_px < _USELESS_PX or face.sharpness < _USELESS_SHARPNESS or face.quality < _USELESS_QUALITY:
        return "useless"
    if face.size_px < _CLEAR_PX or face.sharpness < _CLEAR_SHARPNESS or face.score < PERSON_MIN_SCORE:
        return "poor"
    faulty = (
        face.detail < _CLEAR_DETAIL
        or face.blocking >= _CLEAR_BLOCKING
        or face.noise >= _CLEAR_NOISE
        or face.burnt >= _CLEAR_BURNT
    )
    return "degraded" if faulty else "clear"


def may_share_faults(a: Grade, b: Grade) -> bool:
    """Whether two faces may be alike because of faults of their pictures, and not because they are one person."""
    return "clear" not in (a, b)
