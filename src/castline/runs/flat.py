"""The flat transcript, ``week1/video1.txt``: media whose keys differ only by their suffix share it.

It belongs to the one published last. When that one is deleted or fails, it is written again from another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from castline import keys
from castline.records import ObjectInfo, Result
from castline.report import content_type, flat_transcript
from castline.runs.common import read_result
from castline.runs.written import as_shown
from castline.settings import Settings
from castline.storage.base import ObjectStore


def publish_flat(result: Result, store: ObjectStore, settings: Settings) -> None:
    """Write the transcript of a result. A failed media file has none, not even that of an earlier upload."""
    if result.status == "failed":
        withdraw_flat(result.media, store, settings)
        return
    bucket, key = settings.output_bucket, keys.flat_transcript_key(result.media)
    if not holds(store.head(bucket, key), body := flat_transcript(result)):
        store.put(bucket, key, body, content_type=content_type("transcript.txt"))


def withdraw_flat(media: str, store: ObjectStore, settings: Settings) -> None:
    """Remove the transcript of a media file; that of another one that shares its key is restored."""
    other = next(_others(media, store, settings), None)
    if other:
        publish_flat(other, store, settings)
    else:
        store.delete(settings.output_bucket, [keys.flat_transcript_key(media)])


def _others(media: str, store: ObjectStore, settings: Settings) -> Iterator[Result]:
    """Results with a transcript, by key, of other media that share a media file's transcript key."""
    shared, bucket = keys.flat_transcript_key(media), settings.output_bucket
    for info in store.find(bucket, shared.removesuffix("txt")):
        owner = info.key.removesuffix(f"/{keys.RESULT}")
        if owner in (media, info.key) or not keys.is_media(owner) or keys.flat_transcript_key(owner) != shared:
            continue
        result = read_result(owner, store, settings)
        if result is not None and result.status != "failed":
            yield as_shown(result, store, settings)


def holds(there: ObjectInfo | None, body: bytes) -> bool:
    """Whether an object already has these bytes."""
    # S3's ETag of a small object is its MD5 (not under KMS; then this only saves nothing).
    return there is not None and there.etag == hashlib.md5(body, usedforsecurity=False).hexdigest()
