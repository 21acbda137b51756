"""Brings results into the index: by listing what is published, or a single one that was announced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from castline import keys
from castline.archive.index import Entry, Index, entry_of
from castline.errors import UnreadableObject
from castline.records import ObjectInfo, Result
from castline.runs.removal import owner_of
from castline.runs.written import as_shown, etag_now
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = logging.getLogger(__name__)

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Attributes:
    written, dropped: media files.
    """

    written: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def refresh(index: Index, store: ObjectStore, settings: Settings, told: Told | None = None) -> Refreshed:
    """Bring an index up to date with what is published; only changed results are read.

    Args:
        told: called with the numbers of processed and of all changed results.
    """
    known = index.etags()  # before listing, so that what the feed adds meanwhile does not look removed
    there, put_right = _listed(store, settings)
    gone = tuple(media for media in known if media not in there)
    index.drop(gone)
    changed = [media for media, info in there.items() if known.get(media) != _mark(info.etag, put_right.get(media, ""))]
    written = []
    for number, media in enumerate(changed, 1):
        if _write(media, there[media], put_right.get(media, ""), index, store, settings):
            written.append(media)
        if told:
            told(number, len(changed))
    if written:  # a name may have been removed from them
        index.settle()
    return Refreshed(tuple(written), gone)


def refresh_one(media: str, index: Index, store: ObjectStore, settings: Settings) -> bool:
    """Check one media file's result: an event only says where to look, and nothing else in it is trusted.

    Returns:
        Whether there is a result.
    """
    info = store.head(settings.output_bucket, keys.result_key(media))
    if info is None or not _write(media, info, etag_now(media, store, settings), index, store, settings):
        if media in index.etags():
            index.drop([media])
        return False
    index.settle()
    return True


def published(store: ObjectStore, settings: Settings) -> dict[str, ObjectInfo]:
    """Every published ``result.json``, by media file."""
    return _listed(store, settings)[0]


def _listed(store: ObjectStore, settings: Settings) -> tuple[dict[str, ObjectInfo], dict[str, str]]:
    """Every result, and the ETag of its corrections, by media file."""
    results, put_right = {}, {}
    for info in store.find(settings.output_bucket):
        owner = owner_of(info.key)
        if owner.view == keys.RESULT:
            results[owner.media] = info
        elif owner.view == keys.CORRECTIONS:
            put_right[owner.media] = info.etag
    return results, put_right


def _mark(result: str, put_right: str) -> str:
    """A value from two ETags that changes with a result and with its corrections."""
    return f"{result} {put_right}" if put_right else result


def _write(media: str, info: ObjectInfo, put_right: str, index: Index, store: ObjectStore, settings: Settings) -> bool:
    """Write a result; returns whether it existed. An unreadable one is indexed as failed."""
    upload = store.head(settings.input_bucket, media)
    dated = (upload and upload.last_modified) or info.last_modified
    mark = _mark(info.etag, put_right)
    uploaded_s = int(dated.timestamp()) if dated else 0
    try:
        result = read_object(Result, store, settings.output_bucket, keys.result_key(media))
    except UnreadableObject as error:
        logger.warning("%s", error.message)
        index.put(Entry(media, mark, uploaded_s, error="its result cannot be read; see: castline reconcile"))
        return True
    if result is None:
        return False
    index.put(entry_of(media, as_shown(result, store, settings), mark, uploaded_s))
    return True
