"""What is unfinished, derived from the buckets alone: how a crashed stack, or a lost event, is mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from castline import keys
from castline.events import object_created
from castline.records import Manifest
from castline.settings import Settings
from castline.stages.common import run_of, source_of
from castline.stages.complete import read_result, written_parts
from castline.storage.base import ObjectStore


def pending(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that would finish every input whose current version has no result.

    Yields:
        Name of the function to invoke, and the S3 event to invoke it with. Sending one twice does no harm.
    """
    for listed in store.find(settings.input_bucket):
        if not keys.is_media(listed.key):
            continue
        info = store.head(settings.input_bucket, listed.key)
        if info is None:
            continue
        run = run_of(source_of(settings.input_bucket, info), settings.options())
        result = read_result(info.key, store, settings)
        if result and result.run == run:
            continue
        yield from _missing(info.key, run, store, settings)


def _missing(media: str, run: str, store: ObjectStore, settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    manifest_key = keys.manifest_key(media, run)
    body = store.get(settings.stage1_bucket, manifest_key)
    if body is None:
        yield settings.splitter_function, object_created(settings.input_bucket, media)
        return
    done, failed = written_parts(media, run, store, settings)
    missing = [unit for unit in Manifest.from_json(body).units if unit.name not in done.keys() | failed.keys()]
    for unit in missing:
        key = keys.UnitId(media, run, unit.kind, unit.index).stage1_key
        yield settings.analyser_function, object_created(settings.stage1_bucket, key)
    if not missing:
        yield settings.analyser_function, object_created(settings.stage1_bucket, manifest_key)
