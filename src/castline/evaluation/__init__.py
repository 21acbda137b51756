"""Measures how good the engines are on a user's own data: ``castline eval``.

``faces`` has the measures, on embeddings alone; ``dataset`` reads labelled photos; ``measure`` combines both with the
engines; ``plot`` draws. ``speech`` counts word errors, on texts that ``normalise`` makes comparable.
"""

from castline.evaluation.dataset import PairList, PhotoFolder, read_dataset
from castline.evaluation.faces import Identification, Verification, identification, verification

__all__ = [
    "Identification",
    "PairList",
    "PhotoFolder",
    "Verification",
    "identification",
    "read_dataset",
    "verification",
]
