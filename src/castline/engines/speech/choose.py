"""Which model of the Whisper family this machine uses, and why.

A name in the settings:

    auto                      the first of the following whose package and weights are here
    faster-whisper[:<model>]  a folder faster-whisper-<model>/ in CTranslate2's format
    whisper.cpp[:<model>]     a file ggml-<model>.bin
    openai-whisper[:<model>]  a file whisper-<model>.pt

Without a model name, an engine uses the best model on this machine (``declared.MODELS`` is the order; others come
last). A model is searched in this order: a path; the models folder; a package that carries it
(``weights/packages.py``); a download, for the usual names that have a pinned digest. ``auto`` downloads nothing new,
and prefers models in the models folder, for any engine, to those in packages. Damaged weights in the models folder are
fetched again once if a digest is known; a user's own file is never touched. If weights stay damaged, ``auto`` goes on
to the next best and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from castline.engines.base import Transcriber
from castline.engines.plugins import Engine, downloads, registered
from castline.engines.speech import find
from castline.engines.speech.declared import ALIASES, MODELS, Family
from castline.engines.speech.find import Found
from castline.errors import ModelCorrupt, ModelError, ModelNotFound, NoSpeechEngine
from castline.weights.download import fetch, repair
from castline.weights.downloads import WHISPER

if TYPE_CHECKING:
    from castline.settings import Settings


def load_best(settings: Settings) -> Transcriber:
    """The best engine on this machine: a Whisper, or else another engine with a rank whose weights are here.

    Raises:
        NoSpeechEngine: there is no speech engine.
        ModelCorrupt: the weights of all engines here are damaged.
    """
    searched = find.search(settings.models_dir)
    damaged = [error.message for error in searched.damaged]
    for found in searched.found:
        reason = "; ".join([f"{found.family.info.title} from {found.path}, the best whose weights are here", *damaged])
        try:
            return _load(found, settings, reason)
        except ModelCorrupt as error:
            damaged.append(error.message)
    for engine in others(settings):
        try:
            return cast(Transcriber, engine.load("", settings, asked=False))
        except ModelError as error:
            damaged.append(error.message)
    if damaged:
        raise ModelCorrupt("; ".join(damaged))
    surveyed = (engine.survey(settings) for engine in registered("transcriber"))
    missed = "; ".join(f"{info.id}: {info.reason}" for info in surveyed)
    raise NoSpeechEngine(f"there is no speech engine here; {missed}")


def others(settings: Settings) -> Iterator[Engine]:
    """What ``auto`` tries if no Whisper is here: the other engines with a rank whose weights are here, best first."""
    for engine in registered("transcriber"):
        if engine.rank is not None and not isinstance(engine, Family) and engine.survey(settings).source:
            yield engine


def load_asked(family: Family, model: str, settings: Settings) -> Transcriber:
    """An engine with a named model, or with the best on this machine.

    Raises:
        ModelNotFound: its package is not installed, or its weights are not available.
        ModelCorrupt: the weights cannot be read, and could not be fetched again.
    """
    if not family.installed():
        raise ModelNotFound(f"{family.info.title}: {find.survey(family, settings.models_dir).reason}")
    if model:
        try:
            found = ensure_model(family, model, settings.models_dir)
        except ModelNotFound as error:
            raise ModelNotFound(f"{error.message}; {_instead(settings)}") from error
    elif best := find.best_of(family, settings.models_dir):
        found = best
    else:
        missed = find.survey(family, settings.models_dir).reason
        raise ModelNotFound(
            f"{family.info.title}: {missed}; {_fetched(family)}CASTLINE_MODELS_DIR gives you its models; "
            f"{_instead(settings)}"
        )
    return _load(found, settings, f"{family.info.title} from {found.path}, as asked for")


def _fetched(family: Family) -> str:
    """The command that downloads a model of a family, and ``or``; empty if none can be downloaded."""
    offered = [name for name in downloads() if name.startswith(f"{family.id}:")]
    usual = family.id + WHISPER[WHISPER.index(":") :]
    return f"`castline models fetch {usual if usual in offered else offered[0]}` or " if offered else ""


def _instead(settings: Settings) -> str:
    """What ``auto`` would use. It is only suggested: a model other than the named one would be worse than none."""
    best = find.search(settings.models_dir).best
    if best:
        return f"CASTLINE_TRANSCRIBER=auto would take {best.family.id}:{best.model} ({best.where})"
    if other := next(others(settings), None):
        return f"CASTLINE_TRANSCRIBER=auto would take {other.id}"
    return "CASTLINE_TRANSCRIBER=auto would find none either, and leave speech out"


def ensure_model(family: Family, model: str, models_dir: Path) -> Found:
    """Find a named model: a path, the models folder, a package, or a download into the folder.

    A usual name is never a path; write ``./base`` for a file of that name.

    Raises:
        ModelNotFound: none of them has it; the message says what can be done.
        ModelCorrupt: the server sent something else; or the package's model is damaged, and no other is available.
    """
    model = ALIASES.get(model, model)
    known = models_dir / family.file(model)
    name, offered = f"{family.id}:{model}", downloads()
    if model not in MODELS and name not in offered:
        own = Path(model).expanduser()
        if own.exists():
            return Found(family, family.model(own.name), own)
        if not known.exists():
            raise ModelNotFound(
                f"there is no model {model!r}: it is not a path, {known} does not exist, and the usual names are "
                f"{', '.join(MODELS)}"
            )
    if family.is_there(known):
        return Found(family, model, known)
    damaged: ModelCorrupt | None = None
    try:
        if carried := find.in_package(family, model):
            return carried
    except ModelCorrupt as error:
        damaged = error
    if name not in offered:
        raise ModelNotFound(
            f"{known} does not exist, and no digest of {name} is known to check a download with: put it there yourself"
        )
    try:
        fetch(name, models_dir, known=offered)
    except ModelError as refused:
        if damaged:
            raise ModelCorrupt(f"{damaged.message}; fetching it failed: {refused.message}") from refused
        raise
    return Found(family, model, known)


def _load(found: Found, settings: Settings, reason: str) -> Transcriber:
    family, path = found.family, found.path
    info = replace(family.info, reason=reason)

    def load() -> Transcriber:
        engine = family.build(path, threads=settings.threads, device=settings.device, info=info)
        if found.package:  # packages name their folders differently
            engine.info = replace(engine.info, id=f"{family.id}:{found.model}")
        return engine

    try:
        return load()
    except ModelCorrupt as error:
        name = f"{family.id}:{found.model}"
        if path != settings.models_dir / path.name or name not in downloads():
            raise
        try:
            repaired = repair(name, settings.models_dir, known=downloads())
        except ModelError as refused:
            raise ModelCorrupt(f"{error.message}; fetching it again failed: {refused.message}") from error
        if not repaired:
            raise
    return load()
