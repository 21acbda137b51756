"""The plot is a PNG of the promised size, whatever the numbers; without matplotlib the reader is told so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from castline.engines.thresholds import Thresholds
from castline.errors import EvaluationError
from castline.evaluation import verification
from castline.evaluation.plot import check_drawable, draw

LIMITS = Thresholds(known=0.7, ambiguous=0.5, same_track=0.4, moved=0.7, cluster=0.8, poor=0.05)
TITLE = r"A model on people_1 & $\frac{$"


@pytest.mark.parametrize(
    ("same", "different"),
    [
        (np.linspace(0.4, 0.95, 450), np.linspace(-0.3, 0.55, 4500)),
        (np.array([0.8]), np.array([0.1])),
        (np.array([0.5]), np.array([0.5])),
        (np.array([0.5, 0.5]), np.array([0.9, 0.9])),
    ],
    ids=["many", "two", "equal", "upside down"],
)
def test_a_picture_is_drawn(same: np.ndarray, different: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "curve.png"
    draw(path, TITLE, same, different, verification(same, different, LIMITS))
    first = path.read_bytes()
    assert len(first) < 100_000
    pixels = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (704, 880, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    draw(path, TITLE, same, different, verification(same, different, LIMITS))
    assert path.read_bytes() == first


def test_what_cannot_be_drawn_is_reported_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"curve\.svg: plots are written as \.png"):
        check_drawable(tmp_path / "curve.svg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        EvaluationError, match="a plot needs matplotlib, which is not installed: pip install matplotlib"
    ):
        check_drawable(tmp_path / "curve.png")


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    same, different = np.array([0.8]), np.array([0.1])
    with pytest.raises(EvaluationError, match="cannot be written"):
        draw(tmp_path / "file" / "curve.png", "", same, different, verification(same, different, LIMITS))
