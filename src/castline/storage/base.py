"""The part of S3 that stages need, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from castline.records import ObjectInfo, Source
from castline.records.reading import MAX_BYTES
from castline.storage.multipart import Progress

#: Content types of files that are not views of a result: those declare their own (``report/writers.py``).
CONTENT_TYPES = {
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".zip": "application/zip",
    ".flac": "audio/flac",
}


class ObjectVersion(NamedTuple):
    """One version of an object, or a delete marker.

    Attributes:
        version: None if the bucket has no versions.
        etag: None for a delete marker.
        latest: whether a client that names no version gets it.
    """

    key: str
    version: str | None
    etag: str | None
    latest: bool = True


class ObjectStore(Protocol):
    """Strongly consistent object storage.

    Every method raises ``StorageError`` if the store refuses or cannot be reached, ``NoBucket`` without the bucket.
    """

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Facts about an object; None if there is none."""
        ...

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        """An object's bytes; None if there is none.

        Raises:
            UnreadableObject: it is larger than ``max_bytes``; nothing was read.
        """
        ...

    def download(self, bucket: str, info: ObjectInfo | Source, path: Path) -> bool:
        """Write exactly the object that ``head`` saw to a file; False if it is gone or was replaced."""
        ...

    def read(self, bucket: str, info: ObjectInfo | Source, offset: int, length: int) -> bytes | None:
        """Bytes of exactly the object that ``head`` saw; fewer at its end, None if it is gone or was replaced."""
        ...

    def stream(self, bucket: str, info: ObjectInfo, first: int, last: int) -> Iterator[bytes]:
        """Bytes ``first`` to ``last``, both included, of exactly the object that ``head`` saw, in blocks."""
        ...

    def upload(
        self, bucket: str, key: str, path: Path, progress: Progress | None = None, *, sidecar: str | None = None
    ) -> bool:
        """Store a file, unless the same bytes are there already: their SHA-256 is stored with the object.

        Args:
            progress: called with bytes as they arrive, or with all of them at once if nothing had to be sent.
            sidecar: the version of its sidecar that is there already; stored with the object.

        Returns:
            Whether it was sent. Parts of a large file that were sent before an interruption are not sent again.
        """
        ...

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
        """Store an object.

        Args:
            if_absent: only if there is none: the first writer wins.
            content_type: for browsers; by default determined by the key's suffix.
            if_match: replace only the object with this ETag; not if it was replaced or is gone.

        Returns:
            Whether this call wrote.
        """
        ...

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below a prefix, in key order."""
        ...

    def delete(self, bucket: str, keys: list[str]) -> None:
        """Remove objects; absent keys are no error. A bucket with versions keeps them under a delete marker."""
        ...

    def versions(self, bucket: str, prefix: str = "") -> Iterator[ObjectVersion]:
        """All versions and delete markers below a prefix; in a bucket without versions, its objects."""
        ...

    def erase(self, bucket: str, versions: list[ObjectVersion]) -> None:
        """Remove exactly these versions permanently; absent ones are no error."""
        ...
