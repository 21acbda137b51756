"""How much a face can be trusted: sharpness, pose, size and score as one weight between 0 and 1.

    quality = size * sharp * pose * score

    size   (shorter side of the box - 10 px) / 90 px, held between 0.1 and 1
    sharp  v / (v + 50) with v the variance of the Laplacian, at least 0.1
    pose   cos(yaw) * cos(roll), at least 0.1
    score  the detector's probability

The weight lowers a face's vote about who somebody is. It never hides a face: it is positive for each.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, Image
from castline.engines.faces.align import box_crop

#: Sharpness is compared at one size, or a large face would count as blurred.
_SIDE = 112
#: Sharpness at which a face counts half; clear portraits have several hundred, motion blur under 50.
_HALF_SHARP = 50.0
_LEAST = 0.1
#: Distance of the eyes over how far the nose's tip stands out of the plane of eyes and mouth; for
#: adults about 62 mm to 27 mm.
_EYES_PER_NOSE = 2.3


def sharpness(image: Image, box: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of the box's grey pixels at 112 x 112; 0 is flat, below ~50 blurred.

    Method: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """
    grey = cv2.cvtColor(box_crop(image, box, _SIDE), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def pose(landmarks: NDArray[np.float32]) -> tuple[float, float]:
    """Rough yaw and roll of a head from five landmarks, degrees.

    Returns:
        Yaw in -90..90, positive when the nose points to the right of the picture: from how far the
        nose's tip lies beside the middle of eyes and mouth. Roll in -180..180, positive when the face
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
    """The formula at the top of this module; all but ``score`` as the functions here return them.

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
