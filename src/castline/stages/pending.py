"""What is unfinished, derived from the buckets alone: how a crashed stack, or a lost event, is mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from castline import keys
from castline.events import object_created
from castline.records import Source
from castline.settings import Settings
from castline.stages import classic
from castline.stages.complete import current_run, finished, written_parts
from castline.stages.request import uploaded_media
from castline.storage.base import ObjectStore


def pending(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that would finish every input whose current version has no result.

    Yields:
        Name of the function to invoke, and the S3 event to invoke it with. Sending one twice does no harm.
    """
    if settings.profile == "classic":
        for source in classic.unanswered(store, settings):
            yield settings.splitter_function, object_created(settings.input_bucket, source.key)
        return
    for source in uploaded_media(store, settings):
        if not finished(source, store, settings):
            yield from _missing(source, store, settings)


def _missing(source: Source, store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    run, manifest = current_run(source, store, settings)
    if manifest is None:
        yield settings.splitter_function, object_created(settings.input_bucket, source.key)
        return
    done, failed = written_parts(source.key, run, store, settings)
    missing = [unit for unit in manifest.units if unit.name not in done.keys() | failed.keys()]
    for unit in missing:
        key = keys.UnitId(source.key, run, unit.kind, unit.index).stage1_key
        yield settings.analyser_function, object_created(settings.stage1_bucket, key)
    if not missing:
        yield settings.analyser_function, object_created(settings.stage1_bucket, keys.manifest_key(source.key, run))
