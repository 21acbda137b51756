"""What is unfinished, derived from the buckets alone: how a crashed stack, or a lost event, is mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from castline import keys
from castline.events import object_created
from castline.records import Source
from castline.runs.request import uploaded_media
from castline.runs.sets import current_run, finished, split_again, units_to_analyse, worth_another_try
from castline.settings import Settings
from castline.stages import classic
from castline.storage.base import ObjectStore


def pending(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that would finish every input whose current version has no result, or failed for what may pass.

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
            yield from _missing(source, result is not None, store, settings)


def _missing(
    source: Source, ended: bool, store: ObjectStore, settings: Settings
) -> Iterator[tuple[str, dict[str, Any]]]:
    run, manifest = current_run(source, store, settings)
    if manifest is None or split_again(manifest, store, settings):
        if manifest or not ended:  # what ended and has no manifest any more is over
            yield settings.splitter_function, object_created(settings.input_bucket, source.key)
        return
    missing = units_to_analyse(manifest, store, settings)
    for unit in missing:
        yield settings.analyser_function, object_created(settings.stage1_bucket, unit.stage1_key)
    if not missing and not ended:
        yield settings.analyser_function, object_created(settings.stage1_bucket, keys.manifest_key(source.key, run))
