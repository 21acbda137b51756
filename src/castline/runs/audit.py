"""The record of who removed what, and when, in the output bucket under ``.audit/``.

An entry contains digests instead of names and keys: it can prove to somebody who asks for Ada that she was forgotten,
without revealing her name.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Literal

from aws_lambda_powertools import Logger

from castline.errors import UnreadableObject
from castline.records import Record
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

PREFIX = ".audit/"
_AT = "%Y-%m-%dT%H-%M-%S.%fZ"
_ECHO = timedelta(days=14)  # as long as SQS keeps a message, a stage may still process what was deleted


class Removed(Record):
    """One object that was removed.

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
    who: the caller's ARN, or a user of the machine or of the service; empty where that is unknown.
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


def _short(subject: str) -> str:
    """The part of the subject's digest that an entry's key contains."""
    return digest(subject)[:8]


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
    """Store an entry; returns its key."""
    at = datetime.now(UTC)
    entry = AuditEntry(
        action=action, at=at.isoformat(), who=who, subject=digest(subject), removed=removed, proven=proven
    )
    key = f"{PREFIX}{at:{_AT}}-{action}-{_short(subject)}.json"
    store.put(settings.output_bucket, key, entry.to_json(), if_absent=True)
    return key


class Deleted:
    """The media files that were deleted lately; anything that exists of them was written afterwards.

    Uploads that merely expired are not among them: their results stay.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store, self._bucket = store, settings.output_bucket
        self._entries: dict[str, list[str]] = {}
        since = f"{PREFIX}{datetime.now(UTC) - _ECHO:{_AT}}"
        for info in store.find(self._bucket, PREFIX):
            _, _, subject = info.key.removesuffix(".json").partition("-delete-")
            if subject and info.key > since:
                self._entries.setdefault(subject, []).append(info.key)

    def __contains__(self, media: str) -> bool:
        return any(self._subject(key) == digest(media) for key in self._entries.get(_short(media), []))

    def _subject(self, key: str) -> str | None:
        """None for an entry that is gone or cannot be read: nothing is removed because of it."""
        try:
            entry = read_object(AuditEntry, self._store, self._bucket, key)
        except UnreadableObject as error:
            logger.error("an entry of the audit log cannot be read", reason=error.message)
            return None
        return entry.subject if entry else None
