"""YuNet with real weights against MTCNN, on real photos; skipped without the weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, Image
from castline.engines.faces.mtcnn import MtcnnDetector
from castline.engines.faces.yunet import YuNetDetector, probability
from castline.media.pictures import decode_jpeg
from castline.recognition.grade import LONE_MIN_SCORE, PERSON_MIN_SCORE
from castline.recognition.tracks import iou
from castline.weights.prepare import ensure_mtcnn


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    return shared_data / "models" / "yunet_n_dynamic.onnx"


@pytest.fixture(scope="module")
def yunet(weights: Path) -> YuNetDetector:
    return YuNetDetector(weights)


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Image]:
    paths = sorted((shared_data / "faces" / "lfw10").glob("*/*.jpg"))[::10]
    return [decode_jpeg(path.read_bytes()) for path in paths]


def _largest(faces: list[DetectedFace]) -> DetectedFace:
    return max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))


def test_faces_and_landmarks_lie_where_mtcnn_finds_them(
    yunet: YuNetDetector, photos: list[Image], models_dir: Path
) -> None:
    mtcnn = MtcnnDetector(ensure_mtcnn(models_dir))
    for ours, theirs in zip(yunet.detect(photos), mtcnn.detect(photos), strict=True):
        face, other = _largest(ours), _largest(theirs)
        assert iou(tuple(face.box), tuple(other.box)) > 0.6
        side = float((other.box[2:] - other.box[:2]).max())
        assert np.abs(face.landmarks - other.landmarks).max() < 0.15 * side, "eyes, nose, mouth; image left first"
        assert face.score >= LONE_MIN_SCORE
        assert [each.score for each in ours] == sorted((each.score for each in ours), reverse=True)


@pytest.mark.parametrize("scale", [0.3, 6])
def test_small_and_large_faces_are_found(
    yunet: YuNetDetector, photos: list[Image], weights: Path, scale: float
) -> None:
    finder = YuNetDetector(weights, min_face=20)
    for image, (before,) in zip(photos, ([_largest(faces)] for faces in yunet.detect(photos)), strict=True):
        other = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        face = _largest(finder.detect([other])[0])
        assert iou(tuple(face.box / scale), tuple(before.box)) > 0.6
        assert face.score >= PERSON_MIN_SCORE


def test_faces_below_the_smallest_are_not_reported(weights: Path, photos: list[Image]) -> None:
    small = [cv2.resize(image, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA) for image in photos]
    assert YuNetDetector(weights, min_face=100).detect(small) == [[] for _ in small]


def test_pictures_without_people(yunet: YuNetDetector, noise: Callable[[int, int], NDArray[np.uint8]]) -> None:
    pictures = [noise(240, 320), noise(15, 400), np.zeros((300, 20, 3), np.uint8)]
    assert [[face for face in faces if face.score >= PERSON_MIN_SCORE] for faces in yunet.detect(pictures)] == [[]] * 3
    assert yunet.detect([]) == []


def test_its_score_is_on_the_scale_of_probabilities() -> None:
    assert [round(probability(score), 2) for score in (0.0, 0.75, 0.85, 0.88, 1.0)] == [0.0, 0.07, 0.95, 0.99, 1.0]
