"""Routes whose answer is the transcript: OpenAI's audio API, and whisper-asr-webservice's."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from annotated_types import MaxLen
from anyio import CancelScope
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from castline.cues import clean
from castline.errors import CastlineError
from castline.media.chunks import SAMPLE_RATE
from castline.records.options import bound
from castline.service.engines import engine_names, models_here, others_here, transcriber_for
from castline.service.languages import NAMES
from castline.service.pool import DirectWork
from castline.service.queue import bearer
from castline.service.shapes import content_type
from castline.service.state import service_of
from castline.service.worker import Ended, Task, Text
from castline.settings import Settings

_MOST_SPEAKERS, _LONGEST_NAME = 4, 200
_LONGEST_PROMPT = bound("prompt", MaxLen).max_length
# Fields are kept in memory: more of them than any request needs, and ten seconds of stereo in 24 bits and 48 kHz, in
# base64, as the voice of a known speaker.
_MOST_FIELDS, _LARGEST_FIELD = 256, 4 << 20

router = APIRouter(
    tags=["transcript"],
    form_limits={"max_fields": _MOST_FIELDS, "max_files": 4},
    dependencies=[Depends(bearer)],
    responses={
        400: {"description": "The request cannot be fulfilled"},
        401: {"description": "Invalid authorization token"},
        404: {"description": "No such model"},
        413: {"description": "Too large"},
        429: {"description": "Too many requests"},
        503: {"description": "Too many requests wait"},
        504: {"description": "It took longer than a job may"},
    },
)

#: What OpenAI calls its models: here, the deployment's own choice.
OPENAI_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
)
_STATUS = {
    "model_not_found": 404,
    "no_speech_engine": 503,
    "device_missing": 503,
    "unavailable": 503,
    "model_corrupt": 500,
    "internal": 500,
    "too_slow": 504,
}
_LOOK_S = 0.5
_QUIET_S = 20.0  # proxies and clients give up on answers in which nothing comes: often after 60 s
_LANGUAGE = r"^$|^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$"

Language = Annotated[str, Form(pattern=_LANGUAGE, max_length=40)]
Prompt = Annotated[str, Form()]
ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
Granularity = Literal["word", "segment"]


@router.get("/v1/models")
def models(request: Request) -> dict[str, Any]:
    """The names that ``model`` may have."""
    settings = service_of(request).settings
    ours = (f"{engine}:{model}" for engine, found in models_here(settings).items() for model in found)
    names = [*OPENAI_MODELS, *ours, *others_here(settings)]
    return {"object": "list", "data": [_model(name) for name in names]}


@router.get("/v1/models/{name}")
def model(name: str, request: Request) -> dict[str, Any]:
    """One of them."""
    _transcriber(name, service_of(request).settings)
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "castline"}


@router.post("/v1/audio/transcriptions", response_class=Response, form_limits={"max_part_size": _LARGEST_FIELD})
async def transcriptions(
    request: Request,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form(max_length=200)],
    language: Language = "",
    languages: Annotated[list[str], Form(alias="languages[]", max_length=20)] = [],  # noqa: B006
    prompt: Prompt = "",
    keywords: Annotated[list[str], Form(alias="keywords[]", max_length=200)] = [],  # noqa: B006
    hotwords: Annotated[str, Form(max_length=4000)] = "",
    response_format: Annotated[ResponseFormat, Form()] = "json",
    temperature: Annotated[float, Form(ge=0, le=1, allow_inf_nan=False)] = 0.0,
    timestamp_granularities: Annotated[list[Granularity], Form(alias="timestamp_granularities[]")] = ["segment"],  # noqa: B006
    stream: Annotated[bool, Form()] = False,
    include: Annotated[list[str], Form(alias="include[]", max_length=10)] = [],  # noqa: B006
    known_speaker_names: Annotated[list[str], Form(alias="known_speaker_names[]", max_length=_MOST_SPEAKERS)] = [],  # noqa: B006
    known_speaker_references: Annotated[
        list[str], Form(alias="known_speaker_references[]", max_length=_MOST_SPEAKERS)
    ] = [],  # noqa: B006
) -> Response:
    """OpenAI's ``audio.transcriptions.create``. ``temperature`` has no effect: decoding is deterministic here.

    Known speakers are named if a voice is certainly theirs; others stay ``Speaker 1``, and ``Unknown``.
    """
    if include:
        raise HTTPException(400, "include: log probabilities of tokens are not kept here")
    options: dict[str, object] = {
        "language": language or (languages[0] if len(languages) == 1 else None),
        "prompt": _ending(prompt),
        "hotwords": [word for each in (*keywords, *hotwords.split(",")) if (word := each.strip())],
    }
    if response_format == "diarized_json":
        options["speakers"] = "auto" if known_speaker_names else "voices"
    known = _known_speakers(known_speaker_names, known_speaker_references, response_format)
    streamed = stream and model != "whisper-1"  # which ignores it
    wanted = "json" if streamed and response_format != "diarized_json" else response_format
    task = replace(_task(request, model, options, style="openai-api", answer=wanted), known=known)
    if streamed:
        return await _streamed(request, file, task)
    ended = await _answer(request, file, task)
    body = ended.body
    if response_format == "verbose_json":
        body = _granular(body, timestamp_granularities)
    return Response(body, media_type=content_type(response_format))


def _known_speakers(names: list[str], references: list[str], response_format: str) -> tuple[tuple[str, bytes], ...]:
    """Names and recordings, from data URLs."""
    if len(names) != len(references):
        raise HTTPException(400, "known_speaker_names and known_speaker_references: one reference for each name")
    if names and response_format != "diarized_json":
        raise HTTPException(400, "known_speaker_names: speakers are told apart with response_format=diarized_json")
    found = []
    for name, reference in zip(names, references, strict=True):
        kind, comma, data = reference.partition(",")
        try:
            if not (name.strip() and comma and re.fullmatch(r"data:[^,]{0,200};base64", kind)):
                raise ValueError
            found.append((clean(name).strip()[:_LONGEST_NAME], base64.b64decode(data, validate=True)))
        except ValueError:
            raise HTTPException(400, "known_speaker_references: data URLs in base64, and a name for each") from None
    return tuple(found)


@router.post("/v1/audio/translations", response_class=Response)
async def translations(
    request: Request,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form(max_length=200)],
    prompt: Prompt = "",
    response_format: Annotated[Literal["json", "text", "srt", "verbose_json", "vtt"], Form()] = "json",
    temperature: Annotated[float, Form(ge=0, le=1, allow_inf_nan=False)] = 0.0,
) -> Response:
    """OpenAI's ``audio.translations.create``: into English, by a model that can translate."""
    options: dict[str, object] = {"task": "translate", "prompt": _ending(prompt)}
    ended = await _answer(request, file, _task(request, model, options, style="openai-api", answer=response_format))
    body = _granular(ended.body, ["segment"]) if response_format == "verbose_json" else ended.body
    return Response(body, media_type=content_type(response_format))


