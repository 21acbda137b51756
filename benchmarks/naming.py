"""Naming: what a track costs as the gallery grows, and what enrolling somebody costs as the results do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import median_seconds

MODEL, DIMENSIONS, PHOTOS = "facenet-casia", 512, 3
TRACKS, SIGHTINGS = 100, 20


def run(folder: Path) -> dict[str, Any]:
    """Galleries of random unit vectors, three photos a person; of each ten tracks one shows somebody of them."""
    return {f"{people} people": _naming(people) for people in (10, 1_000, 10_000)}


def _naming(people: int) -> dict[str, float]:
    from castline.assembly.identity import identify
    from castline.assembly.sightings import Enrolled
    from castline.faces.thresholds import thresholds_for
    from castline.records import Embedding, Gallery, KnownFace

    rng = np.random.default_rng(people)
    limits = thresholds_for(MODEL)
    looks = _units(rng, people)
    faces = tuple(
        KnownFace(name=f"P{number:05d}", photo=f"P{number:05d}/{at}.jpg", embedding=Embedding.of(MODEL, look))
        for number in range(people)
        for at, look in enumerate(_near(looks[number], rng, PHOTOS))
    )
    gallery = Gallery(model=MODEL, fingerprint="", faces=faces)
    tracks = [
        _track(_near(looks[rng.integers(people)] if number % 10 == 0 else _units(rng, 1)[0], rng, SIGHTINGS))
        for number in range(TRACKS)
    ]
    groups = identify(tracks, gallery, limits)
    assert sum(group.identity == "known" for group in groups) == len({group.name for group in groups if group.name})
    stacking = median_seconds(lambda _: Enrolled.of(gallery, limits), 3)
    start = time.perf_counter()
    identify(tracks, gallery, limits)
    whole = time.perf_counter() - start
    return {
        "stacking_ms": round(1000 * stacking, 1),
        "per_track_ms": round(1000 * (whole - stacking) / TRACKS, 2),
    }


def _units(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, DIMENSIONS))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(look: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = look + 0.5 * _units(rng, count)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _track(looks: np.ndarray) -> Any:
    from castline.assembly.tracks import FaceTrack
    from castline.records import Embedding, Face

    points = ((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3))
    track = FaceTrack()
    for at, look in enumerate(looks):
        face = Face(
            box=(0.1, 0.2, 0.3, 0.6),
            landmarks=points,
            score=0.999,
            size_px=100,
            sharpness=200,
            quality=0.9,
            embedding=Embedding.of(MODEL, look),
        )
        track.add(at, 1000 * at, face)
    return track
