"""Emptying a deployment's buckets, old versions and delete markers included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from workload_generator.sending import reason
from workload_generator.target import Target, UsageError, check_bucket

#: S3's limit per DeleteObjects call.
_BATCH = 1000


class Contents(NamedTuple):
    """What is in a bucket.

    Attributes:
        objects: that a client sees.
        hidden: replaced versions and delete markers, which a plain delete leaves.
    """

    bucket: str
    objects: int
    hidden: int

    def __str__(self) -> str:
        hidden = f" and {self.hidden} old versions or delete markers" if self.hidden else ""
        return f"{self.bucket}: {self.objects} {'object' if self.objects == 1 else 'objects'}{hidden}"


def survey(target: Target) -> list[Contents]:
    """Count what is in the input, stage-1 and output buckets.

    Raises:
        UsageError: a bucket is not there or not ours.
    """
    found = []
    for bucket in _buckets(target):
        check_bucket(target, bucket)
        objects = hidden = 0
        for page in _pages(target.s3, bucket):
            current = sum(item["IsLatest"] for item in page.get("Versions", ()))
            objects += current
            hidden += len(page.get("Versions", ())) - current + len(page.get("DeleteMarkers", ()))
        found.append(Contents(bucket, objects, hidden))
    return found


def clear(target: Target) -> int:
    """Delete every version of every object in the input, stage-1 and output buckets.

    Returns:
        How many versions and delete markers were deleted.

    Raises:
        UsageError: the store refuses; what was deleted until then stays deleted.
    """
    deleted = 0
    for bucket in _buckets(target):
        try:
            deleted += _empty(target.s3, bucket)
        except (ClientError, BotoCoreError) as error:
            raise UsageError(f"bucket {bucket} could not be cleared: {reason(error)}") from error
    return deleted


def _empty(s3: Any, bucket: str) -> int:
    deleted = 0
    before: list[dict[str, str]] = []
    # Always the first page: stores differ in where the second one begins when the first is gone meanwhile.
    while doomed := _versions(s3.list_object_versions(Bucket=bucket)):
        if doomed == before:
            raise UsageError(f"bucket {bucket} takes deletions, but keeps its objects")
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
        for refused in answer.get("Errors", ()):  # the call as a whole succeeds all the same
            raise UsageError(f"s3://{bucket}/{refused['Key']} could not be deleted: {refused['Code']}")
        deleted += len(doomed)
        before = doomed
    return deleted


def _versions(page: dict[str, Any]) -> list[dict[str, str]]:
    """What one DeleteObjects call can take of a page."""
    entries = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries[:_BATCH]]


def _pages(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    yield from s3.get_paginator("list_object_versions").paginate(Bucket=bucket)


def _buckets(target: Target) -> tuple[str, str, str]:
    # Input first: what is still being worked on does not come back from a later event.
    return target.input_bucket, target.stage1_bucket, target.output_bucket
