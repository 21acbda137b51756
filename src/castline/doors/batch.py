"""The batch marker: what was uploaded starts when ``done.txt`` arrives, five files at a time.

A marker starts a state machine (``statemachine/batch.asl.json``), whose distributed Map lists the bucket and gives five
objects to ``start`` and then ``look`` until all have ended. Without a machine the listener lists the bucket and starts
the same batches itself. Whatever a marker starts goes through the usual stages, with their retries and dead letters.
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
from castline.errors import EventError, ResourceError
from castline.events import Event, ObjectCreated, object_created, objects_created
from castline.records import Source
from castline.runs.common import each
from castline.runs.request import read_request, read_source
from castline.runs.sets import finished
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

BATCH = 5  # as the machine's ItemBatcher has it
_FIRST_LOOK_S, _LONGEST_S = 10, 300
#: After so many looks, half a day, a batch ends without those that have not.
MOST_LOOKS = 160

Invoke = Callable[[str, dict[str, Any]], None]
"""Invokes a function by name, asynchronously."""


def batch_event(
    event: Event, store: ObjectStore, settings: Settings, invoke: Invoke | None = None, machines: Any | None = None
) -> dict[str, Any]:
    """A marker's event, or a step of the machine.

    Args:
        machines: a client of Step Functions; default: AWS's.

    Returns:
        ``{"started": [execution names, or keys of media]}``; of a step: what ``start`` and ``look`` say.

    Raises:
        EventError: a step that there is not, or an event of no S3 object.
        CastlineError: a retryable one; the platform invokes again.
    """
    send = invoke or partial(_start, settings)
    match event:
        case {"step": "start", "marker": str(marker), "items": [*items]}:
            return start(marker, list(_listed(items)), store, settings, send)
        case {"step": "look", "batch": Mapping() as batch}:
            return look(batch, store, settings)
        case {"step": step}:
            raise EventError(f"there is no step {str(step)[:60]!r}, or it lacks something")
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
    started: list[str] = []
    for first in range(0, len(listed), BATCH):
        started += start(marker, listed[first : first + BATCH], store, settings, invoke)["media"]
    logger.info("a marker started what had no result", marker=marker, media=len(started))
    return started


def _start_machine(marker: str, settings: Settings, machines: Any) -> list[str]:
    """The marker is the execution's name, so that its event, repeated, starts nothing."""
    try:
        machines.start_execution(
            stateMachineArn=settings.batch_machine, name=marker, input=json.dumps({"marker": marker})
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
            logger.info("this marker has started its batch already", marker=marker)
            return []
        raise ResourceError(f"the batch could not be started: {error}") from error
    except BotoCoreError as error:
        raise ResourceError(f"the batch could not be started: {error}") from error
    return [marker]


def start(marker: str, listed: Sequence[str], store: ObjectStore, settings: Settings, invoke: Invoke) -> dict[str, Any]:
    """Start those of some objects that are media without a result, and that no other marker has started.

    Args:
        listed: keys of the input bucket.

    Returns:
        ``{"media": [keys started], "skipped": media that had a result or were another marker's}``, and what ``look``
        wants to know next.
    """
    started, skipped = [], 0
    for source in _sources(listed, store, settings):
        if finished(source, store, settings) or not _claim(marker, source, store, settings):
            skipped += 1
            continue
        invoke(settings.splitter_function, object_created(source.bucket, source.key, max(source.size, 1)))
        started.append(source.key)
    return _waiting(started, 0, {"media": started, "skipped": skipped, "processed": 0, "failed": []})


def look(batch: Mapping[str, Any], store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Which media of a batch have ended.

    Args:
        batch: what ``start`` or the look before answered.

    Returns:
        The same with ``processed`` counted up and ``failed`` (``{"media", "error"}``) grown; ``done`` ends it.

    Raises:
        EventError: it is no such batch.
    """
    match batch:
        case {"media": [*waiting], "looks": int(looks), "processed": int(processed), "failed": [*failed]}:
            pass
        case _:
            raise EventError("a batch that lacks something")
    left: list[str] = []
    failed = list(failed)
    for media in map(str, waiting):
        source = read_source(settings.input_bucket, media, store)
        result = finished(source, store, settings) if source else None
        if source is None:
            failed.append({"media": media, "error": "deleted: the upload is gone"})
        elif result is None:
            left.append(media)
        elif result.status == "failed":
            why = f"{result.error.code}: {result.error.message}" if result.error else "failed"
            failed.append({"media": media, "error": why[:300]})
        else:
            processed += 1
    if looks + 1 >= MOST_LOOKS:
        failed += [{"media": media, "error": "unfinished: castline reconcile finds it"} for media in left]
        left = []
    return _waiting(left, looks + 1, {**batch, "processed": processed, "failed": failed})


def _waiting(left: list[str], looks: int, batch: Mapping[str, Any]) -> dict[str, Any]:
    wait_s = min(_FIRST_LOOK_S * 2 ** min(looks // 2, 8), _LONGEST_S)
    return {**batch, "media": left, "looks": looks, "wait_s": wait_s, "done": not left}


def _listed(items: Iterable[Any]) -> Iterator[str]:
    """Keys of objects as Step Functions lists them."""
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("Key"), str):
            raise EventError("an item of a listing that has no key")
        yield item["Key"]


def _sources(listed: Iterable[str], store: ObjectStore, settings: Settings) -> Iterator[Source]:
    for key in listed:
        if keys.is_media(key) and (source := read_source(settings.input_bucket, key, store)):
            yield source


def _claim(marker: str, source: Source, store: ObjectStore, settings: Settings) -> bool:
    """Whether the run is this marker's to start: the first one's. Whoever was interrupted starts his own again."""
    key = keys.batch_claim_key(read_request(source, store, settings).run)
    if store.put(settings.output_bucket, key, marker.encode(), if_absent=True):
        return True
    return store.get(settings.output_bucket, key, max_bytes=1024) == marker.encode()


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
