"""Interfaces to models: what a detector, an embedder and a transcriber must be able to do.

Engines declare themselves with an ``EngineInfo``; command-line choices, the template's parameters
and ``castline models list`` are generated from those declarations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from castline.errors import ModelError
from castline.records import Notice, Segment, SpeechOptions, SpokenLanguage

Image = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3), uint8."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, and where it came from on this machine.

    Attributes:
        id: stable id that is written into parts (``dlib-resnet-v1``); embeddings with different ids
            are never compared.
        role: ``detector``, ``embedder``, ``transcriber``, ``voice_encoder`` or ``active_speaker``.
        trained_on: the data it was trained on and their terms, for people.
        source: where its weights were found, for people (``bundled``, or a path).
        reason: one readable line: why this engine and not a better one.
        languages: BCP-47 codes a transcriber knows; ``("*",)`` if the model decides.
        word_times: whether every word has times, not only every segment.
        translates: whether it can translate other languages into English.
        prompts: whether it accepts an initial prompt and hot words.
        extra: what to ``pip install 'castline[...]'`` for it.
    """

    id: str
    role: str
    title: str
    licence: str
    trained_on: str = ""
    source: str = ""
    reason: str = ""
    dimension: int | None = None
    languages: tuple[str, ...] = ()
    word_times: bool = False
    translates: bool = False
    prompts: bool = False
    extra: str = ""


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


def pixels_inside(image: Image, box: NDArray[np.float32]) -> Image:
    """The box's pixels that are inside the picture; possibly none."""
    x0, y0, x1, y1 = (int(v) for v in np.clip(box, 0, [image.shape[1], image.shape[0]] * 2))
    return image[y0:y1, x0:x1]


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


class VoiceEncoder(Protocol):
    info: EngineInfo

    def embed_voices(self, samples: NDArray[np.float32], windows: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
        """One unit-norm embedding per window, zeros for a silent one: shape (len(windows), dimension), float32.

        Args:
            samples: mono 16 kHz, shape (n,), float32 in -1..1.
            windows: ``(start_s, end_s)``, seconds of the samples.
        """
        ...


class ActiveSpeaker(Protocol):
    info: EngineInfo

    def score_speaking(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32], samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Whether a face produces the speech, in each picture: above 0 it does; shape (len(pictures),), float32.

        Args:
            pictures: grey, shape (h, w), uint8, 25 a second, all of one face in one shot.
            boxes: where the face is in each, pixels, ``x0, y0, x1, y1``, shape (len(pictures), 4).
            samples: mono 16 kHz from the first picture on, shape (n,), float32 in -1..1.
        """
        ...


_NOTHING_SPECIAL = SpeechOptions()


@dataclass(frozen=True, slots=True)
class Speech:
    """A request to transcribe.

    Attributes:
        samples: mono 16 kHz float32 in -1..1, shape (n,).
    """

    samples: NDArray[np.float32]
    options: SpeechOptions = _NOTHING_SPECIAL


@dataclass(frozen=True, slots=True)
class Transcription:
    """Segments with times relative to the first sample.

    Attributes:
        language: the one spoken most.
        languages: the detected ones, the main one first; empty if a language was requested.
        warnings: about what could not be done; times relative to the first sample.
    """

    language: str | None
    segments: tuple[Segment, ...]
    languages: tuple[SpokenLanguage, ...] = ()
    warnings: tuple[Notice, ...] = ()


class Transcriber(Protocol):
    info: EngineInfo

    def transcribe(self, speech: Speech) -> Transcription:
        """Segments in order of time, with words if the engine has word times.

        The options have passed ``check_request``.
        """
        ...


_ENGLISH_ONLY = ("en",)


def check_request(info: EngineInfo, options: SpeechOptions) -> tuple[Notice, ...]:
    """Check that a speech engine can do what is requested: wrong words would be worse than none.

    Returns:
        Warnings about what merely makes the words worse.

    Raises:
        ModelError: a language or a task that the engine does not know.
    """
    code = language_code(options.language)
    if code and info.languages != ("*",) and code not in info.languages:
        raise ModelError(
            f"{info.title} does not know the language {options.language!r}, only {', '.join(info.languages)}"
        )
    if options.task == "translate" and not info.translates:
        raise ModelError(f"{info.title} cannot translate, only transcribe")
    warnings = []
    if (options.prompt or options.hotwords) and not info.prompts:
        message = f"{info.title} takes no prompt and no hot words; they were ignored"
        warnings.append(Notice(code="option_ignored", message=message))
    if code is None and info.languages == _ENGLISH_ONLY:
        message = (
            f"the model knows only English ({info.id}); what is said in another language is written as wrong English "
            "words: give the language (en) if it is English, or take a multilingual model"
        )
        warnings.append(Notice(code="language_guessed", message=message))
    return tuple(warnings)


def language_code(tag: str | None) -> str | None:
    """The engines' name for the language of a BCP-47 tag: ``en-GB`` is ``en``."""
    return tag.replace("_", "-").partition("-")[0].lower() if tag else None
