"""Where one shot ends and another begins, found from what the analyser stored for every frame.

Sampled frames are a second or more apart, so a detector that expects 25 frames a second cannot be used directly. Its
measures can: the brightness of a few large areas, as in PySceneDetect's ContentDetector, and a histogram of colours, as
in its HistogramDetector (B. Castellano, https://www.scenedetect.com). Here

    distance = (1 - correlation of brightness) + (1 - Bhattacharyya coefficient of colours)

which is 0 for identical pictures and 0.8 in the median for two unrelated ones. Correlation tolerates a lamp that is
switched on, and both tolerate people who move. Measured in docs/FACES.md, "Cuts".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from castline.records import Box, FrameFaces

#: Areas of the brightness picture, (columns, rows), and bins of hue, saturation and value.
AREAS = (12, 8)
BINS = (6, 2, 4)
#: From this distance on, two frames belong to different shots.
CUT = 0.25
#: From this distance in brightness alone, the surroundings of a face count as changed.
_CHANGED = 0.15
#: Two pictures flatter than this (standard deviation in grey levels) count as alike, whatever their noise.
_FLAT = 2.0

_BYTES = AREAS[0] * AREAS[1] + BINS[0] * BINS[1] * BINS[2]


def pack(brightness: NDArray[np.uint8], colours: NDArray[np.float32]) -> str:
    """The 192 characters of ``FrameFaces.look``.

    Args:
        brightness: mean grey of each area, shape (8, 12).
        colours: counts of pixels by hue, saturation and value, shape (6, 2, 4) or flat.
    """
    share = np.sqrt(colours.ravel() / max(float(colours.sum()), 1.0))
    return base64.b64encode(brightness.tobytes() + np.round(share * 255).astype(np.uint8).tobytes()).decode()


def distance(a: str, b: str) -> float:
    """How different two frames' looks are, 0..3; formula at the top.

    Raises:
        ValueError: not what ``pack`` returns.
    """
    (grey_a, colours_a), (grey_b, colours_b) = _unpack(a), _unpack(b)
    return _unlike(grey_a, grey_b) + (1 - min(float(colours_a @ colours_b), 1.0))


def stayed(a: str | None, b: str | None, box: Box) -> bool:
    """Whether the surroundings of a box hardly changed between two frames.

    In a slide show on one background, the frame as a whole stays similar while the picture in it changes.

    Args:
        a, b: looks; if one is missing, nothing indicates a change.
        box: a face in ``b``. The surroundings extend one breadth and one height beyond it.
    """
    if not a or not b:
        return True
    wide, high = box[2] - box[0], box[3] - box[1]
    left, right = floor(max(box[0] - wide, 0.0) * AREAS[0]), ceil(min(box[2] + wide, 1.0) * AREAS[0])
    top, bottom = floor(max(box[1] - high, 0.0) * AREAS[1]), ceil(min(box[3] + high, 1.0) * AREAS[1])
    around = (_unpack(look)[0].reshape(AREAS[1], AREAS[0])[top:bottom, left:right].ravel() for look in (a, b))
    return _unlike(*around) < _CHANGED


def shots(frames: Sequence[FrameFaces]) -> list[int]:
    """The number of each frame's shot, from 0.

    Args:
        frames: in order of time. A frame without a look belongs to the same shot as the one before.
    """
    numbers: list[int] = []
    seen: str | None = None
    number = 0
    for frame in frames:
        if seen and frame.look and distance(seen, frame.look) >= CUT:
            number += 1
        seen = frame.look or seen
        numbers.append(number)
    return numbers


def _unlike(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """1 - correlation, 0..2; flat pictures are alike.

    Args:
        a, b: grey levels, shape (n,).
    """
    a, b = a - a.mean(), b - b.mean()
    noise = len(a) * _FLAT**2
    return 1 - (float(a @ b) + noise) / float(np.sqrt((a @ a + noise) * (b @ b + noise)))


@lru_cache(maxsize=64)
def _unpack(look: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grey levels, shape (96,), and roots of the shares of colours, shape (48,), unit norm."""
    data = np.frombuffer(base64.b64decode(look), np.uint8)
    if len(data) != _BYTES:
        raise ValueError(f"a look has {_BYTES} bytes, not {len(data)}")
    areas = AREAS[0] * AREAS[1]
    grey = data[:areas].astype(np.float64)
    colours = data[areas:].astype(np.float64)
    return grey, colours / max(float(np.linalg.norm(colours)), 1e-9)
