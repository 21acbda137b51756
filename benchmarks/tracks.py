"""Names in footage with cuts: the table in docs/FACES.md, on the labelled photos of the shared test data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT

ORDERS, ENROL = 20, 5


def run(folder: Path) -> dict[str, Any]:
    """``castline eval tracks`` with the default engines, and how long its two halves take."""
    from castline.engines.choose import load_detector, load_embedder
    from castline.evaluation import PhotoFolder, read_dataset
    from castline.evaluation.conditions import CONDITIONS
    from castline.evaluation.tracks import measure_tracks, show
    from castline.settings import settings

    photos = (ROOT / "../shared/data/faces/lfw10").resolve()
    if not photos.is_dir():
        return {"skipped": "the shared test data is not beside the checkout"}
    data = read_dataset(photos)
    assert isinstance(data, PhotoFolder)
    detector, embedder = load_detector(settings()), load_embedder(settings())
    start = time.perf_counter()
    shown = show(data, detector, embedder, list(CONDITIONS))
    described = time.perf_counter()
    report = measure_tracks(shown, embedder.info.id, detector.info.id, orders=ORDERS, enrol=ENROL)
    return {
        **report.model_dump(exclude={"clips"}),
        "faces_s": round(described - start, 1),
        "assembly_s": round(time.perf_counter() - described, 1),
    }
