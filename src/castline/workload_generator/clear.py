"""Emptying a deployment's buckets, old versions and delete markers included."""

from __future__ import annotations

from typing import NamedTuple

from castline.workload_generator.target import Target, check_bucket


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
    for bucket in target.buckets:
        check_bucket(target, bucket)
        seen = [item.latest and item.etag is not None for item in target.store.versions(bucket)]
        found.append(Contents(bucket, sum(seen), len(seen) - sum(seen)))
    return found


def clear(target: Target) -> int:
    """Delete every version of every object in the input, stage-1 and output buckets.

    Returns:
        How many versions and delete markers were deleted.

    Raises:
        StorageError: the store refuses; what was deleted until then stays deleted.
    """
    deleted = 0
    for bucket in target.buckets:
        # All are listed first: stores differ in where a page begins when the one before is gone meanwhile.
        doomed = list(target.store.versions(bucket))
        target.store.erase(bucket, doomed)
        deleted += len(doomed)
    return deleted
