"""A worker process: fetches, transcribes and sends, one task at a time, for as long as its service lives.

Tasks arrive through a pipe, and text and outcomes are sent back through it. Models stay loaded between tasks.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from castline.engines.device import gpu_environment
from castline.errors import CastlineError, UrlExpired
from castline.records import AudioPart, AudioUnit, KnownVoice, Segment
from castline.service.asked import FINISHED, INPUT_EXPIRED, Format, State
from castline.service.wire import Rules, fetch, put, send
from castline.settings import Settings

_MB = 1024 * 1024
_BEHIND = 19  # so that requests about jobs need not wait; at 5, their 99th percentile is 60 ms, not 50
_REFERENCE_S = 1.5  # two seconds of sound contain pauses; nobody was mistaken for so short a reference (docs/VOICES.md)
_HELD_S = 7.0  # words so near to a hard cut may still change: the next chunk contains them again


@dataclass(frozen=True, slots=True)
class Task:
    """Attributes:
    source: a URL, or a file on this machine.
    folder: for temporary files; the caller removes it.
    options: arguments of ``castline.library.listen``.
    outputs: formats, written in the style, and the URLs they go to.
    answer: the format that is sent back through the pipe; empty for none.
    meta: the URL for the job itself, in its final state, and its present state.
    only_language: whether only the language of the first chunk is wanted.
    known: names of speakers, and a recording of each.
    zero: what the clock of the job's times showed when this machine's monotonic clock showed 0.
    """

    source: str
    folder: Path
    transcriber: str = "auto"
    options: Mapping[str, object] = field(default_factory=dict)
    style: str = "castline"
    outputs: tuple[tuple[Format, str], ...] = ()
    answer: str = ""
    meta: tuple[str, Mapping[str, Any]] | None = None
    only_language: bool = False
    known: tuple[tuple[str, bytes], ...] = ()
    zero: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended.

    Attributes:
        code: ``CastlineError.code``; empty if nothing went wrong.
        at: when, by the clock of the job's times; 0.0: now.
        language, probability: of the speech.
        rss_mb: of the worker afterwards.
    """

    state: State
    message: str
    code: str = ""
    at: float = 0.0
    length_s: float = 0.0
    language: str = ""
    probability: float = 1.0
    body: bytes = b""
    engine: str = ""
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Text:
    """Text that will not change any more, with a leading space where needed."""

    delta: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The share of the sound that has been heard, from 0 to 1."""

    share: float


def work(pipe: Connection, settings: Settings, rules: Rules, gpu: str = "") -> None:
    """Run a worker process, in a process group of its own, so that ffmpeg ends with it.

    Args:
        gpu: the only one that it may see; empty for those that the service sees.
    """
    os.environ.update(gpu_environment(gpu))  # before a library of an engine is imported
    os.setpgid(0, 0)  # not a session: Linux weighs sessions against each other (autogroup), and nice only within one
    os.nice(_BEHIND)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    logging.disable(logging.WARNING)
    while True:
        try:
            task = pipe.recv()
            ended = _done(task, settings, rules, pipe)
            pipe.send(ended)
        except (EOFError, OSError):
            return


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)


def _done(task: Task, settings: Settings, rules: Rules, pipe: Connection) -> Ended:
    settings = settings.model_copy(update={"transcriber": task.transcriber, "max_bytes": rules.max_bytes})
    try:
        ended = _language(task, settings) if task.only_language else _transcribed(task, settings, rules, pipe)
    except UrlExpired as error:
        ended = {"state": "expired", "message": error.message, "code": error.code}
    except CastlineError as error:
        ended = {"state": "error", "message": error.message, "code": error.code}
    except Exception as error:  # whatever a library raises ends only this job
        logging.getLogger(__name__).error("task failed: %s", traceback.format_exc())
        ended = {"state": "error", "message": f"internal error: {type(error).__name__}", "code": "internal"}
    return Ended(**{"rss_mb": _rss_mb(), **ended})


def _transcribed(task: Task, settings: Settings, rules: Rules, pipe: Connection) -> dict[str, Any]:
    from castline.library import listen
    from castline.service.shapes import renderer

    path = Path(task.source)
    if task.source.startswith(("http://", "https://")):
        path = task.folder / "input"
        try:
            fetch(task.source, path, rules)
        except UrlExpired:
            raise UrlExpired(INPUT_EXPIRED) from None
    heard = _Heard(pipe) if task.answer else _Counted(pipe)
    voices = _known_voices(task, settings)
    result = listen(path, settings=settings, heard=heard, voices=voices, **dict(task.options))
    for format_, url in task.outputs:
        _send(format_, url, renderer(task.style, format_)(result), rules)
    ended: dict[str, Any] = {
        "state": "finished",
        "message": FINISHED,
        "at": task.zero + time.monotonic(),
        "length_s": result.duration_s or 0.0,
        "language": result.transcript.language or "",
        "engine": result.transcript.engine or "",
        "body": renderer(task.style, task.answer)(result) if task.answer else b"",
    }
    if task.meta:
        _send_meta(*task.meta, ended, rules)
    return ended


def _known_voices(task: Task, settings: Settings) -> list[KnownVoice]:
    """Embeddings of the voices of known speakers.

    Raises:
        CastlineError: a reference cannot be read, has several voices, or has too little speech.
    """
    from castline.engines.process import process_engines
    from castline.people import voice_in_file
    from castline.storage import MemoryStore

    found = []
    for number, (name, body) in enumerate(task.known):
        path = task.folder / f"reference {number + 1}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        try:
            voice = voice_in_file(path, settings, process_engines(settings, MemoryStore()), _REFERENCE_S)
        finally:
            path.unlink()
        found.append(KnownVoice(name=name, key="", voice=voice))
    return found


def _send(format_: str, url: str, body: bytes, rules: Rules) -> None:
    try:
        send(url, body, rules, format_)
    except UrlExpired:
        raise UrlExpired(f"Expired URL when uploading {format_} to {url}") from None


def _send_meta(url: str, job: Mapping[str, Any], ended: Mapping[str, Any], rules: Rules) -> None:
    """Send the job in its final state; failures are ignored."""
    from castline.service.asked import JobView

    final = {
        "state": ended["state"],
        "message": ended["message"],
        "media_length": ended["length_s"],
        "language_used": ended["language"],
        "finish_time": ended["at"],
        "processing_time": ended["at"] - job["start_time"],
    }
    try:
        put(url, JobView(**{**job, **final}).model_dump_json().encode(), rules)
    except CastlineError as error:
        logging.getLogger(__name__).info("meta was not taken: %s", error.message)


def _language(task: Task, settings: Settings) -> dict[str, Any]:
    """The language of the first chunk."""
    from castline.engines.base import Speech
    from castline.engines.process import process_engines
    from castline.errors import NoStreams
    from castline.media import AudioPiece, SplitSummary, probe, split
    from castline.media.ffmpeg import Limits
    from castline.media.flac import decode_flac
    from castline.records import SpeechOptions
    from castline.storage import MemoryStore

    options = settings.options()
    probed = probe(Path(task.source), Limits.of(settings), options).only("audio")
    if probed.audio is None:
        raise NoStreams("it has no sound")
    pieces = split(Path(task.source), probed, options, Limits.of(settings), SplitSummary(), max_duration_s=30.0)
    first = next((piece for piece in pieces if isinstance(piece, AudioPiece)), None)
    engine = process_engines(settings, MemoryStore()).transcriber
    if first is None:
        raise NoStreams("there is no sound in it")
    heard = engine.transcribe(Speech(decode_flac(first.body), SpeechOptions()))
    sure = heard.languages[0].probability if heard.languages else 1.0
    found = {"language": heard.language or "en", "probability": sure, "engine": engine.info.id}
    return {"state": "finished", "message": FINISHED, **found}


class _Heard:
    """Sends text as soon as no later chunk can change it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._chunks: list[tuple[AudioUnit, AudioPart]] = []
        self._told = 0

    def __call__(self, unit: AudioUnit, part: AudioPart, _length_s: float | None) -> None:
        from castline.assembly.stitch import stitch

        self._chunks.append((unit, part))
        segments = stitch(self._chunks)
        until = unit.end_s - _HELD_S if unit.hard_cut else float("inf")
        settled = [segment for segment in segments if segment.end_s <= until]
        fresh = settled[self._told :]
        text = " ".join(map(_text, filter(_is_said, fresh)))
        if text:
            self._pipe.send(Text(text))
        self._told = len(settled)
        if not unit.hard_cut:  # text before a silence is final, and need not be assembled again
            self._chunks, self._told = [], 0


class _Counted:
    """Sends how much has been heard."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __call__(self, unit: AudioUnit, _part: AudioPart, length_s: float | None) -> None:
        if length_s:
            self._pipe.send(Progress(min(unit.end_s / length_s, 1.0)))


def _is_said(segment: Segment) -> bool:
    return not segment.suspect and bool(segment.text.strip())


def _text(segment: Segment) -> str:
    return segment.text.strip()


def _rss_mb() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / _MB
    except OSError:  # not Linux
        return 0.0
