"""Which of this machine's models a client gets for the engine and the model it names.

Nothing is downloaded and no path is followed: a name counts only where its model is here already.
"""

from __future__ import annotations

from castline.engines.speech.declared import ALIASES, FASTER_WHISPER, Family, families
from castline.engines.speech.find import in_package
from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings
from castline.weights.packages import PACKAGES

#: The engines whose outputs have a published shape of their own.
PUBLISHED = ("openai-whisper", "whisper.cpp")


def models_here(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The models of every installed engine, by the engine's id."""
    return {family.id: tuple(sorted(_models(family, settings))) for family in families() if family.installed()}


def transcriber_for(engine: str, model: str | None, settings: Settings) -> str:
    """``castline.settings.Settings.transcriber`` for a client's request.

    A published engine that has no such model here is stood in for by faster-whisper with the same weights; where no
    model is named, and the engine has none here, the deployment's own choice is taken.

    Raises:
        ModelNotFound: no such model is here; the message lists those that are.
    """
    here = models_here(settings)
    if model is None:
        return engine if here.get(engine) else settings.transcriber
    model = ALIASES.get(model, model)
    for each in here if engine == "auto" else (engine, FASTER_WHISPER.id):
        if model in here.get(each, ()):
            return f"{each}:{model}"
    known = ", ".join(sorted({name for names in here.values() for name in names})) or "none"
    raise ModelNotFound(f"there is no model {model!r} here; there are: {known}")


def _models(family: Family, settings: Settings) -> set[str]:
    found = {family.model(path.name) for path in settings.models_dir.glob(family.file("*")) if family.is_there(path)}
    for name in PACKAGES:
        engine, _, model = name.partition(":")
        if engine == family.id:
            try:
                found |= {model} if in_package(family, model) else set()
            except ModelCorrupt:  # as if it were not here; `castline models list` says so
                continue
    return found
