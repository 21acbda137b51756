"""Stage 1 for the state machine (``statemachine/``): which execution to start, and which units to analyse.

Payloads are pointers into S3 and short names, because a state's data is limited to 256 KB: a stage-1 key of
the run is ``prefix`` + one of ``units``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from castline import keys
from castline.errors import EventError, StorageError
from castline.events import Event, ObjectCreated, objects_created
from castline.records import Source
from castline.runs.common import Split, found_split, read_result
from castline.runs.request import read_request, source_of
from castline.runs.sets import read_manifest
from castline.settings import Settings
from castline.stages.announce import nobody
from castline.storage.base import ObjectStore


def identify(event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """The execution that an event of the input bucket asks for.

    Its name comes from the run, so that a repeated event starts nothing. A run that is there already, but
    is not the published one, gets another name, so that it is published again.

    Returns:
        ``{"execution": name or None, "bucket": …, "media": …}``.
    """
    for item in objects_created(event):
        source = source_of(item, store, settings)
        if source and keys.has_room(source.key):
            return {"execution": _name(source, store, settings), "bucket": source.bucket, "media": source.key}
    return {"execution": None, "bucket": "", "media": ""}


def _name(source: Source, store: ObjectStore, settings: Settings) -> str:
    run = read_request(source, store, settings).run
    published = read_result(source.key, store, settings)
    if published and published.run == run:
        return run
    manifest = keys.manifest_key(source.key, run)
    # Names stay taken for 90 days; the copy in the output bucket outlives stage 1.
    split = store.head(settings.stage1_bucket, manifest) or store.head(settings.output_bucket, manifest)
    shown = store.head(settings.output_bucket, keys.result_key(source.key)) if published else None
    latest = shown or split
    return f"{run}-{int(latest.last_modified.timestamp())}" if split and latest and latest.last_modified else run


def split(
    bucket: str, media: str, store: ObjectStore, settings: Settings, split_media: Callable[..., Split | None]
) -> dict[str, Any]:
    """Split the current upload of a media file, unless that is done, and list what is to be analysed.

    Args:
        split_media: the profile's own function for it.

    Returns:
        ``{"bucket": stage-1 bucket, "prefix": …, "units": [keys below the prefix], "ranges": [keys below the
        prefix]}``; no units for a media file that is gone, of which nothing could be decoded, or that has ranges.

    Raises:
        CastlineError: only a retryable one; in the classic profile, any.
    """
    found = split_media(ObjectCreated(bucket, media, 1), store, settings, nobody)
    prefix, units, ranges = (found.prefix, found.units, found.ranges) if found else ("", (), ())
    return {"bucket": settings.stage1_bucket, "prefix": prefix, "units": list(units), "ranges": list(ranges)}


def collect(bucket: str, prefix: str, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """The units of a run whose ranges have been split.

    Raises:
        StorageError: the manifest is not there yet: the failure of a range is still being recorded.
    """
    run = keys.parse_manifest(f"{prefix}manifest.json")
    manifest = read_manifest(*run, store, settings) if run else None
    if manifest is None:
        raise StorageError(f"s3://{bucket}/{prefix}manifest.json is not there yet")
    return {"bucket": bucket, "prefix": prefix, "units": list(found_split(manifest, new=True).units)}


def run_step(
    event: Event, store: ObjectStore, settings: Settings, split_media: Callable[..., Split | None]
) -> dict[str, Any]:
    """A step of the state machine.

    ``{"step": "identify", "event": …}``, ``{"step": "split", "bucket": …, "media": …}``, ``{"step": "range",
    "bucket": …, "key": …}`` or ``{"step": "collect", "bucket": …, "prefix": …}``.
    """
    match event:
        case {"step": "identify", "event": Mapping() as inner}:
            return identify(inner, store, settings)
        case {"step": "split", "bucket": str(bucket), "media": str(media)}:
            return split(bucket, media, store, settings, split_media)
        case {"step": "range", "bucket": str(bucket), "key": str(key)}:
            split_media(ObjectCreated(bucket, key, 1), store, settings, nobody)
            return {}
        case {"step": "collect", "bucket": str(bucket), "prefix": str(prefix)}:
            return collect(bucket, prefix, store, settings)
    raise EventError(f"there is no step {str(event.get('step'))[:60]!r}, or it lacks a parameter")
