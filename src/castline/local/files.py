"""The library's objects, read from the files that the emulator keeps them in.

So a command that only reads need not start and stop a stack. Each object is a file below the bucket's folder, with a
``.meta.json`` beside it (ministack 1.4.21). Both are replaced atomically before the emulator answers the writer, so a
stack that runs meanwhile does no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

from castline.errors import StorageError
from castline.local.engine import ACCOUNT
from castline.records import ObjectInfo, Source
from castline.records.reading import MAX_BYTES, check_size
from castline.storage.base import ObjectVersion
from castline.storage.multipart import Progress

_FACTS = ".meta.json"
_BLOCK = 1024 * 1024


class LibraryFiles:
    """A read-only ``ObjectStore``: methods that would change something raise ``StorageError``."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir.resolve() / "s3" / ACCOUNT

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        path = self._path(bucket, key)
        return self._info(key, path) if path and path.is_file() else None

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        path = self._path(bucket, key)
        if path is None or not path.is_file():
            return None
        check_size(path.stat().st_size, key, max_bytes)
        return path.read_bytes()

    def download(self, bucket: str, info: ObjectInfo | Source, path: Path) -> bool:
        found = self._same(bucket, info)
        if found is None:
            return False
        shutil.copyfile(found, path)
        return True

    def read(self, bucket: str, info: ObjectInfo | Source, offset: int, length: int) -> bytes | None:
        found = self._same(bucket, info)
        if found is None:
            return None
        with found.open("rb") as source:
            source.seek(offset)
            return source.read(length)

    def stream(self, bucket: str, info: ObjectInfo, first: int, last: int) -> Iterator[bytes]:
        for start in range(first, last + 1, _BLOCK):
            yield self.read(bucket, info, start, min(_BLOCK, last + 1 - start)) or b""

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        root = self._root / bucket  # a bucket without objects has no folder
        found = (
            os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118 - thousands of objects
            for folder, _, names in os.walk(root)
            for name in names
            if not name.endswith((_FACTS, f"{_FACTS}.tmp"))
        )
        for key in sorted(key for key in found if key.startswith(prefix)):
            if info := self.head(bucket, key):
                yield info

    def versions(self, bucket: str, prefix: str = "") -> Iterator[ObjectVersion]:
        yield from (ObjectVersion(info.key, info.version, info.etag) for info in self.find(bucket, prefix))

    def upload(
        self, bucket: str, key: str, path: Path, progress: Progress | None = None, *, sidecar: str | None = None
    ) -> bool:
        self._refuse()

    def put(self, bucket: str, key: str, body: bytes | Path, **conditions: object) -> bool:
        self._refuse()

    def delete(self, bucket: str, keys: list[str]) -> None:
        self._refuse()

    def erase(self, bucket: str, versions: list[ObjectVersion]) -> None:
        self._refuse()

    def _path(self, bucket: str, key: str) -> Path | None:
        """The path of an object; None for a key that leads out of its bucket."""
        root = self._root / bucket
        path = root / key
        return path if path.resolve().is_relative_to(root) and not key.endswith(_FACTS) else None

    def _same(self, bucket: str, info: ObjectInfo | Source) -> Path | None:
        """The file of exactly the object that ``head`` saw."""
        now = self.head(bucket, info.key)
        return self._path(bucket, info.key) if now and now.etag == info.etag else None

    def _info(self, key: str, path: Path) -> ObjectInfo | None:
        try:
            size = path.stat().st_size
            facts = _facts(Path(f"{path}{_FACTS}"))
            etag = str(facts.get("etag", "")).strip('"') or _md5(path)
        except FileNotFoundError:
            return None  # it was removed meanwhile
        return ObjectInfo(
            key=key,
            size=size,
            etag=etag,
            version=facts.get("version_id"),
            last_modified=facts.get("last_modified"),
            sha256=facts.get("metadata", {}).get("x-amz-meta-sha256"),
            sidecar=facts.get("metadata", {}).get("x-amz-meta-sidecar"),
        )

    def _refuse(self) -> Never:
        raise StorageError("a library that is only read is not changed")


def _facts(path: Path) -> dict[str, Any]:
    """The metadata stored beside an object; empty if damaged, as for the emulator."""
    try:
        facts = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
