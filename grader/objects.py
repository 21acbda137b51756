"""Looking at buckets without trusting them: listings have an end, bodies a limit, text no surprises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import ClientError

T = TypeVar("T")
R = TypeVar("R")

#: Objects of one listing; whoever has more is not graded on the rest.
MAX_LISTED = 100_000
_NO_BUCKET = {"404", "NoSuchBucket", "NotFound"}
_NO_OBJECT = {"404", "NoSuchKey", "NotFound", "InvalidRange"}  # the last one: nothing in it
_AT_ONCE = 8


class CannotCheck(Exception):
    """A check that cannot be made, and why: one readable line."""


class NoBucket(Exception):
    """A bucket that should be there is not: a finding, not an error of the grader."""


def exists(s3: Any, bucket: str) -> bool:
    """Whether there is such a bucket and it is ours to see.

    Raises:
        ClientError: it may be there, but access is denied.
    """
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) in _NO_BUCKET:
            return False
        raise
    return True


def listing(s3: Any, bucket: str, limit: int = MAX_LISTED) -> dict[str, int]:
    """Sizes in bytes by key, of at most ``limit`` objects.

    Raises:
        NoBucket: there is none of that name.
        ClientError, BotoCoreError: S3 does not answer.
    """
    found: dict[str, int] = {}
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found.update((item["Key"], item["Size"]) for item in page.get("Contents", ()))
            if len(found) >= limit:
                break
    except ClientError as error:
        if error_code(error) in _NO_BUCKET:
            raise NoBucket(f"the bucket {bucket} does not exist") from error
        raise
    return found


def read(s3: Any, bucket: str, key: str, limit: int) -> bytes | None:
    """The first ``limit`` bytes of an object; None when it is not there or empty."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{limit - 1}")
        return bytes(answer["Body"].read(limit)) or None  # not every S3 heeds Range
    except ClientError as error:
        if error_code(error) in _NO_OBJECT:
            return None
        raise


def each(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map`` with a few calls to S3 under way at once; results in order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(do, items)


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def readable(text: str, limit: int = 80) -> str:
    """One printable line of text that somebody else wrote: no control characters, not longer than ``limit``."""
    text = "".join(char if char.isprintable() else "�" for char in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def some(names: Sequence[str], most: int = 5) -> str:
    """``a, b, c and 12 more``."""
    shown = ", ".join(readable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
