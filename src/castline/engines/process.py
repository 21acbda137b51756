"""The engines of one process: each loads once, when it is first used.

A process that only ever sees audio never loads a face model.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from aws_lambda_powertools import Logger

from castline.engines.base import ActiveSpeaker, Detector, Embedder, Transcriber, VoiceEncoder
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.weights.from_s3 import copy_models

logger = Logger(child=True)


class EngineSet(Protocol):
    """The models of one process."""

    @property
    def detector(self) -> Detector: ...
    @property
    def embedder(self) -> Embedder: ...
    @property
    def transcriber(self) -> Transcriber: ...
    @property
    def voice_encoder(self) -> VoiceEncoder: ...
    @property
    def active_speaker(self) -> ActiveSpeaker: ...


class Engines:
    """The engines that the settings select, each loaded when first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def detector(self) -> Detector:
        from castline.engines.choose import load_detector

        return load_detector(self._settings)

    @cached_property
    def embedder(self) -> Embedder:
        from castline.engines.choose import load_embedder

        return load_embedder(self._settings)

    @cached_property
    def transcriber(self) -> Transcriber:
        from castline.engines.choose import load_transcriber

        return load_transcriber(self._settings)

    @cached_property
    def voice_encoder(self) -> VoiceEncoder:
        from castline.engines.choose import load_voice_encoder

        return load_voice_encoder(self._settings)

    @cached_property
    def active_speaker(self) -> ActiveSpeaker:
        from castline.engines.choose import load_active_speaker

        return load_active_speaker(self._settings)


_engines: dict[Settings, Engines] = {}


def process_engines(settings: Settings, store: ObjectStore) -> Engines:
    """The engines of this process: models load once, however many events it serves.

    Raises:
        CastlineError: the models could not be copied from S3; the next call tries again.
    """
    if settings not in _engines:
        if settings.model_storage == "s3":
            copied = copy_models(store, settings)
            logger.info("models are in place", written=len(copied.written), bytes=copied.size)
        _engines[settings] = Engines(settings)
    return _engines[settings]
