"""When a stage is out of retries, its failure is recorded as a part, so that the run still ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from castline import keys, metrics
from castline.errors import OUT_OF_RETRIES, EventError, UnreadableObject
from castline.events import MAX_EVENT_BYTES, InvocationFailed, ObjectCreated
from castline.queues import Message
from castline.records import ErrorPart, Failure, RangeDone, Source, Usage
from castline.records.reading import read_json
from castline.runs.complete import complete_run
from castline.runs.ranges import finish, read_done, read_plan, write_done
from castline.runs.removal import discard_units
from castline.runs.request import read_request, read_source, source_of
from castline.runs.sets import failed_manifest, read_error, split_again, split_manifest
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(service="failure-recorder")


def give_up(failed: InvocationFailed, item: ObjectCreated, store: ObjectStore, settings: Settings) -> str | None:
    """Record that an invocation failed for an object, and end its run.

    This function has no model, so gallery photos that were never embedded are left out with a warning; enrolling or
    re-assembling later corrects that. A run whose manifest cannot be read ends failed.

    Returns:
        The media file whose run ended; None if nobody waits for it.
    """
    failure = Failure(code=OUT_OF_RETRIES, message=f"gave up after repeated failures: {failed.reason}")
    run = _record(item, failure, store, settings)
    if run is None:
        return None
    logger.append_keys(media=run[0], run=run[1])
    try:
        complete_run(*run, store, settings)
    except UnreadableObject as error:
        logger.error("a run ends failed", reason=error.message)
        source = read_source(settings.input_bucket, run[0], store)
        if source is None or read_request(source, store, settings).run != run[1]:  # nobody waits for it any more
            return None
        failure = Failure(code=OUT_OF_RETRIES, message=f"gave up: {error.message}")
        complete_run(*_record_media(source, failure, store, settings), store, settings)
    return run[0]


def as_letter(message: Message, settings: Settings) -> dict[str, Any]:
    """A given-up message as a failed invocation: a function wrote it, or no function ever answered for it."""
    event = read_json(str(message.get("body", "")).encode(errors="replace"), "message", max_bytes=MAX_EVENT_BYTES)
    if isinstance(event, dict) and isinstance(event.get("requestPayload"), Mapping):
        return event
    failed = InvocationFailed(event if isinstance(event, dict) else {}, "", "")
    item = next(iter(failed.objects()), None)
    if item is None:
        raise EventError("a message about neither an object nor a failed invocation")
    of_input = item.bucket == settings.input_bucket
    return {
        "requestContext": {
            "functionArn": settings.splitter_function if of_input else settings.analyser_function,
            "condition": "RetriesExhausted",
        },
        "requestPayload": event,
        "responsePayload": {"errorType": "NoAnswer", "errorMessage": "no function ever answered for it"},
    }


def _record(item: ObjectCreated, failure: Failure, store: ObjectStore, settings: Settings) -> tuple[str, str] | None:
    """Record a failure; returns the (media, run) that this may have completed."""
    if item.bucket == settings.input_bucket:
        source = source_of(item, store, settings)
        if source is None and (gone := keys.media_of(item.key)):
            discard_units(gone, store, settings)
        if source is None or not keys.has_room(source.key):  # the key contains all that is needed
            return None
        return _record_media(source, failure, store, settings)
    if item.bucket == settings.stage1_bucket and (of_range := keys.parse_range(item.key)):
        return _record_range(*of_range, failure, store, settings)
    unit = keys.parse_unit(item.key)
    if item.bucket != settings.stage1_bucket or unit is None:
        return keys.parse_manifest(item.key)
    metrics.record("Failures")
    before = read_error(unit, store, settings)
    part = ErrorPart(unit=unit.name, error=failure, attempt=before.attempt + 1 if before else 1)
    store.put(settings.output_bucket, unit.error_key, part.to_json())
    return unit.media, unit.run


def _record_range(
    media: str, run: str, number: int, failure: Failure, store: ObjectStore, settings: Settings
) -> tuple[str, str] | None:
    """Record that a range could not be split; after the last range, write the manifest."""
    plan = read_plan(media, run, store, settings)
    if plan is None or number >= len(plan.ranges):
        return None
    metrics.record("Failures")
    before = read_done(plan, number, store, settings)
    done = RangeDone(
        error=failure,
        attempt=before.attempt + 1 if before else 1,
        usage=Usage(stage="split", seconds=0.0, memory_mb=settings.memory_mb),
    )
    write_done(plan, number, done, store, settings)
    finish(plan, store, settings)
    return media, run


def _record_media(source: Source, failure: Failure, store: ObjectStore, settings: Settings) -> tuple[str, str]:
    """Write a failed manifest, unless there is one that can be read."""
    request = read_request(source, store, settings)
    key = keys.manifest_key(source.key, request.run)
    there = store.head(settings.stage1_bucket, key) is not None
    done = split_manifest(key, store, settings)
    if done and not split_again(done, store, settings):
        return source.key, request.run
    manifest = failed_manifest(request, failure, settings)
    if done:  # what an earlier attempt could decode is worth more than nothing
        manifest = (done if done.error else manifest).model_copy(update={"attempt": done.attempt + 1})
    store.put(settings.stage1_bucket, key, manifest.to_json(), if_absent=not there)
    return source.key, request.run
