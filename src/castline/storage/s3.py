"""``ObjectStore`` over boto3: real S3, or anything that speaks it at ``AWS_ENDPOINT_URL``."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from castline import aws, keys
from castline.errors import NoBucket, StorageError
from castline.records import ObjectInfo, Source
from castline.records.reading import MAX_BYTES, check_size
from castline.storage.base import CONTENT_TYPES, ObjectVersion
from castline.storage.multipart import LARGE, Progress, sha256_of, upload_large
from castline.storage.signed import SignedReads

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}
_REPLACED = {"412", "PreconditionFailed"}
#: Another conditional write, or a delete, of the same key is in progress; its outcome is still open.
_UNDER_WAY = {"409", "ConditionalRequestConflict", "OperationAborted"}
_TRIES = 6
_READ_CHUNK = 1024 * 1024


class S3Store:
    """One boto3 client; thread-safe, as boto3 clients are.

    Args:
        threads: whether ``put`` sends the parts of a large file in parallel.
    """

    def __init__(self, client: S3Client | None = None, *, threads: bool = True) -> None:
        self._s3 = client or aws.client("s3")
        self._signed = SignedReads(self._s3)
        self._transfer = TransferConfig(use_threads=threads)

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        with _storage_errors(bucket, key):
            try:
                found = self._s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _code(error) in _GONE:
                    return None
                raise
        return ObjectInfo(
            key=key,
            size=found["ContentLength"],
            etag=found["ETag"].strip('"'),
            version=found.get("VersionId") if found.get("VersionId") != "null" else None,
            last_modified=found["LastModified"],
            sha256=found.get("Metadata", {}).get("sha256"),
            sidecar=found.get("Metadata", {}).get("sidecar"),
        )

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        with _storage_errors(bucket, key):
            try:
                found = self._s3.get_object(Bucket=bucket, Key=key)
                with closing(found["Body"]) as stream:
                    check_size(found.get("ContentLength", 0), key, max_bytes)
                    body: bytes = stream.read()
            except ClientError as error:
                if _code(error) in _GONE:
                    return None
                raise
        return body

    def download(self, bucket: str, info: ObjectInfo | Source, path: Path) -> bool:
        with _storage_errors(bucket, info.key):
            try:
                found = self._s3.get_object(Bucket=bucket, Key=info.key, **_exactly(info))
            except ClientError as error:
                if _code(error) in _GONE | _REPLACED:
                    return False
                raise
            with path.open("wb") as file:
                for block in found["Body"].iter_chunks(_READ_CHUNK):
                    file.write(block)
        return True

    def read(self, bucket: str, info: ObjectInfo | Source, offset: int, length: int) -> bytes | None:
        length = min(length, info.size - offset)
        if length <= 0:  # S3 refuses an empty range
            return b""
        piece = self._signed.read(bucket, info.key, _exactly(info), offset, offset + length - 1)
        if piece is not None:
            return piece
        wanted = f"bytes={offset}-{offset + length - 1}"
        with _storage_errors(bucket, info.key):
            try:
                found = self._s3.get_object(Bucket=bucket, Key=info.key, Range=wanted, **_exactly(info))
                with closing(found["Body"]) as stream:
                    body: bytes = stream.read()
            except ClientError as error:
                if _code(error) in _GONE | _REPLACED:
                    return None
                raise
        return body

    def stream(self, bucket: str, info: ObjectInfo, first: int, last: int) -> Iterator[bytes]:
        with _storage_errors(bucket, info.key):
            found = self._s3.get_object(
                Bucket=bucket, Key=info.key, IfMatch=f'"{info.etag}"', Range=f"bytes={first}-{last}"
            )
            with closing(found["Body"]) as body:
                yield from body.iter_chunks(_READ_CHUNK)

    def upload(
        self, bucket: str, key: str, path: Path, progress: Progress | None = None, *, sidecar: str | None = None
    ) -> bool:
        digest, size = sha256_of(path), path.stat().st_size
        there = self.head(bucket, key)
        told = progress or (lambda _: None)
        if there and there.size == size and digest == there.sha256:
            told(size)
            return False
        extra: dict[str, Any] = {"Metadata": {"sha256": digest} | ({"sidecar": sidecar} if sidecar else {})}
        if content_type := CONTENT_TYPES.get(PurePosixPath(key).suffix.lower()):
            extra["ContentType"] = content_type
        with _storage_errors(bucket, key):
            if size >= LARGE:
                upload_large(self._s3, bucket, key, path, extra, told)
            else:
                self._s3.upload_file(str(path), bucket, key, ExtraArgs=extra, Callback=told)
        return True

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
        extra: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        if if_match is not None:
            extra["IfMatch"] = f'"{if_match}"'
        conditional = bool(extra)
        content_type = content_type or CONTENT_TYPES.get(PurePosixPath(key).suffix.lower())
        if content_type:
            extra["ContentType"] = content_type
        if kind := keys.retention_class(key):
            extra["Tagging"] = f"castline={kind}"
        with _storage_errors(bucket, key):
            try:
                if isinstance(body, Path) and not conditional:
                    self._s3.upload_file(str(body), bucket, key, ExtraArgs=extra, Config=self._transfer)
                else:
                    data = body.read_bytes() if isinstance(body, Path) else body
                    self._put_object(Bucket=bucket, Key=key, Body=data, **extra)
            except ClientError as error:
                refused = _REPLACED | (_GONE if if_match is not None else set())
                if conditional and _code(error) in refused:
                    return False
                raise
        return True

    def _put_object(self, **request: Any) -> None:
        """Write, and retry if S3 was about to write or delete the same key (409), which boto3 does not do.

        S3 then answers 200 or 412. After the last attempt, the platform invokes again.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                self._s3.put_object(**request)
            except ClientError as error:
                if _code(error) not in _UNDER_WAY or attempt == _TRIES:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - so that two do not meet again
            else:
                return

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        with _storage_errors(bucket, prefix):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield ObjectInfo(
                        key=item["Key"],
                        size=item["Size"],
                        etag=item["ETag"].strip('"'),
                        last_modified=item["LastModified"],
                    )

    def delete(self, bucket: str, keys: list[str]) -> None:
        self._delete(bucket, [{"Key": key} for key in keys])

    def versions(self, bucket: str, prefix: str = "") -> Iterator[ObjectVersion]:
        with _storage_errors(bucket, prefix):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
                for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    etag = item.get("ETag")
                    yield ObjectVersion(item["Key"], item["VersionId"], etag and etag.strip('"'), item["IsLatest"])

    def erase(self, bucket: str, versions: list[ObjectVersion]) -> None:
        self._delete(
            bucket,
            [{"Key": item.key, "VersionId": item.version} if item.version else {"Key": item.key} for item in versions],
        )

    def _delete(self, bucket: str, objects: Sequence[ObjectIdentifierTypeDef]) -> None:
        with _storage_errors(bucket, objects[0]["Key"] if objects else ""):
            for start in range(0, len(objects), 1000):  # S3's limit per DeleteObjects call
                batch = objects[start : start + 1000]
                answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
                for refused in answer.get("Errors", ()):  # the call as a whole succeeds nevertheless
                    raise StorageError(f"S3 refused to delete s3://{bucket}/{refused['Key']}: {refused['Code']}")


def _exactly(info: ObjectInfo | Source) -> dict[str, Any]:
    return {"VersionId": info.version} if info.version else {"IfMatch": f'"{info.etag}"'}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _storage_errors(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except (*aws.FAILURES, Boto3Error) as error:  # the last one: upload_file's own
        message = f"S3 refused s3://{bucket}/{key}: {error}"
        if isinstance(error, ClientError) and _code(error) == "NoSuchBucket":
            raise NoBucket(message, bucket=bucket) from error
        raise StorageError(message) from error
