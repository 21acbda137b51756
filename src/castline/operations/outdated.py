"""Whether a result is what would be made now, by the engines on this machine and with the requested options."""

from __future__ import annotations

from castline.engines.plugins import ROLES, registered
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.records import Options, Result, Source
from castline.runs.request import read_request
from castline.settings import Settings
from castline.storage.base import ObjectStore

_NO_MODEL = frozenset(error.code for error in (ModelError, ModelNotFound, ModelCorrupt))
_KINDS = {"detector": "frames", "embedder": "frames", "transcriber": "audio"}


def outdated(result: Result, source: Source, store: ObjectStore, settings: Settings) -> str:
    """Why a result is not what would be made now, in a few words; empty if it is.

    Engines are located but not loaded, so a user's own weights that were replaced under the same name are not noticed.
    """
    request = read_request(source, store, settings)
    if request.error is None and result.error is None:
        asked, had = request.options, result.options
        for name in Options.model_fields:
            if getattr(asked, name) != getattr(had, name):
                return f"{name} was {_said(getattr(had, name))} and is {_said(getattr(asked, name))}"
    # Kinds of units for which there was no engine; a kind that the recording does not have is not such a failure.
    missed = {failure.unit.partition("-")[0] for failure in result.failures if failure.error.code in _NO_MODEL}
    if any(warning.code == "no_speech_engine" for warning in result.warnings):
        missed.add("audio")
    for role in ROLES:
        then, now = result.engines.get(role), _now(role, settings)
        if then is None and _KINDS.get(role) not in missed:
            continue
        if now and not _same(then, now, role):
            return f"{role} was {then or 'none'} and is {now}"
    return ""


def _now(role: str, settings: Settings) -> str:
    """The engine a process would use, as results name it, without details that only its file has; empty for none."""
    name: str = getattr(settings, role)
    if name != "auto":
        return name
    if role == "transcriber":
        from castline.engines.speech.find import search

        best = search(settings.models_dir).best
        if best:
            return f"{best.family.id}:{best.model}"
    ready = (engine.id for engine in registered(role) if engine.rank is not None and engine.survey(settings).source)
    return next(ready, "")


def _same(then: str | None, now: str, role: str) -> bool:
    """Whether a result's engine is this one; of models given by path, only the engines are compared."""
    if then is None:
        return False
    (engine, _, model), (engine_now, _, model_now) = then.partition(":"), now.partition(":")
    ids = [known.id for known in registered(role) if engine == known.id or engine.startswith(f"{known.id}-")]
    if max(ids, key=len, default=engine) != engine_now:
        return False
    return not model or not model_now or "/" in model_now or model == model_now


def _said(value: object) -> str:
    return "unset" if value in (None, ()) else str(value)
