"""Tests a deployment: one short video goes through it, and everything is removed again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from castline import keys
from castline.display import counted
from castline.errors import UnreadableObject
from castline.operations.account import Finding, Stack
from castline.operations.delete import delete_media
from castline.records import Result
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

_PAUSE_S = 2.0
_WORKS = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


def smoke(
    stack: Stack,
    store: ObjectStore,
    media: Path,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Finding]:
    """Findings, each as soon as it is known; the upload and everything made from it are removed at the end.

    A classic deployment answers with a name in a text file, any other with a result.

    Args:
        media: a short video in which somebody speaks.
        seconds: how long to wait for the answer.
        clock, sleep: used for waiting, in seconds.
    """
    if stack.status not in _WORKS:
        yield Finding("problem", "stack", f"{stack.name} is {stack.status}")
        return
    yield Finding("ok", "stack", f"{stack.name} is {stack.status}")
    settings = stack.settings()
    key = f"castline-smoke-{secrets.token_hex(4)}{media.suffix}"
    marker = stack.values.get("BatchMarker", "")
    if marker:
        line = (
            f"nothing starts before {marker} is uploaded, which would start what else is there: upload a video by hand"
        )
        yield Finding("problem", "start", line)
        return
    begun = clock()
    try:
        store.upload(settings.input_bucket, key, media)
        yield Finding("ok", "upload", f"s3://{settings.input_bucket}/{key}")
        wait = _Waiting(begun, seconds, clock, sleep)
        yield from (_classic if settings.profile == "classic" else _full)(key, store, settings, wait)
    finally:
        deletion = delete_media(key, store, settings)
    if deletion.left:
        yield Finding("problem", "removal", f"still there: {', '.join(deletion.left[:3])}")
    else:
        yield Finding("ok", "removal", f"{counted(deletion.removed, 'object')}, and nothing is left")


class _Waiting:
    """Polls until there is an answer or no time left."""

    def __init__(
        self, begun: float, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.begun, self.seconds, self.clock, self.sleep = begun, seconds, clock, sleep

    def until(self, there: Callable[[], bool]) -> bool:
        while not there():
            if self.passed > self.seconds:
                return False
            self.sleep(_PAUSE_S)
        return True

    @property
    def passed(self) -> float:
        return self.clock() - self.begun


def _classic(key: str, store: ObjectStore, settings: Settings, wait: _Waiting) -> Iterator[Finding]:
    frame, answer = keys.classic_frame_key(key), keys.classic_answer_key(key)
    if not wait.until(lambda: store.head(settings.stage1_bucket, frame) is not None):
        yield _late("split", wait, settings.splitter_function)
        return
    yield Finding("ok", "split", f"a frame after {wait.passed:.0f} s")
    if not wait.until(lambda: store.head(settings.output_bucket, answer) is not None):
        yield _late("answer", wait, settings.analyser_function)
        return
    name = (store.get(settings.output_bucket, answer) or b"").decode(errors="replace")
    yield Finding("ok", "answer", f"{name!r} after {wait.passed:.0f} s")


def _full(key: str, store: ObjectStore, settings: Settings, wait: _Waiting) -> Iterator[Finding]:
    def units() -> bool:
        return next(iter(store.find(settings.stage1_bucket, f"{key}/")), None) is not None

    if not wait.until(units):
        yield _late("split", wait, settings.splitter_function)
        return
    yield Finding("ok", "split", f"the first of it after {wait.passed:.0f} s")
    if not wait.until(lambda: store.head(settings.output_bucket, keys.result_key(key)) is not None):
        yield _late("result", wait, settings.analyser_function)
        return
    yield from _judge(key, store, settings, wait.passed)


def _judge(key: str, store: ObjectStore, settings: Settings, passed: float) -> Iterator[Finding]:
    try:
        result = read_object(Result, store, settings.output_bucket, keys.result_key(key))
    except UnreadableObject as error:
        line = f"{error.message}: the deployment and this command are of different versions"
        yield Finding("problem", "result", line)
        return
    if result is None or result.status != "complete":
        status, why = (result.status, _why(result)) if result else ("gone", "")
        yield Finding("problem", "result", f"{status} after {passed:.0f} s{why}")
        return
    yield Finding("ok", "result", f"complete after {passed:.0f} s, about ${result.processing.cost.usd:.4f}")
    words = len(result.transcript.text.split())
    seen = f"{counted(len(result.people), 'person', 'people')}, {counted(words, 'word')}"
    yield Finding("ok" if result.people and words else "note", "content", seen)


def _why(result: Result) -> str:
    failures = [result.error] if result.error else [failure.error for failure in result.failures[:3]]
    return "".join(f"; {failure.message}" for failure in failures)


def _late(what: str, wait: _Waiting, function: str) -> Finding:
    line = (
        f"nothing after {wait.seconds:.0f} s: castline redrive shows what was given up, and the log is "
        f"/aws/lambda/{function}"
    )
    return Finding("problem", what, line)
