"""Faces: finding them (MTCNN), describing them (embedders), and judging how well they are seen.

``castline.faces.analyse`` turns frames into records. Importing this package itself loads no model
library; ``thresholds_for`` is all that the assembly needs of it.
"""

import os

from castline.faces.thresholds import THRESHOLDS, Thresholds, thresholds_for

#: Of a photo or a frame that is decoded; phones make 108 million. The header is enough to tell.
MAX_PIXELS = 120_000_000
# OpenCV reads this once, when it is loaded, and by itself it would decode a thousand million.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

__all__ = ["MAX_PIXELS", "THRESHOLDS", "Thresholds", "thresholds_for"]
