"""Faces: finding them (MTCNN), describing them (embedders), and judging how well they are seen.

``castline.faces.analyse`` turns frames into records. Importing this package itself loads no model
library; ``thresholds_for`` is all that the assembly needs of it.
"""

from castline.faces.thresholds import THRESHOLDS, Thresholds, thresholds_for

__all__ = ["THRESHOLDS", "Thresholds", "thresholds_for"]
