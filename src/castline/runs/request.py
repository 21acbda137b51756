"""The request for a media file: which upload of it, and with which options.

The deployment's options are the defaults. A sidecar, the object ``<media>.json`` beside the media,
overrides them for this media file, whether it comes before the media or after; its ETag is part of the
run's identity, so a changed sidecar is a new run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from castline import keys
from castline.errors import CastlineError, OptionsError, UnreadableObject
from castline.events import ObjectCreated
from castline.records import SCHEMA_VERSION, Options, Source
from castline.records.options import PER_MEDIA
from castline.records.reading import read_json
from castline.settings import Settings, range_of
from castline.storage.base import ObjectStore

MAX_SIDECAR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A run to be made: the upload, its options, and what is wrong with its sidecar.

    Attributes:
        error: set if the sidecar cannot be used; ``options`` are then the deployment's.
    """

    source: Source
    options: Options
    error: CastlineError | None = None

    @property
    def run(self) -> str:
        """The run id, in this version's format of records."""
        choices = f"{SCHEMA_VERSION} {self.options.model_dump_json()}"
        return keys.run_id(self.source.bucket, self.source.key, self.source.identity, choices)


def read_source(bucket: str, media: str, store: ObjectStore) -> Source | None:
    """The current upload of a media file; None if it is gone."""
    info = store.head(bucket, media)
    if info is None:
        return None
    # The longest keys leave no room for a sidecar.
    sidecar = store.head(bucket, keys.sidecar_key(media)) if keys.is_storable(keys.sidecar_key(media)) else None
    return Source(
        bucket=bucket,
        key=media,
        etag=info.etag,
        version=info.version,
        size=info.size,
        sidecar=sidecar.etag if sidecar else None,
    )


def source_of(item: ObjectCreated, store: ObjectStore, settings: Settings) -> Source | None:
    """The current upload that an event is about; an event of a sidecar is one of its media.

    None for a foreign bucket or object, and for a media file that is gone or not there yet.
    """
    media = keys.media_of(item.key)
    if media is None or item.bucket != settings.input_bucket:
        return None
    return read_source(item.bucket, media, store)


def came_first(item: ObjectCreated, store: ObjectStore, settings: Settings) -> bool:
    """Whether the event is of a sidecar that was there before its media file, whose own event is enough.

    The uploader must have said so (``ObjectStore.upload``): which of the two came first, times in seconds do not tell.
    """
    media = keys.media_of(item.key)
    if media in (None, item.key) or not item.written or item.bucket != settings.input_bucket:
        return False
    sidecar, upload = store.head(item.bucket, item.key), store.head(item.bucket, media)
    return bool(sidecar and sidecar.version and upload and upload.sidecar == sidecar.version)


def uploaded_media(store: ObjectStore, settings: Settings) -> Iterator[Source]:
    """The current upload of every media file of the input bucket."""
    for listed in store.find(settings.input_bucket):
        # A listing does not contain versions, which are part of a run's identity.
        if keys.is_media(listed.key) and (source := read_source(settings.input_bucket, listed.key, store)):
            yield source


def uploads_left_out(store: ObjectStore, settings: Settings) -> list[str]:
    """Keys of the input bucket that are not processed, although their names suggest otherwise."""
    return [listed.key for listed in store.find(settings.input_bucket) if keys.is_left_out(listed.key)]


def read_request(source: Source, store: ObjectStore, settings: Settings) -> Request:
    """The options of an upload: the deployment's, overridden by its sidecar's."""
    defaults = settings.options()
    if source.sidecar is None:
        return Request(source, defaults)
    key = keys.sidecar_key(source.key)
    try:
        body = store.get(source.bucket, key, max_bytes=MAX_SIDECAR_BYTES)
        return Request(source, override(defaults, body, key) if body is not None else defaults)
    except UnreadableObject as error:
        return Request(source, defaults, OptionsError(error.message))
    except OptionsError as error:
        return Request(source, defaults, error)


def override(defaults: Options, body: bytes, name: str) -> Options:
    """The options that a sidecar asks for.

    Args:
        name: what messages call the sidecar.

    Raises:
        OptionsError: not a JSON object, or an unknown key or value.
    """
    try:
        asked = read_json(body, name, max_bytes=MAX_SIDECAR_BYTES)
    except UnreadableObject as error:
        raise OptionsError(error.message) from error
    if not isinstance(asked, dict):
        raise OptionsError(f"{name} is not a JSON object of options")
    unknown = [key for key in asked if key not in PER_MEDIA]
    if unknown:
        raise OptionsError(f"{name}: {_unknown(unknown[0])}; known keys: {', '.join(PER_MEDIA)}")
    try:
        return Options.model_validate({**defaults.model_dump(), **asked})
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        why = f"{first['msg'][0].lower()}{first['msg'][1:]}{range_of(str(first['loc'][0]))}"
        raise OptionsError(f"{name}: {where}: {why}", detail=str(error)) from error


def _unknown(key: str) -> str:
    if key in Options.model_fields:
        return f"{key!r} is the deployment's to decide"
    near = get_close_matches(key, PER_MEDIA, n=1)
    return f"unknown key {key[:60]!r}" + (f", did you mean {near[0]!r}?" if near else "")
