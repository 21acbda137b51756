"""Describes which engines this machine uses, and prepares them before work begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from castline.engines.base import EngineInfo
from castline.engines.choose import prepare as make_ready
from castline.engines.choose import survey
from castline.engines.plugins import ROLES, registered
from castline.engines.speech import find
from castline.engines.speech.choose import others
from castline.engines.speech.declared import FASTER_WHISPER, Family, english_only, families
from castline.errors import ModelError
from castline.settings import Settings
from castline.weights.download import Progress, fetch
from castline.weights.downloads import DOWNLOADS, WHISPER

_TITLES = {
    "detector": "faces found by",
    "embedder": "faces known by",
    "transcriber": "speech",
    "voice_encoder": "voices told apart by",
    "active_speaker": "speaking faces seen by",
}
_BETTER = "`castline models fetch {name}` or CASTLINE_MODELS_DIR gives you {title}"
#: In the state folder: the hub's refusal. The hub is asked again only once this file is old enough.
_REFUSAL, _ASK_AGAIN_S = "hub-refused", 24 * 3600.0


def prepare(settings: Settings, progress: Progress | None = None, *, roles: Sequence[str] = ROLES) -> list[str]:
    """Prepare the engines that the settings select, so that two workers do not do it at the same time.

    Makes the face nets, and asks the hub for the named Whisper, or for the usual one if speech is left to ``auto`` and
    the models folder has no Whisper. A hub that refuses costs under two seconds, once a day.

    Args:
        roles: those that will be used.

    Returns:
        One line per role: the engine in use, and why not a better one.

    Raises:
        ModelNotFound: a face net does not exist and cannot be made, or the named Whisper is not available.
        ModelCorrupt: the named Whisper is damaged, and so is its replacement.
    """
    for role in roles:
        make_ready(role, settings)
    refusal = ""
    here = any(family.installed() and find.in_folder(family, settings.models_dir) for family in families())
    if settings.transcriber == "auto" and FASTER_WHISPER.installed() and not here:
        refusal = _ask_hub(settings, progress)
    return engine_lines(settings, refusal, roles)


def _ask_hub(settings: Settings, progress: Progress | None) -> str:
    """Fetch the usual Whisper; returns why that failed, or nothing."""
    said = settings.state_dir / _REFUSAL
    try:
        if 0 <= time.time() - said.stat().st_mtime < _ASK_AGAIN_S:
            return said.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass  # no refusal is recorded
    try:
        fetch(WHISPER, settings.models_dir, progress)
    except ModelError as error:
        try:
            said.parent.mkdir(parents=True, exist_ok=True)
            said.write_text(error.message, encoding="utf-8")
        except OSError:
            pass  # if the folder cannot be written, the hub is asked every time
        return error.message
    return ""


def engine_lines(settings: Settings, refusal: str = "", roles: Sequence[str] = ROLES) -> list[str]:
    """One line per role: the engine in use, and why not a better one.

    Args:
        refusal: what the hub answered when asked for Whisper, to be shown, too.
    """
    lines = []
    for role in roles:
        name: str = getattr(settings, role)
        if name != "auto":
            line = f"{name}, as asked for"
        else:
            line = _speech(settings, refusal) if role == "transcriber" else _faces(role, settings)
        lines.append(f"{_TITLES[role]}: {line}")
    return lines


def _faces(role: str, settings: Settings) -> str:
    missed: list[str] = []
    for engine in registered(role):
        if engine.rank is None:
            break
        info = engine.survey(settings)
        if info.source:
            return "; ".join([f"{_short(info.title)} ({homely(info.source)})", *missed])
        if info.id in DOWNLOADS:
            title = _short(info.title)
            missed.append(f"{title}: {homely(info.reason)}")
            if "models fetch" not in info.reason:  # which already says so
                missed.append(_BETTER.format(name=info.id, title=title))
    return "; ".join(["none available", *missed])


def _speech(settings: Settings, refusal: str) -> str:
    searched = find.search(settings.models_dir)
    best = searched.best
    other = None if best else next(others(settings), None)
    if best:
        where = best.where if best.package else homely(str(best.path))
        said = [f"Whisper {best.model}{', English only' if english_only(best.model) else ''} ({where})"]
    elif other:
        info = other.survey(settings)
        said = [f"{_short(info.title)} ({homely(info.source)})"]
    else:
        missed = (f"{info.id}: {homely(info.reason)}" for info in survey(settings, "transcriber"))
        said = [f"none available, so no speech is transcribed ({'; '.join(missed)})"]
    said += [homely(error.message) for error in searched.damaged if best or other]
    said += [f"{refusal} (asked at most once a day)"] if refusal else []
    if not (best or other) or (best and best.package):
        said.append(
            _BETTER.format(name=WHISPER, title=f"Whisper {WHISPER.partition(':')[2]}, which knows 99 languages")
        )
    return "; ".join(said)


def language_line(settings: Settings) -> str | None:
    """A warning that only English will be understood; None if that does not matter."""
    if settings.language:
        return None
    _, model = _model(settings)
    if not english_only(model):
        return None
    return (
        f"language: Whisper {model} knows only English, and no language is set: what is said in another one will come "
        f"out as wrong English words. CASTLINE_LANGUAGE=en says it is English; `castline models fetch {WHISPER}` gets "
        "a model that finds out"
    )


def english_engine(settings: Settings) -> EngineInfo | None:
    """What the speech engine can do, if its model's name says that it knows only English; otherwise None.

    Then only the loaded model knows, and loading one takes seconds and gigabytes.
    """
    family, model = _model(settings)
    return replace(family.info, languages=("en",), translates=False) if family and english_only(model) else None


def _model(settings: Settings) -> tuple[Family | None, str]:
    """The engine of the Whisper family that speech is left to, and its model's name, which may be empty."""
    name, _, model = settings.transcriber.partition(":")
    if name == "auto":
        best = find.search(settings.models_dir).best
        return (best.family, best.model) if best else (None, "")
    family = next((family for family in families() if family.id == name), None)
    if family and not model and (path := find.find_model(family, settings.models_dir)):
        model = family.model(path.name)
    return family, model


def _short(title: str) -> str:
    return title.partition(" (")[0]


def homely(text: str) -> str:
    """A path with ``~`` for the home folder."""
    return text.replace(str(Path.home()), "~")


def main() -> int:
    """Entry point of ``python -m castline.engines.report``: fill the models folder; an image is built with it.

    Returns:
        Exit status: 1 if an engine that the settings name is not available.
    """
    from castline.settings import settings

    try:
        lines = prepare(settings())
    except ModelError as error:
        sys.stderr.write(f"error: {error.message}\n{error.detail}")
        return 1
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
