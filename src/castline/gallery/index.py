"""Keeps the gallery's derived embeddings up to date when photos move or go, without running a model.

The index is only a cache (see `castline.gallery.load`): whatever is lost here is computed again from photos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from castline.errors import UnreadableObject
from castline.gallery.load import Index
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

PREFIX = ".embeddings/"


def indexes(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, Index | None]]:
    """(key, index) of every model; None for one that cannot be read."""
    for info in list(store.find(settings.gallery_bucket, PREFIX)):
        try:
            index = read_object(Index, store, settings.gallery_bucket, info.key)
        except UnreadableObject:  # truncated, or of another version
            index = None
        yield info.key, index


def carry(moved: Mapping[str, str], store: ObjectStore, settings: Settings) -> None:
    """Move embeddings along with photos that have a new key.

    Args:
        moved: new key by old key; both objects exist, with the same bytes.
    """
    bucket = settings.gallery_bucket
    for index_key, index in indexes(store, settings):
        entries = dict(index.entries) if index else {}
        for old, new in moved.items():
            entry, before, after = entries.get(old), store.head(bucket, old), store.head(bucket, new)
            if entry and before and after and entry.etag == before.etag:
                entries[new] = entry.model_copy(update={"etag": after.etag})
        if index and entries != index.entries:
            store.put(bucket, index_key, Index(entries=entries).to_json())


def drop(gone: Callable[[str], bool], store: ObjectStore, settings: Settings) -> None:
    """Remove the embeddings of the photos with these keys; the others keep theirs."""
    for key, index in indexes(store, settings):
        kept = {photo: entry for photo, entry in index.entries.items() if not gone(photo)} if index else {}
        if index is None or not kept:
            store.delete(settings.gallery_bucket, [key])
        elif kept != index.entries:
            store.put(settings.gallery_bucket, key, Index(entries=kept).to_json())
