"""An ``ObjectStore`` in a dict, for tests of stages and experiments in a shell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from castline.records import ObjectInfo, Source
from castline.records.reading import MAX_BYTES, check_size
from castline.storage.base import ObjectVersion
from castline.storage.multipart import Progress


class MemoryStore:
    """Keeps objects in ``self.objects[bucket, key]``; no versions, ETag = MD5 as in S3."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.writes: list[tuple[str, str]] = []

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        body = self.objects.get((bucket, key))
        return None if body is None else _info(key, body)

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        body = self.objects.get((bucket, key))
        check_size(len(body or b""), key, max_bytes)
        return body

    def download(self, bucket: str, info: ObjectInfo | Source, path: Path) -> bool:
        current = self.head(bucket, info.key)
        if current is None or current.etag != info.etag:
            return False
        path.write_bytes(self.objects[bucket, info.key])
        return True

    def read(self, bucket: str, info: ObjectInfo | Source, offset: int, length: int) -> bytes | None:
        current = self.head(bucket, info.key)
        if current is None or current.etag != info.etag:
            return None
        return self.objects[bucket, info.key][offset : offset + length]

    def stream(self, bucket: str, info: ObjectInfo, first: int, last: int) -> Iterator[bytes]:
        yield self.objects[bucket, info.key][first : last + 1]

    def upload(
        self, bucket: str, key: str, path: Path, progress: Progress | None = None, *, sidecar: str | None = None
    ) -> bool:
        body = path.read_bytes()
        if progress:
            progress(len(body))
        return self.objects.get((bucket, key)) != body and self.put(bucket, key, body)

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Path,
        *,
        if_absent: bool = False,
        if_match: str | None = None,
        content_type: str | None = None,
    ) -> bool:
        there = self.objects.get((bucket, key))
        if if_absent and there is not None:
            return False
        if if_match is not None and (there is None or _info(key, there).etag != if_match):
            return False
        self.objects[bucket, key] = body.read_bytes() if isinstance(body, Path) else body
        self.writes.append((bucket, key))
        return True

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        found = [key for in_bucket, key in list(self.objects) if in_bucket == bucket and key.startswith(prefix)]
        for key in sorted(found):
            if info := self.head(bucket, key):
                yield info

    def delete(self, bucket: str, keys: list[str]) -> None:
        for key in keys:
            self.objects.pop((bucket, key), None)

    def versions(self, bucket: str, prefix: str = "") -> Iterator[ObjectVersion]:
        yield from (ObjectVersion(info.key, None, info.etag) for info in self.find(bucket, prefix))

    def erase(self, bucket: str, versions: list[ObjectVersion]) -> None:
        self.delete(bucket, [item.key for item in versions])


def _info(key: str, body: bytes) -> ObjectInfo:
    return ObjectInfo(key=key, size=len(body), etag=_md5(body))


@lru_cache(maxsize=4)  # a large object is read piece by piece
def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
