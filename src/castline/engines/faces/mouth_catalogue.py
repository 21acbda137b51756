"""Castline's own engine for speaking faces: ``lr-asd[:<file>]``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.base import ActiveSpeaker, EngineInfo
from castline.engines.plugins import Engine
from castline.errors import ModelCorrupt
from castline.weights import locate, prepare

if TYPE_CHECKING:
    from castline.settings import Settings


class LrAsd(Engine):
    info = EngineInfo(
        id="lr-asd",
        role="active_speaker",
        title="LR-ASD (finetuned on TalkSet)",
        licence="MIT",
        trained_on="AVA-ActiveSpeaker (films) and TalkSet (made of VoxCeleb 2 and LRS 3), for research",
    )
    rank = 10

    def survey(self, settings: Settings) -> EngineInfo:
        folder = settings.models_dir
        if (made := folder / locate.MOUTH_FILE).is_file():
            return replace(self.info, source=str(made), reason="in the models folder")
        if prepare.can_make_mouth(folder):
            weights = folder / locate.MOUTH_WEIGHTS_FILE
            return replace(self.info, source=str(weights), reason="in the models folder, to be converted once")
        lack = f"{made.name} is not in {folder}; `castline models fetch lr-asd` gets it (3 MB), and onnx converts it"
        return replace(self.info, reason=lack)

    def prepare(self, argument: str, settings: Settings, *, asked: bool = True) -> None:
        if not argument:
            prepare.ensure_mouth(settings.models_dir, download=asked)

    def load(self, argument: str, settings: Settings, *, asked: bool = True) -> ActiveSpeaker:
        from castline.engines.faces.lr_asd import LRASD

        file = locate.explicit(argument) if argument else prepare.ensure_mouth(settings.models_dir, download=asked)
        info = replace(self.info, source=str(file), reason=f"{self.info.title} ({file})")
        try:
            return LRASD(file, threads=settings.threads, device=settings.device, info=info)
        except ModelCorrupt as error:
            again = "" if argument else "; delete it to have it made again"
            raise ModelCorrupt(f"{error.message}{again}", detail=error.detail) from error

    def files(self, settings: Settings) -> list[Path]:
        weights = settings.models_dir / locate.MOUTH_WEIGHTS_FILE
        return [*super().files(settings), *([weights] if weights.is_file() else [])]
