"""Scores whether a face produces the speech, with the net that ``castline.weights.mouth_net`` writes.

Crops are those of the demonstration in Junhua-Liao/LR-ASD (``Columbia_test.py`` at 1b6dcd2): around the box's middle,
of 1.4 times its longer side, reaching further down than up; middles and sides are the medians of 13 pictures; the area
beyond the picture is grey. The net gets the middle half, which is the face from the eyes to below the chin.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from castline.engines.base import EngineInfo
from castline.engines.session import open_session
from castline.engines.speech.cepstra import COEFFICIENTS, cepstra
from castline.errors import ModelCorrupt
from castline.media.chunks import SAMPLE_RATE

#: Pictures a second, and moments of sound for each.
RATE = 25
_MOMENTS = 4
_SIDE, _CROP = 112, 224
_MEDIAN = 13
_SCALE = 0.40
_BEYOND = 110
_LONGEST = 10 * RATE  # pictures at a time: 300 MB


class LRASD:
    """Scores faces with the net of J. Liao et al. (2025).

    Raises:
        ModelNotFound, ModelCorrupt: as ``open_session``; also when the net has other inputs.
    """

    def __init__(self, path: Path, *, threads: int = 0, device: str = "cpu", info: EngineInfo) -> None:
        self._session = open_session(path, threads, device)
        self.info = info
        found = [(value.type, list(value.shape[2:])) for value in self._session.get_inputs()]
        if found != [("tensor(uint8)", [_SIDE, _SIDE]), ("tensor(float)", [COEFFICIENTS])]:
            raise ModelCorrupt(f"{path} is not a net for speaking faces: its inputs are {found}")

    def score_speaking(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32], samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How much a face speaks in each picture: above 0 it does; not a probability.

        Args:
            pictures: grey, shape (h, w), uint8, 25 a second, all of one face in one shot.
            boxes: where the face is in each, pixels, ``x0, y0, x1, y1``, shape (len(pictures), 4).
            samples: mono 16 kHz from the first picture on, shape (n,), float32 in -1..1; what is missing is silence.

        Returns:
            Shape (len(pictures),), float32.
        """
        faces = crops(pictures, boxes)
        moments = cepstra(samples[: len(faces) * SAMPLE_RATE // RATE])
        # The last window begins before the sound ends: the last moment or two are repeated for what follows.
        moments = moments[np.minimum(np.arange(len(faces) * _MOMENTS), len(moments) - 1)]
        found = [self._score(faces[at:to], moments[at * _MOMENTS : to * _MOMENTS]) for at, to in _pieces(len(faces))]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _score(self, faces: NDArray[np.uint8], moments: NDArray[np.float32]) -> NDArray[np.float32]:
        (scores,) = self._session.run(None, {"faces": faces[None], "mfcc": moments[None]})
        return np.asarray(scores[0])


def _pieces(count: int) -> list[tuple[int, int]]:
    """Equal pieces of at most ten seconds."""
    number = -(-count // _LONGEST)
    return list(pairwise([count * each // number for each in range(number + 1)])) if number else []


def crops(pictures: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The crops for the net, shape (len(pictures), 112, 112), uint8."""
    if not len(pictures):
        return np.zeros((0, _SIDE, _SIDE), np.uint8)
    left, top, right, bottom = boxes.astype(np.float64).T
    half = _median(np.maximum(bottom - top, right - left) / 2)
    middles = zip(pictures, _median((left + right) / 2), _median((top + bottom) / 2), half, strict=True)
    return np.stack([_crop(picture, x, y, max(1.0, side)) for picture, x, y, side in middles])


def _crop(picture: NDArray[np.uint8], x: float, y: float, half: float) -> NDArray[np.uint8]:
    pad = int(half * (1 + 2 * _SCALE))
    top, bottom = int(y + pad - half), int(y + pad + half * (1 + 2 * _SCALE))
    left, right = int(x + pad - half * (1 + _SCALE)), int(x + pad + half * (1 + _SCALE))
    padded = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=_BEYOND)
    face = padded[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)]
    if not face.size:
        return np.full((_SIDE, _SIDE), _BEYOND, np.uint8)
    edge = (_CROP - _SIDE) // 2
    return np.asarray(cv2.resize(face, (_CROP, _CROP))[edge : edge + _SIDE, edge : edge + _SIDE], np.uint8)


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running median over 13 pictures, with the first and last value repeated: zeros would pull it down at the ends."""
    padded = np.pad(values, _MEDIAN // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN), axis=1))
