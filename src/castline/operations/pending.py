"""Unfinished work, found from the buckets alone, whether after a crash, a lost event or an incomplete deletion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from castline import keys
from castline.events import object_created
from castline.records import Manifest, Result, Source
from castline.runs.audit import Deleted
from castline.runs.common import read_result
from castline.runs.removal import Owner, owner_of
from castline.runs.request import uploaded_media
from castline.runs.sets import current_run, finished, units_left, worth_another_try, written_parts
from castline.settings import Settings
from castline.stages import classic
from castline.storage.base import ObjectStore

_ANY_RUN = "0" * 16  # views belong to a media file: completing any run of it removes them once the upload is gone


def pending(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that finish every input whose current version has no result or failed for a passing reason, and those
    that remove what is left of deleted uploads.

    Yields:
        Name of the function to invoke, and the S3 event to invoke it with. Sending one twice does no harm.
    """
    if settings.profile == "classic":
        for source in classic.unanswered(store, settings):
            yield settings.splitter_function, object_created(settings.input_bucket, source.key)
        return
    for source in uploaded_media(store, settings):
        result = finished(source, store, settings)
        if result is None or worth_another_try(result):
            yield from missing(source, store, settings, result)
    for media, run in _left_behind(store, settings):  # completing a run without an upload removes it
        yield settings.analyser_function, object_created(settings.stage1_bucket, keys.manifest_key(media, run))


def _left_behind(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, str]]:
    """Media and run of objects with neither an upload nor a result: their writers gave up before removing them.

    A result whose upload is gone stays: people let uploads expire and keep what was made from them. One that was
    published after a deletion does not.
    """
    buckets = (settings.stage1_bucket, settings.output_bucket)
    owners = {owner_of(info.key) for bucket in buckets for info in store.find(bucket)} - {Owner()}
    if owners:
        uploads = {info.key for info in store.find(settings.input_bucket)}
        shown = {owner.media for owner in owners if owner.view == keys.RESULT} - uploads
        deleted = Deleted(store, settings) if shown else ()
        late = {media for media in shown if media in deleted}
        for media in sorted(late):
            published = read_result(media, store, settings)
            yield media, published.run if published else _ANY_RUN
        left = {(owner.media, owner.run) for owner in owners if owner.media not in uploads | shown}
        of_runs = {media for media, run in left if run}
        yield from sorted((media, run or _ANY_RUN) for media, run in left if run or media not in of_runs)


def without_result(store: ObjectStore, settings: Settings) -> list[str]:
    """Keys of uploads that have no result of any version; this takes only two listings."""
    suffix = f"/{keys.RESULT}"
    listed = (info.key for info in store.find(settings.output_bucket))
    told = {key.removesuffix(suffix) for key in listed if key.endswith(suffix)}
    uploads = (info.key for info in store.find(settings.input_bucket))
    return [key for key in uploads if keys.is_media(key) and keys.has_room(key) and key not in told]


def missing(
    source: Source, store: ObjectStore, settings: Settings, result: Result | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that would finish one upload.

    Args:
        result: its result, some of whose parts are to be tried again.
    """
    run, manifest = current_run(source, store, settings)
    left = units_left(manifest, store, settings) if manifest else None
    if left is None:
        # A run that ended and lost its manifest is final; a manifest that cannot be read is made again.
        if result is None or store.head(settings.stage1_bucket, keys.manifest_key(source.key, run)):
            yield settings.splitter_function, object_created(settings.input_bucket, source.key)
        return
    for unit in left:
        yield settings.analyser_function, object_created(settings.stage1_bucket, unit.stage1_key)
    if manifest and not left and (result is None or _outdated(result, manifest, store, settings)):
        yield settings.analyser_function, object_created(settings.stage1_bucket, keys.manifest_key(source.key, run))


def _outdated(result: Result, manifest: Manifest, store: ObjectStore, settings: Settings) -> bool:
    """Whether what failed has been made since, but the event is lost upon which the run would have been completed."""
    if result.run != manifest.run:
        return False
    done, _ = written_parts(manifest.media, manifest.run, store, settings)
    failed = {failure.unit for failure in result.failures}
    return bool(failed & done.keys()) or (not failed and result.error is not None and manifest.error is None)
