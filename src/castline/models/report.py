"""Which engines this machine uses, in words; and making them ready before work begins."""

from __future__ import annotations

from castline.engines import EngineInfo
from castline.models.catalogue import survey
from castline.models.prepare import ensure_dlib, ensure_mtcnn
from castline.settings import Settings
from castline.speech import survey_transcribers


def prepare(settings: Settings) -> None:
    """Export what has to be exported, once, so that no two workers do it at a time.

    Raises:
        ModelNotFound: a net is neither there nor can be made.
    """
    if settings.detector in ("auto", "mtcnn"):
        ensure_mtcnn(settings.models_dir)
    if settings.embedder in ("auto", "dlib-resnet-v1"):
        ensure_dlib(settings.models_dir)


def engine_lines(settings: Settings) -> list[str]:
    """One line per role: the engine in use, and why not a better one."""
    chosen = {"detector": settings.detector, "embedder": settings.embedder, "transcriber": settings.transcriber}
    titles = {"detector": "faces found by", "embedder": "faces known by", "transcriber": "speech"}
    lines = []
    for role, name in chosen.items():
        candidates = [info for info in _all(settings) if info.role == role]
        lines.append(f"{titles[role]}: {_line(name, candidates)}")
    return lines


def _line(name: str, candidates: list[EngineInfo]) -> str:
    if name != "auto":
        return f"{name}, as asked for"
    better: list[str] = []
    for info in candidates:
        if info.source:
            missed = f"; {'; '.join(better)}" if better else ""
            return f"{info.title} ({info.source}){missed}"
        if "path" not in info.reason:  # engines for files of one's own are no missed chance
            better.append(f"{info.title} is not used: {info.reason}")
    return "none available: " + "; ".join(better)


def _all(settings: Settings) -> tuple[EngineInfo, ...]:
    return (*survey(settings), *survey_transcribers(settings))
