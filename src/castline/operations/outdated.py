"""Whether what was made earlier is what would be made now, by this machine's engines and with the requested options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from castline import keys
from castline.engines.plugins import ROLES, registered
from castline.engines.speech import find
from castline.engines.speech.choose import others
from castline.errors import ModelCorrupt, ModelError, ModelNotFound, UnreadableObject
from castline.records import AudioPart, ErrorPart, FramesPart, Mouths, Notice, Options, Result
from castline.runs.request import Request
from castline.runs.sets import finished, read_part, run_of, written_parts
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

_NO_MODEL = frozenset(error.code for error in (ModelError, ModelNotFound, ModelCorrupt))
#: Roles without which a unit of a kind is given up.
_NEEDED = {"frames": ("detector", "embedder"), "audio": ("transcriber",)}
#: Roles whose engine was missing, by the notice that says so.
_DONE_WITHOUT = {"no_speech_engine": "transcriber", "no_voices": "voice_encoder", "no_mouths": "active_speaker"}


@dataclass(frozen=True, slots=True)
class Made:
    """What exists of a run.

    Attributes:
        options: those it was made with; None if it did not come to using them.
        engines: pairs of role and engine; there may be several of one role in an unfinished run.
        missed: roles that had no engine. One that the recording does not need is not among them.
        ended: whether every unit has a part.
        result: its result, if that is the published one.
    """

    options: Options | None
    engines: frozenset[tuple[str, str]]
    missed: frozenset[str]
    ended: bool = True
    result: Result | None = None

    @classmethod
    def of(cls, result: Result) -> Self:
        missed = {role for failure in result.failures for role in _given_up(failure.unit, failure.error.code)}
        missed.update(_done_without(result.warnings))
        options = None if result.error else result.options
        return cls(options, frozenset(result.engines.items()), frozenset(missed), result=result)


def made_before(request: Request, store: ObjectStore, settings: Settings) -> Made | None:
    """What exists of the run of a request: its result, or its parts if it has not ended or another run is published.

    Returns:
        None if nothing exists.
    """
    if result := finished(request.source, store, settings):
        return Made.of(result)
    media = request.source.key
    run, manifest = run_of(request, store, settings)
    done, failed = written_parts(media, run, store, settings)
    if manifest is None and not done and not failed:
        return None
    engines: set[tuple[str, str]] = set()
    missed: set[str] = set()
    for unit in (*done.values(), *failed.values()):
        try:
            part = read_part(unit, store, settings, failed=unit.name in failed)
        except UnreadableObject:
            continue  # it is made again when the run is assembled
        engines.update(_used(part))
        missed.update(_given_up(part.unit, part.error.code) if isinstance(part, ErrorPart) else ())
        missed.update(_done_without(part.warnings) if isinstance(part, AudioPart) else ())
    try:
        mouths = read_object(Mouths, store, settings.output_bucket, keys.mouths_key(media, run))
    except UnreadableObject:
        mouths = None  # they are watched again
    if mouths:
        engines.update([("active_speaker", mouths.engine)] if mouths.engine else ())
        missed.update(_done_without(mouths.warnings))
    ended = manifest is not None and {unit.name for unit in manifest.units} <= done.keys() | failed.keys()
    options = request.options if manifest is None else None if manifest.error else manifest.options
    return Made(options, frozenset(engines), frozenset(missed), ended)


def _used(part: FramesPart | AudioPart | ErrorPart) -> Iterator[tuple[str, str]]:
    if isinstance(part, FramesPart):
        yield from (("detector", part.detector), ("embedder", part.embedder))
    elif isinstance(part, AudioPart):
        if part.transcriber:
            yield "transcriber", part.transcriber
        if part.voices:
            yield "voice_encoder", part.voices.model


def _given_up(unit: str, code: str) -> tuple[str, ...]:
    return _NEEDED[unit.partition("-")[0]] if code in _NO_MODEL else ()


def _done_without(warnings: Iterable[Notice]) -> Iterator[str]:
    return (_DONE_WITHOUT[warning.code] for warning in warnings if warning.code in _DONE_WITHOUT)


def outdated(made: Made, request: Request, settings: Settings) -> str:
    """Why it is not what would be made now, in a few words; empty if it is.

    Engines are located but not loaded, so a user's own weights that were replaced under the same name are not noticed.
    """
    if request.error is None and made.options is not None:
        for name in Options.model_fields:
            asked, had = getattr(request.options, name), getattr(made.options, name)
            if asked != had:
                return f"{name} was {_said(had)} and is {_said(asked)}"
    for role in ROLES:
        used = sorted(engine for of, engine in made.engines if of == role)
        if not used and role not in made.missed:
            continue
        now = _now(role, settings)
        other = next((engine for engine in used if not _same(engine, now, role)), None)
        if now and (other or not used):
            return f"{role} was {other or 'none'} and is {now}"
    return ""


def _now(role: str, settings: Settings) -> str:
    """The engine a process would use, as results name it, without details that only its file has; empty for none."""
    name: str = getattr(settings, role)
    if name != "auto":
        return name
    if role == "transcriber":
        best = find.search(settings.models_dir).best
        return f"{best.family.id}:{best.model}" if best else next((engine.id for engine in others(settings)), "")
    ready = (engine.id for engine in registered(role) if engine.rank is not None and engine.survey(settings).source)
    return next(ready, "")


def _same(then: str, now: str, role: str) -> bool:
    """Whether a result's engine is this one; of models given by path, only the engines are compared."""
    (engine, _, model), (engine_now, _, model_now) = then.partition(":"), now.partition(":")
    ids = [known.id for known in registered(role) if engine == known.id or engine.startswith(f"{known.id}-")]
    if max(ids, key=len, default=engine) != engine_now:
        return False
    return not model or not model_now or "/" in model_now or model == model_now


def _said(value: object) -> str:
    return "unset" if value in (None, ()) else str(value)
