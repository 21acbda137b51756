"""Reads an object of a bucket as a record, within bounds, or reports it as unreadable."""

from __future__ import annotations

from castline.records.reading import MAX_BYTES, Kind, R, read_record
from castline.storage.base import ObjectStore


def read_object(kind: Kind[R], store: ObjectStore, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> R | None:
    """The record in an object; None if there is no object.

    Raises:
        UnreadableObject: it contains no such record, or is larger than ``max_bytes``.
        StorageError: as ``ObjectStore.get``.
    """
    body = store.get(bucket, key, max_bytes=max_bytes)
    return None if body is None else read_record(kind, body, f"s3://{bucket}/{key}", max_bytes=max_bytes)
