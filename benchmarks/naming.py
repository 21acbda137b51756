"""Naming: what a track costs as the gallery grows, and what enrolling costs as the number of results grows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import median_seconds

MODEL, DIMENSIONS, PHOTOS = "facenet-casia", 512, 3
TRACKS, SIGHTINGS = 100, 20


def run(folder: Path) -> dict[str, Any]:
    """Galleries of random unit vectors, three photos per person; one in ten tracks shows somebody from the gallery."""
    return {
        **{f"{people} people": _naming(people) for people in (10, 1_000, 10_000)},
        "people add": {f"{results} results": _enrolling(results) for results in (100, 1_000)},
    }


def _enrolling(results: int) -> dict[str, float]:
    """A new name for every result, in a store in memory; 100 people with three photos each are enrolled already."""
    from castline.gallery.load import RememberedGalleries
    from castline.people import reassemble
    from castline.records import Embedding, PhotoEmbedding
    from castline.runs.complete import Assembler
    from castline.settings import Settings
    from castline.storage import MemoryStore

    rng = np.random.default_rng(results)
    looks = _units(rng, 101).astype(np.float32)
    store, settings = MemoryStore(), Settings()

    def embed(body: bytes) -> PhotoEmbedding:
        return PhotoEmbedding(**Embedding.of(MODEL, looks[int(body)]).model_dump())

    for number in range(100):
        for at in range(PHOTOS):
            store.put(settings.gallery_bucket, f"P{number}/{at}.jpg", b"%d" % number)
    assembler = Assembler(store, settings, embed, load=RememberedGalleries())
    for number in range(results):
        _publish(f"{number:04d}.mp4", [looks[100], looks[number % 100]], assembler)
    store.put(settings.gallery_bucket, "New/0.jpg", b"100")
    start = time.process_time()
    assert len(list(reassemble(store, settings, embed))) == results
    return {"cpu_ms_a_result": round(1000 * (time.process_time() - start) / results, 1)}


def _publish(media: str, looks: list[Any], assembler: Any) -> None:
    """A minute with one face per second, in six units; ``looks`` alternate every ten seconds."""
    from castline import keys
    from castline.records import Frame, FrameFaces, FramesPart, FramesUnit, Manifest, Options, Usage
    from castline.runs.request import read_source

    store, settings = assembler.store, assembler.settings
    run, usage = "0123456789abcdef", Usage(stage="faces", seconds=1, memory_mb=1024)
    store.put(settings.input_bucket, media, b"media")
    units = []
    for index in range(6):
        times = range(10_000 * index, 10_000 * (index + 1), 1000)
        units.append(FramesUnit(index=index, frames=tuple(Frame(time_ms=at, until_ms=at) for at in times)))
        seen = tuple(FrameFaces(time_ms=at, faces=(_face(looks[index % len(looks)]),)) for at in times)
        part = FramesPart(unit=units[-1].name, detector="mtcnn", embedder=MODEL, frames=seen, usage=usage)
        store.put(settings.output_bucket, keys.UnitId(media, run, "frames", index).part_key, part.to_json())
    manifest = Manifest(
        run=run,
        source=read_source(settings.input_bucket, media, store),
        options=Options(),
        probe=None,
        duration_s=60.0,
        sample_times_ms=tuple(range(0, 60_000, 1000)),
        units=tuple(units),
        usage=usage,
    )
    store.put(settings.stage1_bucket, keys.manifest_key(media, run), manifest.to_json())
    assert assembler.complete(media, run)


def _naming(people: int) -> dict[str, float]:
    from castline.engines.plugins import thresholds_for
    from castline.recognition.identity import identify, identify_each
    from castline.recognition.sightings import Enrolled
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
    known, faces = Enrolled.of(gallery, limits), [vector for track in tracks[:3] for vector in track.vectors]
    alone = median_seconds(lambda _: identify_each(faces, known, ["clear"] * len(faces)), 5)
    return {
        "stacking_ms": round(1000 * stacking, 1),
        "per_face_alone_ms": round(1000 * alone / len(faces), 3),
        "per_track_ms": round(1000 * (whole - stacking) / TRACKS, 2),
    }


def _units(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, DIMENSIONS))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(look: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = look + 0.5 * _units(rng, count)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _track(looks: np.ndarray) -> Any:
    from castline.recognition.tracks import FaceTrack

    track = FaceTrack()
    for at, look in enumerate(looks):
        track.add(at, 1000 * at, _face(look))
    return track


def _face(look: np.ndarray) -> Any:
    from castline.records import Embedding, Face

    return Face(
        box=(0.1, 0.2, 0.3, 0.6),
        landmarks=((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3)),
        score=0.999,
        size_px=100,
        sharpness=200,
        quality=0.9,
        embedding=Embedding.of(MODEL, look),
    )
