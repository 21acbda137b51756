"""Who removed what, and when: kept in the output bucket under ``.audit/``.

An entry has digests where names and keys were: it can prove that Ada was forgotten to somebody who asks for Ada, and
gives nobody her name.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

from castline.records import Record
from castline.settings import Settings
from castline.storage.base import ObjectStore

PREFIX = ".audit/"


class Removed(Record):
    """One object that is gone.

    Attributes:
        key: SHA-256 of its key, hex.
        versions: how many versions and delete markers it had.
    """

    bucket: str
    key: str
    versions: int = 1


class AuditEntry(Record):
    """Attributes:
    at: ISO 8601, UTC.
    who: ARN of the caller; empty where that is unknown.
    subject: SHA-256 of the person's name or the media's key, hex.
    proven: whether nothing was found afterwards.
    """

    action: Literal["forget", "delete"]
    at: str
    who: str
    subject: str
    removed: tuple[Removed, ...]
    proven: bool


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_down(
    action: Literal["forget", "delete"],
    subject: str,
    removed: tuple[Removed, ...],
    store: ObjectStore,
    settings: Settings,
    *,
    who: str,
    proven: bool,
) -> str:
    """Keep an entry; returns its key."""
    at = datetime.now(UTC)
    entry = AuditEntry(
        action=action, at=at.isoformat(), who=who, subject=digest(subject), removed=removed, proven=proven
    )
    key = f"{PREFIX}{at:%Y-%m-%dT%H-%M-%S.%f}Z-{action}-{entry.subject[:8]}.json"
    store.put(settings.output_bucket, key, entry.to_json(), if_absent=True)
    return key
