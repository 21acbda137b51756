"""Seams to models: what a detector, an embedder and a transcriber must be able to do.

Engines declare themselves with an ``EngineInfo``; command-line choices, the template's parameters
and ``castline models list`` are generated from those declarations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from castline.records import Segment

Image = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3), uint8."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, and where it came from on this machine.

    Attributes:
        id: stable id that is written into parts (``dlib-resnet-v1``); embeddings with different ids
            are never compared.
        role: ``detector``, ``embedder`` or ``transcriber``.
        source: where its weights were found, for people (``bundled``, or a path).
        reason: one readable line: why this engine and not a better one.
    """

    id: str
    role: str
    title: str
    licence: str
    source: str = ""
    reason: str = ""
    dimension: int | None = None
    languages: tuple[str, ...] = ()
    word_times: bool = False


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """One face in pixels of the given image.

    Attributes:
        box: float32 (4,), ``x0, y0, x1, y1``; may reach over the image's border.
        landmarks: float32 (5, 2), eyes, nose, mouth corners, image left before image right.
        score: probability, 0..1.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float


class Detector(Protocol):
    info: EngineInfo

    def detect(self, images: Sequence[Image]) -> list[list[DetectedFace]]:
        """Faces of each image, best score first. Images of one call may differ in size."""
        ...


class Embedder(Protocol):
    info: EngineInfo

    def embed(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        """One unit-norm embedding per face, shape (len(faces), dimension), float32."""
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """A request to transcribe.

    Attributes:
        samples: mono 16 kHz float32 in -1..1, shape (n,).
        language: BCP-47 tag, or None to detect (engines with one language ignore it).
    """

    samples: NDArray[np.float32]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """Segments with times relative to the first sample."""

    language: str | None
    segments: tuple[Segment, ...]


class Transcriber(Protocol):
    info: EngineInfo

    def transcribe(self, speech: Speech) -> Transcription: ...
