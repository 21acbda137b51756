"""Small, blurred and doubtful faces are poor; the worst of them are useless."""

from __future__ import annotations

import numpy as np
import pytest

from castline.engines.plugins import thresholds_for
from castline.engines.thresholds import NEVER
from castline.recognition.grade import grade_of, may_share_faults
from castline.records import Embedding, Face


@pytest.mark.parametrize(
    ("fields", "grade"),
    [
        ({}, "clear"),
        ({"size_px": 25}, "poor"),
        ({"sharpness": 20}, "poor"),
        ({"score": 0.9}, "poor"),
        ({"detail": 11.9}, "degraded"),
        ({"blocking": 2.0}, "degraded"),
        ({"noise": 0.06}, "degraded"),
        ({"burnt": 0.3}, "degraded"),
        ({"detail": 5, "size_px": 25}, "poor"),
        ({"size_px": 17}, "useless"),
        ({"sharpness": 5}, "useless"),
        ({"quality": 0.02}, "useless"),
    ],
)
def test_grades(fields: dict[str, float], grade: str) -> None:
    values = {"score": 0.999, "size_px": 100.0, "sharpness": 200.0, "quality": 0.8, **fields}
    face = Face(
        box=(0.1, 0.2, 0.3, 0.6),
        landmarks=((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3)),
        embedding=Embedding.of("dlib-resnet-v1", np.eye(128, dtype=np.float32)[0]),
        **values,
    )
    assert grade_of(face) == grade


def test_faults_are_shared_if_neither_face_is_clear() -> None:
    assert not may_share_faults("clear", "poor")
    assert may_share_faults("degraded", "degraded")
    assert may_share_faults("degraded", "poor")


def test_a_worse_grade_needs_more() -> None:
    limits = thresholds_for("dlib-resnet-v1")
    assert limits.of("clear") is limits.of("degraded") is limits
    for name in ("known", "ambiguous", "cluster"):
        assert getattr(limits.of("poor"), name) == pytest.approx(getattr(limits, name) + limits.poor)
        assert getattr(limits.of("useless"), name) == NEVER
