"""Published runs in a store in memory, in which a picture's first letter says who is on it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from castline import keys
from castline.errors import GalleryError
from castline.people import reassemble
from castline.records import (
    AudioPart,
    AudioUnit,
    Box,
    Embedding,
    Face,
    Frame,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Manifest,
    Options,
    PhotoEmbedding,
    Result,
    Segment,
    Usage,
)
from castline.runs.common import read_result
from castline.runs.complete import complete_run
from castline.runs.request import read_source
from castline.settings import Settings
from castline.storage import MemoryStore

MODEL = "dlib-resnet-v1"
_RUN = "0123456789abcdef"
_USAGE = Usage(stage="faces", seconds=1, memory_mb=1024)


class People:
    """A gallery and results, and short ways to fill them."""

    model = MODEL

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.settings = Settings()
        self.embedded: list[bytes] = []

    def look(self, letter: str, model: str = MODEL) -> Embedding:
        vector = np.random.default_rng(ord(letter)).normal(size=128).astype(np.float32)
        return Embedding.of(model, vector / np.linalg.norm(vector))

    def embed(self, body: bytes) -> PhotoEmbedding:
        """Photos say who is on them: ``A…`` is one person, ``?…`` is nobody, ``A-blurred`` is of poor quality."""
        self.embedded.append(body)
        if body.startswith(b"?"):
            raise GalleryError("no face found in the photo")
        grade = "poor" if body.endswith(b"-blurred") else "clear"
        return PhotoEmbedding(**self.look(chr(body[0])).model_dump(), grade=grade)

    def face(self, letter: str, crop: bytes | None = None, quality: float = 0.9, left: float = 0.1) -> Face:
        box: Box = (left, 0.1, left + 0.2, 0.5)
        return Face(
            box=box,
            landmarks=((0.15, 0.2), (0.25, 0.2), (0.2, 0.3), (0.15, 0.4), (0.25, 0.4)),
            score=0.999,
            size_px=120,
            sharpness=200,
            quality=quality,
            embedding=self.look(letter),
            crop=base64.b64encode(crop).decode() if crop else None,
        )

    def publish(
        self, media: str, *frames: Sequence[Face], said: str = "", model: str = MODEL, run: str = _RUN
    ) -> Result:
        """A finished run with one frame per second, one frames unit for every two of them, and one sentence."""
        store, settings = self.store, self.settings
        parts: list[FramesPart | AudioPart] = []
        units: list[FramesUnit | AudioUnit] = []
        for index in range((len(frames) + 1) // 2):
            times = range(2 * index, min(2 * index + 2, len(frames)))
            seen = tuple(FrameFaces(time_ms=1000 * at, faces=tuple(frames[at])) for at in times)
            units.append(
                FramesUnit(index=index, frames=tuple(Frame(time_ms=1000 * t, until_ms=1000 * t) for t in times))
            )
            parts.append(FramesPart(unit=units[-1].name, detector="mtcnn", embedder=model, frames=seen, usage=_USAGE))
        if said:
            spoken = (Segment(start_s=0.0, end_s=0.9, text=said),)
            units.append(AudioUnit(index=0, start_s=0.0, end_s=1.0))
            parts.append(AudioPart(unit="audio-0000", transcriber="fake", language="en", segments=spoken, usage=_USAGE))
        store.put(settings.input_bucket, media, b"media")
        source = read_source(settings.input_bucket, media, store)
        assert source
        manifest = Manifest(
            run=run,
            source=source,
            options=Options(),
            probe=None,
            duration_s=float(len(frames) or 1),
            sample_times_ms=tuple(1000 * at for at in range(len(frames))),
            units=tuple(units),
            usage=_USAGE,
        )
        store.put(settings.stage1_bucket, keys.manifest_key(media, run), manifest.to_json())
        for unit, part in zip(units, parts, strict=True):
            key = keys.UnitId(media, run, unit.kind, unit.index).part_key
            store.put(settings.output_bucket, key, part.to_json())
        assert complete_run(media, run, store, settings, self.embed if model == MODEL else None)
        return self.result(media)

    def result(self, media: str) -> Result:
        result = read_result(media, self.store, self.settings)
        assert result
        return result

    def names(self, media: str) -> list[tuple[str, str]]:
        return [(person.name, person.identity) for person in self.result(media).people]

    def enrolled(self, people: Mapping[str, Sequence[bytes]] = {}, /, **more: Sequence[bytes]) -> None:
        """Photos by name, stored as any client would store them."""
        for name, bodies in {**people, **more}.items():
            for at, body in enumerate(bodies):
                self.store.put(self.settings.gallery_bucket, f"{name}/{at}.jpg", body)

    def reassemble(self, *, everything: bool = False) -> list[str]:
        return list(reassemble(self.store, self.settings, self.embed, everything=everything))

    def gallery(self) -> dict[str, bytes]:
        """Photos by key."""
        return {
            key: body
            for (bucket, key), body in self.store.objects.items()
            if bucket == self.settings.gallery_bucket and not key.startswith(".")
        }

    def published(self, media: str) -> dict[str, bytes]:
        return {
            key.removeprefix(f"{media}/"): body
            for (bucket, key), body in self.store.objects.items()
            if bucket == self.settings.output_bucket and keys.is_view(key.removeprefix(f"{media}/"))
        }


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    def make(content: bytes, name: str = "photo.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make
