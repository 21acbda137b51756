"""Castline's own voice encoder: ``ge2e[:<file>]``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.base import EngineInfo, VoiceEncoder
from castline.engines.plugins import Engine
from castline.engines.thresholds import VoiceThresholds
from castline.errors import ModelCorrupt
from castline.weights import locate, prepare

if TYPE_CHECKING:
    from castline.settings import Settings


class GE2E(Engine):
    info = EngineInfo(
        id="ge2e",
        role="voice_encoder",
        title="GE2E LSTM (resemblyzer's weights)",
        licence="Apache-2.0",
        trained_on="LibriSpeech, VoxCeleb 1 and 2: about 9000 people who speak, for research",
        dimension=256,
    )
    rank = 10
    #: Measured on 20 mixes of eight people (docs/VOICES.md): DER 0.073, JER 0.087; mixes of strangers become one
    #: voice from 0.62 downwards.
    same_voice = 0.68
    #: Chosen on held-in speakers, measured on others (docs/VOICES.md, "Strangers").
    voice_thresholds = VoiceThresholds(known=0.80, ambiguous=0.74, unlike=0.62, apart=0.05)

    def survey(self, settings: Settings) -> EngineInfo:
        file = settings.models_dir / locate.VOICE_FILE
        if file.is_file():
            return replace(self.info, source=str(file), reason="in the models folder")
        if prepare.can_make_voice():
            return replace(self.info, source="bundled", reason="ships in resemblyzer")
        lack = f"{file.name} is not in {settings.models_dir}, and resemblyzer and onnx are not installed to make it"
        return replace(self.info, reason=lack)

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        if not argument:
            prepare.ensure_voice(settings.models_dir)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> VoiceEncoder:
        from castline.engines.speech.voices import GE2EEncoder

        file = locate.explicit(argument) if argument else prepare.ensure_voice(settings.models_dir)
        info = replace(self.info, source=str(file), reason=f"{self.info.title} ({file})")
        try:
            return GE2EEncoder(file, threads=settings.threads, device=settings.device, info=info)
        except ModelCorrupt as error:
            again = "" if argument else "; delete it to have it made again"
            raise ModelCorrupt(f"{error.message}{again}", detail=error.detail) from error

    def files(self, settings: Settings) -> list[Path]:
        if self.survey(settings).source != "bundled":
            return super().files(settings)
        found = locate.find_voice_weights()
        return [found] if found else []
