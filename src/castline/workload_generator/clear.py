"""Empties a deployment's buckets, old versions and delete markers included."""

from __future__ import annotations

import sys

import typer

from castline.cli.connect import errors
from castline.cli.shown import escape
from castline.display import counted
from castline.errors import OptionsError
from castline.storage.base import ObjectVersion
from castline.workload_generator.target import Target


def clear(target: Target, *, yes: bool) -> None:
    """Delete every version of every object in the input, stage-1 and output buckets.

    Args:
        yes: do not ask.

    Raises:
        NoBucket, OptionsError: a bucket does not exist, or the user did not agree; nothing was deleted.
        StorageError: the store refused; what was deleted until then stays deleted.
    """
    target.check(*target.buckets)
    # All are listed first: stores differ in where a page begins if the previous one has been deleted.
    doomed = {bucket: list(target.store.versions(bucket)) for bucket in target.buckets}
    for bucket, versions in doomed.items():
        errors.print(f"{escape(bucket)} ({escape(target.where)}): {_counted(versions)}", soft_wrap=True)
    if not any(doomed.values()):
        return
    if not yes and not (_is_somebody_there() and typer.confirm("Delete all of it, for good?", err=True)):
        raise OptionsError("nothing was deleted: --clear needs --yes, or somebody who agrees")
    for bucket, versions in doomed.items():
        target.store.erase(bucket, versions)
    errors.print("deleted")


def _counted(versions: list[ObjectVersion]) -> str:
    objects = sum(item.latest and item.etag is not None for item in versions)
    hidden = len(versions) - objects
    more = f" and {counted(hidden, 'old version or delete marker', 'old versions or delete markers')}" if hidden else ""
    return f"{counted(objects, 'object')}{more}"


def _is_somebody_there() -> bool:
    return sys.stdin.isatty()
