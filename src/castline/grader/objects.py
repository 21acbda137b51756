"""Looking at buckets without trusting them: listings have an end, text no surprises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from castline.records import ObjectInfo
from castline.storage import ObjectStore

T = TypeVar("T")
R = TypeVar("R")

#: Objects of one listing; whoever has more is not graded on the rest.
MAX_LISTED = 100_000
_AT_ONCE = 8


class CannotCheck(Exception):
    """A check that cannot be made, and why: one readable line."""


def listing(store: ObjectStore, bucket: str, limit: int = MAX_LISTED) -> dict[str, ObjectInfo]:
    """At most ``limit`` objects by key.

    Raises:
        NoBucket: there is none of that name.
        StorageError: S3 does not answer.
    """
    return {info.key: info for info in islice(store.find(bucket), limit)}


def each(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map`` with a few calls to S3 under way at once; results in order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(do, items)


def readable(text: str, limit: int = 80) -> str:
    """One printable line of text that somebody else wrote: no control characters, not longer than ``limit``."""
    text = "".join(char if char.isprintable() else "�" for char in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def some(names: Sequence[str], most: int = 5) -> str:
    """``a, b, c and 12 more``."""
    shown = ", ".join(readable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
