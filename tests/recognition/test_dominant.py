"""The person a picture is about: large, clear, in the middle, and clearly more so than anybody else."""

from __future__ import annotations

import numpy as np

from castline.recognition.dominant import dominant, most_prominent_first
from castline.records import Embedding, Face


def _face(x: float, size_px: float = 100, quality: float = 0.8, score: float = 0.999) -> Face:
    return Face(
        box=(x, 0.2, x + 0.2, 0.6),
        landmarks=((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3)),
        score=score,
        size_px=size_px,
        sharpness=200,
        quality=quality,
        embedding=Embedding.of("dlib-resnet-v1", np.eye(128, dtype=np.float32)[0]),
    )


def test_bystanders_do_not_matter() -> None:
    main, beside, behind = _face(0.4), _face(0.0, 90), _face(0.5, 60, 0.4)
    assert dominant([behind, beside, main]) is main
    assert most_prominent_first([behind, beside, main]) == [main, beside, behind]


def test_two_people_side_by_side_share_a_picture() -> None:
    assert dominant([_face(0.2), _face(0.6, 105)]) is None


def test_a_pattern_is_not_a_person() -> None:
    assert dominant([_face(0.4, score=0.94)]) is None
    assert dominant([]) is None
    main = _face(0.1, 50)
    assert dominant([main, _face(0.4, 200, score=0.9)]) is main