@router.post("/asr", response_class=Response)
async def asr(
    request: Request,
    audio_file: Annotated[UploadFile, File()],
    encode: bool = True,
    task: Literal["transcribe", "translate"] = "transcribe",
    language: Annotated[str, Query(pattern=_LANGUAGE, max_length=40)] = "",
    initial_prompt: str = "",
    vad_filter: bool = False,
    word_timestamps: bool = False,
    diarize: bool = False,
    min_speakers: Annotated[int | None, Query(ge=1, le=100)] = None,
    max_speakers: Annotated[int | None, Query(ge=1, le=100)] = None,
    output: Literal["txt", "vtt", "srt", "tsv", "json"] = "txt",
) -> Response:
    """whisper-asr-webservice's. Without ``encode``, the file is 16-bit samples, mono, 16 kHz. Silence is always left
    out, and words always have times. The number of speakers is detected, so ``min_speakers`` and ``max_speakers`` have
    no effect.
    """
    options: dict[str, object] = {"task": task, "language": language or None, "prompt": _ending(initial_prompt)}
    if diarize:
        options["speakers"] = "voices"
    style = "asr-diarized" if diarize else "openai-whisper"
    wanted = _task(request, "", options, style=style, answer=output)
    ended = await _answer(request, audio_file, wanted, samples=not encode)
    name = re.sub(r"[^A-Za-z0-9._ -]", "", audio_file.filename or "")[-100:] or "audio"
    headers = {"Asr-Engine": ended.engine, "Content-Disposition": f'attachment; filename="{name}.{output}"'}
    return Response(ended.body, media_type="text/plain; charset=utf-8", headers=headers)


@router.post("/detect-language")
async def detect_language(
    request: Request, audio_file: Annotated[UploadFile, File()], encode: bool = True
) -> dict[str, Any]:
    """whisper-asr-webservice's: the language of the first 30 seconds."""
    wanted = replace(_task(request, "", {}, style="", answer=""), only_language=True)
    ended = await _answer(request, audio_file, wanted, samples=not encode)
    name = NAMES.get(ended.language, ended.language)
    return {"detected_language": name, "language_code": ended.language, "confidence": ended.probability}


def _ending(prompt: str) -> str | None:
    """The end of a prompt, which is often the whole text so far: as much as an option may have, in whole words."""
    kept = prompt[-_LONGEST_PROMPT:]
    if len(prompt) > len(kept) and not prompt[-_LONGEST_PROMPT - 1].isspace():
        kept = kept.partition(" ")[2] or kept
    return kept.strip() or None


def _transcriber(name: str, settings: Settings) -> str:
    """The engine for a model name: OpenAI's, ours (``engine:model``), an engine's, or a usual one (``small``)."""
    if not name or name in OPENAI_MODELS:
        return settings.transcriber
    engine, _, model = name.partition(":")
    if engine not in engine_names():
        engine, model = "auto", name
    try:
        return transcriber_for(engine, model or None, settings)
    except CastlineError as error:
        raise _Refused(404, error.message, "model_not_found") from error


