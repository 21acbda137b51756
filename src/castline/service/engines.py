"""Maps the engine and model that a client names to the models of this machine.

Nothing is downloaded and no path is followed: a name is valid only if its model is already on this machine.
"""

from __future__ import annotations

from castline.engines.base import language_code
from castline.engines.plugins import Engine, registered
from castline.engines.speech.declared import ALIASES, FASTER_WHISPER, Family, families
from castline.engines.speech.find import in_package
from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings
from castline.weights.packages import PACKAGES

#: The engines whose outputs have a published format of their own.
PUBLISHED = ("openai-whisper", "whisper.cpp")
#: Their model if none is named, as published; it knows English alone.
_USUAL = "small.en"


def models_here(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The models of every installed engine, by the engine's id."""
    return {family.id: tuple(sorted(_models(family, settings))) for family in families() if family.installed()}


def engine_names() -> tuple[str, ...]:
    """The engines that a client may name: ``auto``, and every installed one, also of other packages."""
    return ("auto", *(engine.id for engine in registered("transcriber")))


def others_here(settings: Settings) -> tuple[str, ...]:
    """Installed engines beside the Whisper family that can work on this machine; they are named by their ids alone."""
    return tuple(name for name, engine in _others().items() if engine.survey(settings).source)


def _others() -> dict[str, Engine]:
    return {engine.id: engine for engine in registered("transcriber") if not isinstance(engine, Family)}


def transcriber_for(engine: str, model: str | None, settings: Settings, language: str | None = None) -> str:
    """``castline.settings.Settings.transcriber`` for a client's request.

    An engine beside the Whisper family is used as the deployment configures it, or else with its usual weights.
    If a published engine does not have the model here, faster-whisper is used with the same weights. If no model is
    named, that is small.en for English and a published engine, if it is here; else the engine's best one, or if it has
    none here, the deployment's own choice.

    Raises:
        ModelNotFound: the model or the engine is not on this machine; the message lists the models that are.
    """
    if engine != "auto" and engine not in {family.id for family in families()}:
        return _other(engine, model, settings)
    here = models_here(settings)
    named = ALIASES.get(model, model) if model else _USUAL
    if model or (engine in PUBLISHED and language_code(language) == "en"):
        for each in here if engine == "auto" else (engine, FASTER_WHISPER.id):
            if named in here.get(each, ()):
                return f"{each}:{named}"
    if model is None:
        return engine if here.get(engine) else settings.transcriber
    known = ", ".join(sorted({name for names in here.values() for name in names})) or "none"
    raise ModelNotFound(f"there is no model {model!r} here; there are: {known}")


def _other(engine: str, model: str | None, settings: Settings) -> str:
    there = _others().get(engine)
    info = there.survey(settings) if there else None
    if info is None or not info.source:
        raise ModelNotFound(f"{info.title}: {info.reason}" if info else f"there is no engine {engine!r} here")
    if model is not None:
        raise ModelNotFound(f"{engine} is asked for without a model")
    return settings.transcriber if settings.transcriber.partition(":")[0] == engine else engine


def _models(family: Family, settings: Settings) -> set[str]:
    found = {family.model(path.name) for path in settings.models_dir.glob(family.file("*")) if family.is_there(path)}
    for name in PACKAGES:
        engine, _, model = name.partition(":")
        if engine == family.id:
            try:
                found |= {model} if in_package(family, model) else set()
            except ModelCorrupt:  # treated as missing; `castline models list` reports it
                continue
    return found
