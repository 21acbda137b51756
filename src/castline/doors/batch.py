"""The batch marker: uploads start when ``done.txt`` arrives, five files at a time.

A marker starts a state machine (``statemachine/batch.asl.json``), whose distributed Map lists the bucket and gives
five objects and a task token to ``start``. A batch waits without polling: each ``Result Published``
(``doors.announce``) leads through the run's claim to its batch, and the one for the last of its media returns the
token. Without a state machine the listener lists the bucket and starts the same media itself. Media that a marker
starts go through the usual stages, with their retries and dead letters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from castline import aws, keys, queues
from castline.doors.announce import Publication
from castline.errors import EventError, ResourceError
from castline.events import MAX_EVENT_BYTES, Event, ObjectCreated, is_result_published, object_created, objects_created
from castline.records import Record, Source
from castline.records.reading import read_record
from castline.runs.common import each
from castline.runs.request import read_request, read_source
from castline.runs.sets import finished
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

BATCH = 5  # as in the state machine's ItemBatcher
#: Errors of a token for which nobody waits any more: the execution was stopped, timed out, or was already notified.
_NOBODY_WAITS = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")

Invoke = Callable[[str, dict[str, Any]], None]
"""Invokes a function by name, asynchronously."""


class Batch(Record):
    """The batch to which a token belongs.

    Attributes:
        token: the state machine's; empty without one.
        media: keys that it started, or is about to.
        skipped: how many media had a result, or belonged to another batch.
    """

    token: str
    media: tuple[str, ...] = ()
    skipped: int = 0


def batch_event(
    event: Event, store: ObjectStore, settings: Settings, invoke: Invoke | None = None, machines: Any | None = None
) -> dict[str, Any]:
    """A marker's event, a step of the machine, or a published result.

    Args:
        machines: a client of Step Functions; default: AWS's.

    Returns:
        ``{"started": [execution names, or keys of media]}``; for a step or a result: the outcome of its batch so far.

    Raises:
        EventError: an unknown step, or an event without an S3 object.
        CastlineError: a retryable one; the platform invokes again.
    """
    send = invoke or partial(_start, settings)
    match event:
        case {"step": "start", "marker": str(marker), "items": [*items], "token": str(token)}:
            return start(marker, list(_listed(items)), token, store, settings, send, machines)
        case {"step": "look", "marker": str(marker), "items": [*items]}:
            batch = read_object(Batch, store, settings.output_bucket, _batch_key(marker, list(_listed(items))))
            return outcome(batch or Batch(token="", media=tuple(_listed(items))), store, settings)[0]
        case {"step": step}:
            raise EventError(f"there is no step {str(step)[:60]!r}, or it lacks something")
    if is_result_published(event):
        return _told(event["detail"], store, settings, machines)
    answers = each(objects_created(event), lambda item: _marked(item, store, settings, send, machines))
    return {"started": [name for names in answers for name in names]}


def _marked(
    item: ObjectCreated, store: ObjectStore, settings: Settings, invoke: Invoke, machines: Any | None
) -> list[str]:
    if item.bucket != settings.input_bucket or not settings.batch_marker or item.key != settings.batch_marker:
        logger.info("not the marker; ignored", key=item.key)
        return []
    found = store.head(item.bucket, item.key)
    if found is None:
        logger.info("the marker is gone; ignored", key=item.key)
        return []
    written = found.last_modified.isoformat() if found.last_modified else ""
    marker = hashlib.sha256(f"{item.bucket} {found.etag} {found.version} {written}".encode()).hexdigest()[:32]
    if settings.batch_machine:
        return _start_machine(marker, settings, machines or _machines())
    listed = [info.key for info in store.find(settings.input_bucket)]
    started = _start_media(marker, _unfinished(listed, store, settings), store, settings, invoke)
    logger.info("a marker started what had no result", marker=marker, media=len(started))
    return started


def _start_machine(marker: str, settings: Settings, machines: Any) -> list[str]:
    """The execution is named after the marker, so that its repeated event starts nothing."""
    try:
        machines.start_execution(
            stateMachineArn=settings.batch_machine, name=marker, input=json.dumps({"marker": marker})
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
            logger.info("this marker has already started its batch", marker=marker)
            return []
        raise ResourceError(f"the batch could not be started: {error}") from error
    except BotoCoreError as error:
        raise ResourceError(f"the batch could not be started: {error}") from error
    return [marker]


def start(
    marker: str,
    listed: Sequence[str],
    token: str,
    store: ObjectStore,
    settings: Settings,
    invoke: Invoke,
    machines: Any | None = None,
) -> dict[str, Any]:
    """Start those of some objects that are media without a result, and that no other batch has started.

    A result that is published after the batch was recorded finds it, and one that was published before is seen at the
    end; so one of the two sends the token.

    Args:
        listed: keys of the input bucket.
        token: of the task that waits for them.

    Returns:
        ``{"processed", "skipped", "failed"}`` so far.
    """
    media = [key for key in listed if keys.is_media(key)]
    waiting = _unfinished(media, store, settings)
    key = _batch_key(marker, listed)
    _write(key, Batch(token=token, media=tuple(source.key for source in waiting)), store, settings)
    started = _start_media(key, waiting, store, settings, invoke)
    batch = Batch(token=token, media=tuple(started), skipped=len(media) - len(started))
    _write(key, batch, store, settings)
    return _tell_if_ended(batch, store, settings, machines)


def outcome(batch: Batch, store: ObjectStore, settings: Settings) -> tuple[dict[str, Any], bool]:
    """The outcomes of a batch's media, and whether all have ended.

    Returns:
        ``{"processed": how many, "skipped": how many, "failed": [{"media", "error"}]}``, with those that have not ended
        among the failed; True if there are none of these.
    """
    processed, failed, left = 0, [], False
    for media in batch.media:
        source = read_source(settings.input_bucket, media, store)
        result = finished(source, store, settings) if source else None
        if result is not None and result.status != "failed":
            processed += 1
            continue
        if source is None:
            why = "deleted: the upload is gone"
        elif result is None:
            why, left = "unfinished: castline reconcile finds it", True
        else:
            why = f"{result.error.code}: {result.error.message}"[:300] if result.error else "failed"
        failed.append({"media": media, "error": why})
    return {"processed": processed, "skipped": batch.skipped, "failed": failed}, not left


def _told(detail: Mapping[str, Any], store: ObjectStore, settings: Settings, machines: Any | None) -> dict[str, Any]:
    """A result was published: the batch that started its run, if one did, may have ended."""
    told = read_record(Publication, json.dumps(detail), "Result Published", max_bytes=MAX_EVENT_BYTES)
    claim = store.get(settings.output_bucket, keys.batch_claim_key(told.run), max_bytes=1024) or b""
    key = claim.decode(errors="replace")
    batch = read_object(Batch, store, settings.output_bucket, key) if keys.is_batch(key) else None
    return _tell_if_ended(batch, store, settings, machines) if batch else {}


def _tell_if_ended(batch: Batch, store: ObjectStore, settings: Settings, machines: Any | None) -> dict[str, Any]:
    answer, ended = outcome(batch, store, settings)
    if ended:
        try:
            (machines or _machines()).send_task_success(taskToken=batch.token, output=json.dumps(answer))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOBODY_WAITS:
                raise ResourceError(f"the state machine could not be told that the batch is done: {error}") from error
            logger.info("nothing waits for this batch any more", reason=error.response["Error"]["Code"])
        except BotoCoreError as error:
            raise ResourceError(f"the state machine could not be told that the batch is done: {error}") from error
    return answer


def _start_media(
    claimant: str, sources: Iterable[Source], store: ObjectStore, settings: Settings, invoke: Invoke
) -> list[str]:
    started = []
    for source in sources:
        if _claim(claimant, source, store, settings):
            invoke(settings.splitter_function, object_created(source.bucket, source.key, max(source.size, 1)))
            started.append(source.key)
    return started


def _unfinished(listed: Iterable[str], store: ObjectStore, settings: Settings) -> list[Source]:
    """The existing media among some keys that have no result."""
    return [source for source in _sources(listed, store, settings) if not finished(source, store, settings)]


def _batch_key(marker: str, listed: Sequence[str]) -> str:
    key = keys.batch_key(marker, hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16])
    if not keys.is_batch(key):
        raise EventError(f"{marker[:60]!r} is not the name of a marker")
    return key


def _write(key: str, batch: Batch, store: ObjectStore, settings: Settings) -> None:
    store.put(settings.output_bucket, key, batch.to_json(), content_type="application/json")


def _listed(items: Iterable[Any]) -> Iterator[str]:
    """Keys of objects in Step Functions' listing."""
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("Key"), str):
            raise EventError("an item of a listing that has no key")
        yield item["Key"]


def _sources(listed: Iterable[str], store: ObjectStore, settings: Settings) -> Iterator[Source]:
    for key in listed:
        if keys.is_media(key) and (source := read_source(settings.input_bucket, key, store)):
            yield source


def _claim(claimant: str, source: Source, store: ObjectStore, settings: Settings) -> bool:
    """Whether this batch may start the run: the first batch may, and again after an interruption."""
    key = keys.batch_claim_key(read_request(source, store, settings).run)
    if store.put(settings.output_bucket, key, claimant.encode(), if_absent=True):
        return True
    return store.get(settings.output_bucket, key, max_bytes=1024) == claimant.encode()


def _start(settings: Settings, function: str, event: dict[str, Any]) -> None:
    """Raises:
    ResourceError: it could not be.
    """
    if settings.orchestration != "queue":
        aws.invoke_later(function, json.dumps(event).encode())
        return
    try:
        queues.send(event, queues.UPLOADS, settings)
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"an upload could not be put into its queue: {error}") from error


@lru_cache(maxsize=1)
def _machines() -> Any:
    return aws.client("stepfunctions")
