"""How much a face can be trusted: sharpness, pose, size and score as one weight between 0 and 1.

    quality = size * sharp * pose * score

    size   (shorter side of the box - 10 px) / 90 px, held between 0.1 and 1
    sharp  v / (v + 50) with v the variance of the Laplacian, at least 0.1
    pose   cos(yaw) * cos(roll), at least 0.1
    score  the detector's probability

The weight scales a face's vote about who somebody is. It never hides a face: it is always positive.

``detail``, ``blocking``, ``noise`` and ``burnt`` are not part of it. They say whether the picture was smeared,
darkened, compressed, amplified or over-exposed in a way that makes strangers look alike (``recognition/grade.py``).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, Image, pixels_inside
from castline.engines.faces.align import box_crop

#: Sharpness is compared at one size; otherwise a large face would count as blurred.
_SIDE = 112
#: Sharpness at which a face counts half; clear portraits have several hundred, motion blur under 50.
_HALF_SHARP = 50.0
_LEAST = 0.1
#: JPEG, MPEG-1, -2 and -4 transform blocks of so many pixels.
_BLOCK = 8
#: From this value on a colour counts as saturated: codecs leave it a little below 255.
_FULL = 253
#: Distance of the eyes over how far the nose's tip stands out of the plane of eyes and mouth; for
#: adults about 62 mm to 27 mm.
_EYES_PER_NOSE = 2.3


def sharpness(image: Image, box: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of the box's grey pixels at 112 x 112; 0 is flat, below ~50 blurred.

    Method: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """
    grey = cv2.cvtColor(box_crop(image, box, _SIDE), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def detail(image: Image, box: NDArray[np.float32]) -> float:
    """Variance of the second derivative of the box's grey pixels at 112 x 112, in the direction in which it is least.

    Columns, rows and both diagonals. Motion removes detail only along its direction, darkness and a blurred lens in all
    directions: below ~12 one of them has done so. 0 is flat.
    """
    grey = cv2.cvtColor(box_crop(image, box, _SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
    middle = 2 * grey[1:-1, 1:-1]
    return min(
        float((grey[1 - dy : _SIDE - 1 - dy, 1 - dx : _SIDE - 1 - dx] - middle
               + grey[1 + dy : _SIDE - 1 + dy, 1 + dx : _SIDE - 1 + dx]).var()) / (dx * dx + dy * dy) ** 2
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1))
    )  # fmt: skip


def blocking(image: Image, box: NDArray[np.float32]) -> float:
    """How much a codec's block borders stand out: the steps there over those elsewhere, 1 if there are no blocks.

    The mean step between neighbouring pixels is taken for each of eight columns (rows) modulo eight, and the largest
    divided by the middle one. Faces smaller than three blocks give 1. After Wang, Sheikh and Bovik, "No-reference
    perceptual quality assessment of JPEG compressed images" (ICIP 2002), where the positions of the blocks are known.
    """
    inside = pixels_inside(image, box)
    if min(inside.shape[:2]) <= 3 * _BLOCK:
        return 1.0
    grey = cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=1 - axis)).mean(axis=axis)
        by_place = steps[: len(steps) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=0)
        found.append(float(by_place.max() / max(np.median(by_place), 1e-3)))
    return (found[0] + found[1]) / 2


def noise(image: Image, box: NDArray[np.float32]) -> float:
    """Grain of the smoothest tenth of the box's grey pixels at 112 x 112, over the contrast of all; 0 is smooth.

    Grain is what a Gaussian of 1.2 px removes. Skin has little of it and a sensor's noise is everywhere, so the
    smoothest of 8 x 8 px areas distinguish noise from beards and hair. Below ~0.04 in good light.
    """
    grey = cv2.cvtColor(box_crop(image, box, _SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
    areas = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2)).reshape(_SIDE // 8, 8, _SIDE // 8, 8).mean(axis=(1, 3))
    return float(np.quantile(areas, 0.1) / max(grey.std(), 1.0))


def burnt(image: Image, box: NDArray[np.float32]) -> float:
    """Share of the box's pixels in which a colour is saturated, 0..1: brighter detail is lost.

    At most ~0.15 in good light.
    """
    inside = pixels_inside(image, box)
    return float((inside.max(axis=2) >= _FULL).mean()) if inside.size else 0.0


def pose(landmarks: NDArray[np.float32]) -> tuple[float, float]:
    """Rough yaw and roll of a head from five landmarks, degrees.

    Returns:
        Yaw in -90..90, positive when the nose points to the right of the picture: from how far the nose's tip is beside
        the middle of eyes and mouth. Roll in -180..180, positive when the face
        is turned clockwise: the slope of the eyes.
    """
    points = landmarks.astype(np.float64)
    eyes = points[1] - points[0]
    distance = float(np.hypot(*eyes))
    if distance < 1e-6:
        return 90.0, 0.0
    axis = eyes / distance
    middle = points[[0, 1, 3, 4]].mean(axis=0)
    beside = float((points[2] - middle) @ axis)
    yaw = math.atan2(_EYES_PER_NOSE * beside, distance)
    return math.degrees(yaw), math.degrees(math.atan2(eyes[1], eyes[0]))


def combined(size_px: float, sharp: float, yaw: float, roll: float, score: float) -> float:
    """The formula at the top of this module; all arguments except ``score`` are as the functions here return them.

    Returns:
        0..1, never 0 for a positive score.
    """
    by_size = min(max((size_px - 10.0) / 90.0, _LEAST), 1.0)
    by_sharpness = max(sharp / (sharp + _HALF_SHARP), _LEAST)
    by_pose = max(math.cos(math.radians(yaw)) * math.cos(math.radians(roll)), _LEAST)
    return by_size * by_sharpness * by_pose * min(max(score, 0.0), 1.0)


def size_px(face: DetectedFace, width: int, height: int) -> float:
    """Shorter side, in pixels, of the part of the box that is inside a picture of that width and height."""
    x0, y0, x1, y1 = np.clip(face.box, 0, [width, height, width, height])
    return float(min(x1 - x0, y1 - y0))