def _task(request: Request, model: str, options: Mapping[str, object], *, style: str, answer: str) -> Task:
    """A task without its file."""
    transcriber = _transcriber(model, service_of(request).settings)
    return Task("", Path(), transcriber=transcriber, options=options, style=style, answer=answer)


class _Refused(HTTPException):
    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(status, message)
        self.code = code


async def _answer(request: Request, file: UploadFile, task: Task, *, samples: bool = False) -> Ended:
    """Run a task and wait for it; a client that hangs up ends it."""
    async with _kept(request, file, samples) as source:
        async for event in _events(request, replace(task, source=str(source)), look=True):
            if isinstance(event, Ended):
                return _checked(event)
    raise HTTPException(499, "The client is gone")


async def _streamed(request: Request, file: UploadFile, task: Task) -> Response:
    """Server-sent events, with comments while there is nothing to tell. A failure before the first of either is an
    ordinary error.
    """
    kept = _kept(request, file, samples=False)
    source = await kept.__aenter__()
    events = _events(request, replace(task, source=str(source)), look=False)

    async def close() -> None:
        await events.aclose()
        await kept.__aexit__(None, None, None)

    try:
        first = await anext(events)
        if isinstance(first, Ended):
            _checked(first)
    except BaseException:
        await close()
        raise

    async def sent() -> AsyncIterator[str]:
        try:
            before = ""
            event = first
            while True:
                if event is None:
                    yield ": nothing new yet\n\n"
                else:
                    for each in _events_of(event, before):
                        yield f"data: {json.dumps(each)}\n\n"
                    before = " "
                if isinstance(event, Ended):
                    return
                event = await anext(events)
        finally:
            await close()

    return StreamingResponse(sent(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _events_of(event: Text | Ended, before: str) -> Iterator[dict[str, Any]]:
    """OpenAI's events. Speakers are known at the end, as voices are told apart over the whole recording."""
    if isinstance(event, Text):
        yield {"type": "transcript.text.delta", "delta": f"{before}{event.delta}"}
    elif event.state == "finished":
        body = json.loads(event.body)
        if "task" in body:  # diarized_json
            yield from body["segments"]
        yield {"type": "transcript.text.done", "text": body["text"], "usage": body["usage"]}
    else:
        yield {"error": {"message": event.message, "type": "server_error", "param": None, "code": event.code}}


async def _events(request: Request, task: Task, *, look: bool) -> AsyncGenerator[Text | Ended | None]:
    """All events of a task, its end last, and None when there was none for a while; nothing more once the client is
    gone.

    Args:
        look: whether to check that the client is still there; a streaming answer does so by itself.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Text | Ended]()
    work = DirectWork(
        lambda folder: replace(task, folder=folder),
        lambda message: _unless_closed(loop, lambda: queue.put_nowait(message)),
    )
    if not service_of(request).pool.submit(work):
        raise HTTPException(503, "Too many requests wait", headers={"Retry-After": "10"})
    told = loop.time()
    try:
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), _LOOK_S)
            except TimeoutError:
                if look and await request.is_disconnected():
                    return
                if loop.time() - told >= _QUIET_S:
                    yield None
                    told = loop.time()
                continue
            yield event
            told = loop.time()
            if isinstance(event, Ended):
                return
    finally:
        work.canceled = True


def _unless_closed(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)


def _checked(ended: Ended) -> Ended:
    if ended.state != "finished":
        raise _Refused(_STATUS.get(ended.code, 400), ended.message, ended.code)
    return ended


@asynccontextmanager
async def _kept(request: Request, file: UploadFile, samples: bool) -> AsyncIterator[Path]:
    """The upload as a file that a worker can read."""
    folder = service_of(request).service.folder / "uploads" / str(uuid4())

    def keep() -> Path:
        folder.mkdir(parents=True)
        path = folder / ("input.wav" if samples else "input")
        if samples:
            with wave.open(str(path), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(SAMPLE_RATE)
                for block in _blocks(file):
                    sound.writeframes(block)
        else:
            with path.open("wb") as written:
                shutil.copyfileobj(file.file, written, 1 << 20)
        return path

    try:
        yield await run_sync(keep)
    finally:
        with CancelScope(shield=True):  # also when the client of a stream is gone, and its answer is canceled
            await run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _blocks(file: UploadFile) -> Iterator[bytes]:
    while block := file.file.read(1 << 20):
        yield block[: len(block) // 2 * 2]


def _granular(body: bytes, asked: list[Granularity]) -> bytes:
    """Remove segments or words that were not requested."""
    found = json.loads(body)
    for kind in ("segment", "word"):
        if kind not in asked:
            del found[f"{kind}s"]
    return json.dumps(found).encode()
