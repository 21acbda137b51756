"""Which engine of a role this process uses, and why.

A name in the settings is ``auto``, an engine's id, or ``id:argument`` (a file, a folder, a model) where it takes one.
``auto`` takes the first ranked engine whose weights are present, and downloads nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from castline.engines.base import ActiveSpeaker, Detector, Embedder, EngineInfo, Transcriber, VoiceEncoder
from castline.engines.plugins import OPTIONAL, ROLES, Engine, Loaded, find_engine, registered
from castline.errors import ModelCorrupt, ModelError, ModelNotFound

if TYPE_CHECKING:
    from castline.settings import Settings


def survey(settings: Settings, *roles: str) -> tuple[EngineInfo, ...]:
    """All engines of these roles (of every role if none is named), and where this machine would load them from.

    Loads and downloads nothing. ``source`` is empty for an engine that is not available; ``reason`` says why.
    """
    return tuple(engine.survey(settings) for role in roles or ROLES for engine in registered(role))


def load_detector(settings: Settings) -> Detector:
    """The face detector the settings name.

    Raises:
        ModelNotFound: unknown name, or its files are not available.
        ModelCorrupt: a file is there, but is not a model.
    """
    return cast(Detector, _load("detector", settings.detector, settings))


def load_embedder(settings: Settings) -> Embedder:
    """The face embedder the settings name; ``auto`` is the first ranked one available.

    Raises:
        ModelNotFound: unknown name, or its file is not available.
        ModelCorrupt: the file is there, but is not the expected one.
    """
    return cast(Embedder, _load("embedder", settings.embedder, settings))


def load_transcriber(settings: Settings) -> Transcriber:
    """The speech engine the settings name; ``auto`` is the best whose weights are here.

    Raises:
        NoSpeechEngine: ``auto``, and there is none.
        ModelNotFound: unknown name, its package is not installed, or its weights are not available.
        ModelCorrupt: the weights are there, but cannot be read or fetched again; for ``auto``, those
            of all engines that have any.
    """
    if settings.transcriber == "auto":
        from castline.engines.speech.choose import load_best

        return load_best(settings)
    return cast(Transcriber, _load("transcriber", settings.transcriber, settings))


def load_voice_encoder(settings: Settings) -> VoiceEncoder:
    """The voice encoder the settings name; ``auto`` is the first ranked one available.

    Raises:
        ModelNotFound: unknown name, or its file is not available.
        ModelCorrupt: the file is there, but is not the expected one.
    """
    return cast(VoiceEncoder, _load("voice_encoder", settings.voice_encoder, settings))


def load_active_speaker(settings: Settings) -> ActiveSpeaker:
    """The engine for speaking faces that the settings name; ``auto`` is the first ranked one available.

    Raises:
        ModelNotFound: unknown name, or its file is not available.
        ModelCorrupt: the file is there, but is not the expected one.
    """
    return cast(ActiveSpeaker, _load("active_speaker", settings.active_speaker, settings))


def named_engine(role: str, settings: Settings) -> EngineInfo | None:
    """The engine that the settings name, and where its weights are on this machine; None for ``auto``.

    Raises:
        ModelNotFound: there is none of this name.
    """
    name: str = getattr(settings, role)
    return None if name == "auto" else _asked(role, name)[0].survey(settings)


def prepare(role: str, settings: Settings) -> None:
    """Prepare what ``load_…`` will load, so that no two processes do so at once.

    Raises:
        ModelNotFound, ModelCorrupt: as ``load_…`` does; not for an optional role that is left to ``auto``.
    """
    name: str = getattr(settings, role)
    if name != "auto":
        engine, argument = _asked(role, name)
        engine.prepare(argument, settings)
    elif role in OPTIONAL:
        with suppress(ModelNotFound):
            _best(role, settings)
    elif role != "transcriber":
        _best(role, settings)


def choices(role: str) -> tuple[str, ...]:
    """What people may write for a role, for help texts and errors."""
    return ("auto", *(f"{engine.id}[:{engine.argument}]" for engine in registered(role)))


def names_pattern(role: str) -> str:
    """A regular expression that every valid name of a role in the settings matches, and nothing else.

    Without groups that capture and without escapes but ``\\.``, so that CloudFormation (``AllowedPattern``,
    Java) reads it as Python does.
    """
    ids = "|".join(engine.id.replace(".", "\\.") for engine in registered(role))
    return f"^(?:auto|(?:{ids})(?::.+)?)$"


def _load(role: str, name: str, settings: Settings) -> Loaded:
    if name != "auto":
        engine, argument = _asked(role, name)
        return engine.load(argument, settings)
    engine, missed = _best(role, settings)
    loaded = engine.load("", settings, asked=False)
    short = f"{loaded.info.title} ({loaded.info.source})"
    loaded.info = replace(loaded.info, reason="; ".join([short, *missed]))
    return loaded


def _asked(role: str, name: str) -> tuple[Engine, str]:
    engine_id, colon, argument = name.partition(":")
    try:
        engine = find_engine(engine_id if argument or not colon else name)
    except ModelNotFound as error:
        known = ", ".join(choices(role))
        raise ModelNotFound(f"there is no {role} {name!r}; known: {known}") from error
    if engine.info.role != role:
        raise ModelNotFound(f"{engine_id} is an engine of the role {engine.info.role}, not {role}")
    return engine, argument


def _best(role: str, settings: Settings) -> tuple[Engine, list[str]]:
    """The first engine of a role that ``auto`` can use, prepared, and why it passed over those before.

    Weights that are there but cannot be read are an error, not skipped: they were put there to be used.
    """
    missed: list[str] = []
    last: ModelError = ModelNotFound(f"there is no {role}")
    for engine in registered(role):
        if engine.rank is None:
            break
        try:
            engine.prepare("", settings, asked=False)
        except ModelCorrupt:
            raise
        except ModelError as error:
            missed.append(error.message)
            last = error
        else:
            return engine, missed
    raise last
