"""When a stage is out of retries: what it could not do is written down, so that its run still ends."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from castline import keys, metrics
from castline.errors import OUT_OF_RETRIES
from castline.events import Event, InvocationFailed, ObjectCreated, invocations_failed, objects_created
from castline.records import ErrorPart, Failure, Manifest, Usage
from castline.settings import Settings
from castline.stages import classic
from castline.stages.complete import complete_run
from castline.stages.request import read_request, source_of
from castline.stages.sets import parse_manifest, read_error, split_again
from castline.storage.base import ObjectStore

logger = Logger(service="failure-recorder")


def failure_event(event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Record every failed invocation of an event, and assemble the runs that this completes.

    This function holds no model, so gallery photos that were never embedded are left out with a
    warning; enrolling or re-assembling later mends that.

    Returns:
        ``{"recorded": [media]}``; keys of answers in the classic profile.
    """
    recorded = []
    for failed in invocations_failed(event):
        for item in objects_created(failed.event):
            if settings.profile == "classic":
                logger.error("out of retries", key=item.key, function=failed.function, reason=failed.reason)
                if answer := classic.give_up(item, store, settings):
                    recorded.append(answer)
                continue
            run = _record(failed, item, store, settings)
            if run:
                logger.append_keys(media=run[0], run=run[1])
                complete_run(*run, store, settings)
                recorded.append(run[0])
    return {"recorded": recorded}


def _record(
    failed: InvocationFailed, item: ObjectCreated, store: ObjectStore, settings: Settings
) -> tuple[str, str] | None:
    failure = Failure(code=OUT_OF_RETRIES, message=f"gave up after repeated failures: {failed.reason}")
    logger.error("out of retries", key=item.key, function=failed.function, reason=failed.reason)
    if item.bucket == settings.input_bucket:
        return _record_split(item, failure, store, settings)
    unit = keys.parse_unit(item.key)
    if item.bucket != settings.stage1_bucket or unit is None:
        return keys.parse_manifest(item.key)
    metrics.record("Failures")
    before = read_error(unit, store, settings)
    part = ErrorPart(unit=unit.name, error=failure, attempt=before.attempt + 1 if before else 1)
    store.put(settings.output_bucket, unit.error_key, part.to_json())
    return unit.media, unit.run


def _record_split(
    item: ObjectCreated, failure: Failure, store: ObjectStore, settings: Settings
) -> tuple[str, str] | None:
    source = source_of(item, store, settings)
    if source is None:
        return None
    request = read_request(source, store, settings)
    manifest_key = keys.manifest_key(source.key, request.run)
    before = store.get(settings.stage1_bucket, manifest_key)
    done = parse_manifest(before, source.key) if before is not None else None
    if done and not split_again(done, store, settings):
        return source.key, request.run
    manifest = Manifest(
        run=request.run,
        source=source,
        options=request.options,
        probe=None,
        units=(),
        error=failure,
        attempt=done.attempt + 1 if done else 1,
        usage=Usage(stage="split", seconds=0.0, memory_mb=settings.memory_mb),
    )
    if done and done.error:  # what the attempt before could decode is worth more than nothing
        manifest = done.model_copy(update={"attempt": manifest.attempt})
    store.put(settings.stage1_bucket, manifest_key, manifest.to_json(), if_absent=before is None)
    return source.key, request.run
