"""What a whole frame looks like, in a few bytes, from which assembly finds cuts."""

from __future__ import annotations

import cv2
import numpy as np

from castline.engines.base import Image
from castline.recognition.cuts import AREAS, BINS, pack

#: Size (width, height) of the picture on which colours are counted: their shares need no larger one.
_SIZE = (96, 64)


def look_of(image: Image) -> str:
    """Brightness and colours as ``castline.recognition.cuts`` compares them.

    Args:
        image: RGB, shape (h, w, 3), uint8.
    """
    small = cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA)
    brightness = cv2.resize(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), AREAS, interpolation=cv2.INTER_AREA)
    # OpenCV's hue of 8-bit pictures ends at 180.
    colours = cv2.calcHist(
        [cv2.cvtColor(small, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256]
    )
    return pack(np.asarray(brightness, np.uint8), np.asarray(colours, np.float32))
