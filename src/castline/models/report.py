"""Which engines this machine uses, in words; and making them ready before work begins."""

from __future__ import annotations

import sys
from pathlib import Path

from castline.errors import ModelError
from castline.models.catalogue import best_embedder_file, embedder_file, survey
from castline.models.download import Progress, fetch
from castline.models.downloads import DOWNLOADS, WHISPER
from castline.models.prepare import ensure_mtcnn
from castline.settings import Settings
from castline.speech.choose import ensure_model, find_model, survey_transcribers
from castline.speech.declared import FAMILIES, FASTER_WHISPER

_TITLES = {"detector": "faces found by", "embedder": "faces known by", "transcriber": "speech"}
_BETTER = "`castline models fetch {name}` or CASTLINE_MODELS_DIR gives you {title}"


def prepare(settings: Settings, progress: Progress | None = None) -> list[str]:
    """Make ready what the settings ask for, once, so that no two workers do it at a time.

    Makes the face nets, and asks the hub for the Whisper that is named, or for the usual one where speech is
    left to ``auto`` and no Whisper is here; a hub that refuses costs under two seconds.

    Returns:
        One line per role: the engine in use, and why not a better one.

    Raises:
        ModelNotFound: a face net is neither there nor can be made, or the Whisper that is named is not to be had.
    """
    if settings.detector in ("auto", "mtcnn"):
        ensure_mtcnn(settings.models_dir)
    if settings.embedder == "auto":
        best_embedder_file(settings.models_dir)
    elif ":" not in settings.embedder:
        embedder_file(settings.embedder, settings.models_dir)
    name, _, model = settings.transcriber.partition(":")
    for family in FAMILIES:
        if family.id == name and model and family.installed():
            ensure_model(family, model, settings.models_dir)
    asked = ""
    here = any(family.installed() and find_model(family, settings.models_dir) for family in FAMILIES)
    if settings.transcriber == "auto" and FASTER_WHISPER.installed() and not here:
        try:
            fetch(WHISPER, settings.models_dir, progress)
        except ModelError as error:
            asked = f", and {error.message}"
    return engine_lines(settings, asked)


def engine_lines(settings: Settings, asked: str = "") -> list[str]:
    """One line per role: the engine in use, and why not a better one.

    Args:
        asked: what came of asking the hub for Whisper, to be told with it.
    """
    chosen = {"detector": settings.detector, "embedder": settings.embedder, "transcriber": settings.transcriber}
    return [f"{_TITLES[role]}: {_line(name, role, settings, asked)}" for role, name in chosen.items()]


def _line(name: str, role: str, settings: Settings, asked: str) -> str:
    if name != "auto":
        return f"{name}, as asked for"
    missed: list[str] = []
    for info in (*survey(settings), *survey_transcribers(settings)):
        if info.role != role:
            continue
        if info.source:
            return "; ".join([f"{_short(info.title)} ({_homely(info.source)})", *missed])
        fetched = WHISPER if info.id == FASTER_WHISPER.id else info.id
        if fetched in DOWNLOADS:
            why = info.reason + (asked if info.id == FASTER_WHISPER.id else "")
            title = _short(info.title)
            missed += [f"{title}: {_homely(why)}", _BETTER.format(name=fetched, title=title)]
    return "; ".join(["none available", *missed])


def _short(title: str) -> str:
    return title.partition(" (")[0]


def _homely(text: str) -> str:
    """The home folder as people write it."""
    return text.replace(str(Path.home()), "~")


def main() -> None:
    """Entry point of ``python -m castline.models.report``: fill the models folder; an image is built with it."""
    from castline.settings import settings

    sys.stdout.write("\n".join(prepare(settings())) + "\n")


if __name__ == "__main__":
    main()
