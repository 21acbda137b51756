"""Synthetic faces with chosen similarities, and runs built from them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from castline.engines.plugins import thresholds_for
from castline.engines.thresholds import Thresholds
from castline.recognition.tracks import FaceTrack
from castline.records import (
    AudioPart,
    AudioUnit,
    Box,
    Embedding,
    ErrorPart,
    Face,
    Failure,
    Frame,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Gallery,
    KnownFace,
    Manifest,
    Notice,
    Options,
    Segment,
    Source,
    Usage,
    Word,
)

MODEL = "dlib-resnet-v1"
LEFT: Box = (0.1, 0.2, 0.3, 0.6)
RIGHT: Box = (0.6, 0.2, 0.8, 0.6)


class Make:
    """Builds records; everything that a test does not set is filled in."""

    model = MODEL
    left = LEFT
    right = RIGHT

    @property
    def limits(self) -> Thresholds:
        return thresholds_for(MODEL)

    def look(self, person: int, likeness: float = 1.0, variant: int = 0, **others: float) -> NDArray[np.float32]:
        """A unit vector with the given cosine to ``person``'s own direction, and zero to other persons'.

        Two looks of one person with cosines a and b and different variants have cosine a * b.
        """
        vector = np.zeros(128)
        vector[person] = likeness
        for name, value in others.items():
            vector[int(name.removeprefix("p"))] = value
        vector[64 + variant] = np.sqrt(max(0.0, 1 - float(vector @ vector)))
        return vector.astype(np.float32)

    def face(
        self,
        look: NDArray[np.float32],
        box: Box = LEFT,
        quality: float = 0.9,
        score: float = 0.999,
        crop: str = "",
        size_px: float = 100,
        sharpness: float = 200,
        detail: float = 50,
        blocking: float = 1,
        noise: float = 0,
    ) -> Face:
        return Face(
            box=box,
            landmarks=((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3)),
            score=score,
            size_px=size_px,
            sharpness=sharpness,
            detail=detail,
            blocking=blocking,
            noise=noise,
            quality=quality,
            embedding=Embedding.of(MODEL, look),
            crop=base64.b64encode(crop.encode()).decode() if crop else None,
        )

    def frames(self, *rows: Sequence[Face], step_ms: int = 1000) -> list[FrameFaces]:
        return [FrameFaces(time_ms=at * step_ms, faces=tuple(row)) for at, row in enumerate(rows)]

    def track(
        self, look: NDArray[np.float32], samples: Sequence[int], box: Box = LEFT, quality: float = 0.9
    ) -> FaceTrack:
        track = FaceTrack()
        for sample in samples:
            track.add(sample, sample * 1000, self.face(look, box, quality))
        return track

    def gallery(self, **people: Sequence[NDArray[np.float32]]) -> Gallery:
        faces = tuple(
            KnownFace(name=name, photo=f"{name}/{at}.jpg", embedding=Embedding.of(MODEL, look))
            for name, looks in people.items()
            for at, look in enumerate(looks)
        )
        return Gallery(model=MODEL, fingerprint="f" * 16, faces=faces)

    def words(self, *timed: tuple[float, float, str]) -> tuple[Word, ...]:
        return tuple(Word(start_s=start, end_s=end, text=text) for start, end, text in timed)

    def segment(self, *timed: tuple[float, float, str], **fields: object) -> Segment:
        """A segment with timed words."""
        return Segment(
            start_s=timed[0][0],
            end_s=timed[-1][1],
            text=" ".join(text for _, _, text in timed),
            words=self.words(*timed),
            **fields,
        )

    def audio_unit(
        self, index: int, start_s: float, end_s: float, *, hard_cut: bool = False, level_db: float | None = None
    ) -> AudioUnit:
        return AudioUnit(index=index, start_s=start_s, end_s=end_s, hard_cut=hard_cut, level_db=level_db)

    def audio_part(
        self,
        index: int,
        *segments: Segment,
        language: str | None = "en",
        steps: dict[str, float] | None = None,
        transcriber: str | None = "faster-whisper:tiny.en",
        warnings: Sequence[Notice] = (),
    ) -> AudioPart:
        return AudioPart(
            unit=f"audio-{index:04d}",
            transcriber=transcriber,
            language=language,
            segments=segments,
            warnings=tuple(warnings),
            usage=Usage(stage="speech", seconds=2.0, memory_mb=2048, steps=steps or {}),
        )

    def frames_part(
        self, index: int, frames: Sequence[FrameFaces], steps: dict[str, float] | None = None
    ) -> FramesPart:
        return FramesPart(
            unit=f"frames-{index:04d}",
            detector="mtcnn",
            embedder=MODEL,
            frames=tuple(frames),
            usage=Usage(stage="faces", seconds=3.0, memory_mb=2048, steps=steps or {}),
        )

    def frames_unit(self, index: int, *times: int | tuple[int, int]) -> FramesUnit:
        pairs = [time if isinstance(time, tuple) else (time, time) for time in times]
        return FramesUnit(index=index, frames=tuple(Frame(time_ms=at, until_ms=until) for at, until in pairs))

    def error_part(self, unit: str, code: str = "retries_exhausted") -> ErrorPart:
        return ErrorPart(unit=unit, error=Failure(code=code, message="gave up"))

    def manifest(self, *units: FramesUnit | AudioUnit, **fields: object) -> Manifest:
        values: dict[str, object] = {
            "run": "0123456789abcdef",
            "source": Source(bucket="castline-input", key="talk.mp4", etag="e", version=None, size=1),
            "options": Options(),
            "probe": None,
            "duration_s": 10.0,
            "sampling": "interval",
            "units": units,
            "usage": Usage(stage="split", seconds=1.5, memory_mb=1024, steps={"decode": 1.0}),
        }
        return Manifest.model_validate({**values, **fields})


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
