"""YuNet: finds faces and five landmarks in one pass of a small net, through OpenCV.

Method: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. Its boxes and
landmarks agree with MTCNN's (median difference 2 % of the face), so embedders and thresholds are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from castline.engines.base import DetectedFace, EngineInfo, Image
from castline.engines.plugins import find_engine
from castline.errors import ModelCorrupt
from castline.media.pictures import limit_side

#: YuNet was trained on faces of 10 to 300 pixels and finds those of 564 only with low scores. At this picture size they
#: are in that range, and a face of 40 pixels in a frame of 960 still has 27.
_SIDE = 640
_MIN_SIDE = 16
#: MTCNN also reports faces down to this share of the requested size; so does this detector.
_SMALLEST = 0.6
#: 0.85 is ``PERSON_MIN_SCORE``, and 0.88 ``LONE_MIN_SCORE``.
_STEEP = (math.log(99) - math.log(19)) / 0.03
_EVEN = 0.85 - math.log(19) / _STEEP
#: Least of YuNet's own scores; weaker detections are not faces. Suppression as in OpenCV.
_LEAST_SCORE, _OVERLAP, _MOST = 0.5, 0.3, 5000


class YuNetDetector:
    """Face detector over YuNet's ONNX file.

    Args:
        min_face: as for MTCNN; boxes with a longer side below 0.6 times this are not reported.

    Raises:
        ModelCorrupt: OpenCV cannot read the file.
    """

    info: EngineInfo

    def __init__(self, path: Path, *, min_face: int = 40, info: EngineInfo | None = None) -> None:
        try:
            with _quiet():
                self._net = cv2.FaceDetectorYN.create(str(path), "", (_SIDE, _SIDE), _LEAST_SCORE, _OVERLAP, _MOST)
                self._rows(np.zeros((_SIDE, _SIDE, 3), np.uint8))
        except cv2.error as error:
            raise ModelCorrupt(f"{path} is not a usable model of YuNet", detail=str(error)) from error
        self._min_face = min_face
        self.info = info or replace(find_engine("yunet").info, source=str(path))

    def detect(self, images: Sequence[Image]) -> list[list[DetectedFace]]:
        """Faces of each image, best score first.

        Args:
            images: RGB, shape (h, w, 3), uint8 each; sizes may differ. Images with a side under 16 pixels give no
                faces.
        """
        return [self._faces(image) if min(image.shape[:2]) >= _MIN_SIDE else [] for image in images]

    def _faces(self, image: Image) -> list[DetectedFace]:
        small = limit_side(image, _SIDE)
        height, width = small.shape[:2]
        scale = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        faces = []
        for row in self._rows(small):
            points = row[:14].reshape(7, 2) * scale  # corner, size, and five landmarks, image left first
            if points[1].max() >= _SMALLEST * self._min_face:
                box = np.concatenate([points[0], points[0] + points[1]])
                faces.append(DetectedFace(box, points[2:], probability(float(row[14]))))
        return sorted(faces, key=lambda face: -face.score)

    def _rows(self, image: Image) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        self._net.setInputSize((image.shape[1], image.shape[0]))
        rows = self._net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        return np.empty((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)


def probability(score: float) -> float:
    """YuNet's score, which hardly exceeds 0.95, mapped to the probability that ``recognition/grade.py`` uses.

    A logistic function (Platt 1999) through two points that are measured (docs/FACES.md, "YuNet"): above 0.85 there are
    only faces, and above 0.88 are nearly all usable faces.
    """
    return 1.0 / (1.0 + math.exp(-_STEEP * (score - _EVEN)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress OpenCV's lines on standard error: it warns for every net that it has no targets to choose from."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
