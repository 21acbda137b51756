"""Uploads large files, and resumes interrupted uploads.

S3 keeps the parts of an unfinished multipart upload (the template's lifecycle drops them after two days). If all
existing parts have the MD5 of ours, they are not sent again. Under SSE-KMS an ETag is not an MD5: then the upload
starts again, and nothing else changes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Smaller files go in one request or through boto3's own multipart, and start again after an interruption.
LARGE = 64 * 1024 * 1024
_PART = 16 * 1024 * 1024
_MAX_PARTS = 10_000  # S3's limit
_AT_ONCE = 4

Progress = Callable[[int], None]
"""Called with the number of bytes that have arrived since the last call; from several threads."""


def part_size(size: int, part: int = _PART) -> int:
    """Bytes of a part: a multiple of 1 MiB, so that a resumed upload finds the same parts."""
    return max(part, math.ceil(size / _MAX_PARTS / 2**20) * 2**20)


def upload_large(
    s3: Any, bucket: str, key: str, path: Path, extra: dict[str, Any], progress: Progress, part: int = _PART
) -> None:
    """Upload a file in parts, keeping those of an interrupted upload of the same bytes.

    Args:
        s3: a boto3 client.
        extra: arguments of CreateMultipartUpload: content type, metadata.
        part: wanted size of a part in bytes; S3 requires at least 5 MiB.

    Raises:
        ClientError, BotoCoreError: S3 refused; parts that were sent stay for the next attempt.
    """
    size = part_size(path.stat().st_size, part)
    count = max(1, math.ceil(path.stat().st_size / size))
    upload_id = _open_upload(s3, bucket, key)
    there = _parts(s3, bucket, key, upload_id) if upload_id else {}

    def read(number: int) -> tuple[bytes, str]:
        with path.open("rb") as file:
            file.seek((number - 1) * size)
            body = file.read(size)
        return body, hashlib.md5(body, usedforsecurity=False).hexdigest()

    # The metadata belong to the file for which it was begun: if one part is of another file, the upload is not ours.
    if not there or any(read(number)[1] != part["ETag"].strip('"') for number, part in there.items()):
        there = {}
        begun = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32", **extra)
        upload_id = begun["UploadId"]

    def send(number: int) -> dict[str, Any]:
        body, _ = read(number)
        done = there.get(number) or s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
        )
        progress(len(body))
        return {"PartNumber": number, **{name: done[name] for name in ("ETag", "ChecksumCRC32") if name in done}}

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        parts = list(pool.map(send, range(1, count + 1)))
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})


def _open_upload(s3: Any, bucket: str, key: str) -> str | None:
    """The newest unfinished upload of a key."""
    found: list[tuple[Any, str]] = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
        found += [(item["Initiated"], item["UploadId"]) for item in page.get("Uploads", ()) if item["Key"] == key]
    return max(found)[1] if found else None


def _parts(s3: Any, bucket: str, key: str, upload_id: str) -> dict[int, dict[str, Any]]:
    """S3's description of each part, by its number."""

    def pages() -> Iterator[dict[str, Any]]:
        yield from s3.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)

    return {item["PartNumber"]: item for page in pages() for item in page.get("Parts", ())}


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
