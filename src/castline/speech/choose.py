"""Which speech engine this machine uses, and why.

A name in the settings: ``auto``, ``pocketsphinx``, ``whisper`` (the best Whisper folder in the models
folder), or ``whisper:<folder>``.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines import EngineInfo, Transcriber
from castline.errors import ModelNotFound
from castline.speech import faster_whisper_engine as whisper
from castline.speech import pocketsphinx_engine as sphinx

if TYPE_CHECKING:
    from castline.settings import Settings

#: Folders of the models folder that hold a CTranslate2 Whisper, better ones first.
_PREFERENCE = ("large-v3-turbo", "distil-large-v3", "large-v3", "medium", "small", "base", "tiny")


def find_whisper(models_dir: Path) -> Path | None:
    """The best complete ``faster-whisper-*`` folder; None when there is none."""
    folders = [path for path in sorted(models_dir.glob("faster-whisper-*")) if not whisper.missing_files(path)]

    def rank(path: Path) -> tuple[int, str]:
        size = path.name.removeprefix("faster-whisper-").removesuffix(".en")
        return (_PREFERENCE.index(size) if size in _PREFERENCE else len(_PREFERENCE), path.name)

    return min(folders, key=rank, default=None)


def can_run_whisper() -> bool:
    """Whether faster-whisper is installed (it is not imported to know)."""
    return importlib.util.find_spec("faster_whisper") is not None


def survey_transcribers(settings: Settings) -> tuple[EngineInfo, ...]:
    """All speech engines, with where they would come from here; loads nothing. No source: not available."""
    folder = find_whisper(settings.models_dir)
    if not can_run_whisper():
        found = replace(whisper.INFO, reason="faster-whisper is not installed")
    elif folder is None:
        found = replace(whisper.INFO, reason=f"its weights are not in {settings.models_dir}")
    else:
        found = replace(whisper.INFO, source=str(folder), reason="in the models folder")
    return found, replace(sphinx.INFO, reason="ships in the package pocketsphinx")


def load_transcriber(settings: Settings) -> Transcriber:
    """The speech engine the settings name; ``auto`` is Whisper where its weights are, else PocketSphinx.

    Raises:
        ModelNotFound: unknown name, or its weights are not to be had.
        ModelCorrupt: the weights are there and cannot be read.
    """
    name, _, path = settings.transcriber.partition(":")
    if name not in ("auto", "whisper", "pocketsphinx") or (path and name != "whisper"):
        asked = settings.transcriber
        raise ModelNotFound(f"there is no speech engine {asked!r}; known: auto, whisper[:<folder>], pocketsphinx")
    available, bundled = survey_transcribers(settings)
    if path:
        folder = Path(path).expanduser()
        info = replace(available, reason="Whisper: the folder that was asked for")
        return whisper.FasterWhisperTranscriber(folder, threads=settings.threads, info=info)
    if name == "pocketsphinx":
        return sphinx.PocketSphinxTranscriber(replace(bundled, reason="PocketSphinx (bundled), as asked for"))
    if available.source:
        info = replace(available, reason=f"Whisper from {available.source}")
        return whisper.FasterWhisperTranscriber(Path(available.source), threads=settings.threads, info=info)
    if name == "whisper":
        raise ModelNotFound(
            f"Whisper: {available.reason}; `castline models fetch` or CASTLINE_MODELS_DIR gives you Whisper"
        )
    return sphinx.PocketSphinxTranscriber(
        replace(bundled, reason=f"PocketSphinx (bundled); Whisper: {available.reason}")
    )
