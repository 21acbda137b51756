"""Which speech engine this machine uses, and why.

A name in the settings:

    auto                      the first of the following whose package and weights are here
    faster-whisper[:<model>]  a folder faster-whisper-<model>/ in CTranslate2's format
    whisper.cpp[:<model>]     a file ggml-<model>.bin
    openai-whisper[:<model>]  a file whisper-<model>.pt
    pocketsphinx              bundled; US English

Without a model an engine takes the best that is in the models folder (``declared.MODELS`` is the order; others
come last). A model is searched in this order: a path; the models folder; a download, for the usual names that
have a pinned digest. ``auto`` downloads nothing new. Weights in the models folder that turn out damaged are
fetched again once where a digest is known; a file of somebody's own is never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines import EngineInfo, Transcriber
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.models.download import fetch, repair
from castline.models.downloads import DOWNLOADS, WHISPER
from castline.speech import pocketsphinx_engine as sphinx
from castline.speech.declared import (
    ALIASES,
    CHOICES,
    FAMILIES,
    FASTER_WHISPER,
    MODELS,
    OPENAI_WHISPER,
    POCKETSPHINX,
    WHISPER_CPP,
    Family,
)
from castline.speech.faster_whisper_engine import FasterWhisperTranscriber, missing_files
from castline.speech.openai_whisper_engine import OpenAIWhisperTranscriber
from castline.speech.whisper_cpp_engine import WhisperCppTranscriber

if TYPE_CHECKING:
    from castline.settings import Settings

_ENGINES: dict[str, Callable[..., Transcriber]] = {
    FASTER_WHISPER.id: FasterWhisperTranscriber,
    WHISPER_CPP.id: WhisperCppTranscriber,
    OPENAI_WHISPER.id: OpenAIWhisperTranscriber,
}


def find_model(family: Family, models_dir: Path) -> Path | None:
    """The best model of a family in the models folder; None when there is none."""

    def rank(path: Path) -> tuple[int, str]:
        model = family.model(path.name)
        return (MODELS.index(model) if model in MODELS else len(MODELS), path.name)

    found = models_dir.glob(family.file("*"))
    return min((path for path in found if _is_there(family, path)), key=rank, default=None)


def _is_there(family: Family, path: Path) -> bool:
    return not missing_files(path) if family is FASTER_WHISPER else path.is_file()


def survey_transcribers(settings: Settings) -> tuple[EngineInfo, ...]:
    """All speech engines, with where they would come from here; loads nothing. No source: not available."""
    found = (_surveyed(family, settings.models_dir) for family in FAMILIES)
    return (*found, replace(sphinx.INFO, reason="ships in the package pocketsphinx"))


def _surveyed(family: Family, models_dir: Path) -> EngineInfo:
    path = find_model(family, models_dir)
    if not family.installed():
        return replace(family.info, reason=f"{family.id} is not installed: pip install 'castline[{family.info.extra}]'")
    if path is None:
        return replace(family.info, reason=f"its weights are not in {models_dir}")
    return replace(family.info, source=str(path), reason="in the models folder")


def load_transcriber(settings: Settings) -> Transcriber:
    """The speech engine the settings name; ``auto`` is the best whose weights are here.

    Raises:
        ModelNotFound: unknown name, its package is not installed, or its weights are not to be had.
        ModelCorrupt: the weights are there and cannot be read, and could not be fetched again.
    """
    asked, _, model = settings.transcriber.partition(":")
    families = {family.id: family for family in FAMILIES}
    if asked in families and (model or not settings.transcriber.endswith(":")):
        return _load_asked(families[asked], model, settings)
    if model or asked not in ("auto", POCKETSPHINX):
        raise ModelNotFound(f"there is no speech engine {settings.transcriber!r}; known: {', '.join(CHOICES)}")
    if asked == POCKETSPHINX:
        return _sphinx("PocketSphinx (bundled), as asked for")
    *surveyed, _ = survey_transcribers(settings)
    for info in surveyed:
        if info.source:
            reason = f"{info.title} from {info.source}, the best whose weights are here"
            return _load(families[info.id], Path(info.source), settings, reason)
    missed = "; ".join(f"{info.id}: {info.reason}" for info in surveyed)
    return _sphinx(f"PocketSphinx (bundled); {missed}")


def _sphinx(reason: str) -> Transcriber:
    return sphinx.PocketSphinxTranscriber(replace(sphinx.INFO, reason=reason))


def _load_asked(family: Family, model: str, settings: Settings) -> Transcriber:
    info = _surveyed(family, settings.models_dir)
    if not family.installed():
        raise ModelNotFound(f"{family.info.title}: {info.reason}")
    if model:
        try:
            path = ensure_model(family, model, settings.models_dir)
        except ModelNotFound as error:
            raise ModelNotFound(f"{error.message}; {_instead(settings)}") from error
    elif info.source:
        path = Path(info.source)
    else:
        suggested = family.id + WHISPER[WHISPER.index(":") :]
        raise ModelNotFound(
            f"{family.info.title}: {info.reason}; `castline models fetch {suggested}` or CASTLINE_MODELS_DIR "
            f"gives you Whisper; {_instead(settings)}"
        )
    return _load(family, path, settings, f"{family.info.title} from {path}, as asked for")


def _instead(settings: Settings) -> str:
    """What ``auto`` would take; said, not done: other words than those asked for would be worse than none."""
    best = next(info for info in survey_transcribers(settings) if info.source)
    return f"CASTLINE_TRANSCRIBER=auto would take {best.title} ({best.source})"


def ensure_model(family: Family, model: str, models_dir: Path) -> Path:
    """Where a model asked for by name is: a path, the models folder, or downloaded into it.

    A usual name is never a path; write ``./base`` for a file of that name.

    Raises:
        ModelNotFound: none of them, with what can be done.
        ModelCorrupt: what the server sent is not the model.
    """
    model = ALIASES.get(model, model)
    known = models_dir / family.file(model)
    if model not in MODELS:
        own = Path(model).expanduser()
        if own.exists():
            return own
        if not known.exists():
            raise ModelNotFound(
                f"there is no model {model!r}: it is no path, {known} does not exist, and the usual names are "
                f"{', '.join(MODELS)}"
            )
    if not _is_there(family, known):
        name = f"{family.id}:{model}"
        if name not in DOWNLOADS:
            raise ModelNotFound(
                f"{known} does not exist, and no digest of {name} is known to check a download with: put it there "
                "yourself"
            )
        fetch(name, models_dir)
    return known


def _load(family: Family, path: Path, settings: Settings, reason: str) -> Transcriber:
    info = replace(family.info, reason=reason)

    def load() -> Transcriber:
        engine = _ENGINES[family.id]
        return engine(path, threads=settings.threads, info=info)

    try:
        return load()
    except ModelCorrupt as error:
        name = f"{family.id}:{family.model(path.name)}"
        if path != settings.models_dir / path.name or name not in DOWNLOADS:
            raise
        try:
            repaired = repair(name, settings.models_dir)
        except ModelError as refused:
            raise ModelCorrupt(f"{error.message}; fetching it again failed: {refused.message}") from error
        if not repaired:
            raise
    return load()
