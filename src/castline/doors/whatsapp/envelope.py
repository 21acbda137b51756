"""Parses the notifications that AWS End User Messaging Social sends through SNS.

``whatsAppWebhookEntry`` is JSON inside JSON: Meta's webhook entry with any number of changes, each with any number
of messages and of statuses. ``context.MetaPhoneNumberIds`` has the ARNs of the phone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from castline.errors import EventError, UnreadableObject
from castline.events import MAX_EVENT_BYTES
from castline.records.reading import read_json

_EARLIEST, _LATEST = 1_230_768_000, 4_102_444_800  # 2009, when WhatsApp began, and 2100


@dataclass(frozen=True, slots=True)
class Received:
    """One message.

    Attributes:
        message: as received, with unknown fields.
        number: id of the phone number it was sent to, as for AWS's API.
        meta_number: the same number's id at Meta; empty if missing.
        own: the phone number itself, as shown; empty if missing.
    """

    message: Mapping[str, Any]
    number: str
    meta_number: str
    own: str

    @property
    def sender(self) -> str:
        return str(self.message["from"])

    @property
    def at(self) -> datetime:
        """UTC."""
        return datetime.fromtimestamp(int(str(self.message["timestamp"])), UTC)

    @property
    def kind(self) -> str:
        kind = self.message.get("type")
        return kind if isinstance(kind, str) else ""


def messages_of(content: Mapping[str, Any]) -> Iterator[Received]:
    """The messages of one notification. Statuses concern what the number itself sent, and are left out.

    Raises:
        EventError: something in it is invalid; valid messages have been yielded before.
    """
    entry = content.get("whatsAppWebhookEntry")
    if isinstance(entry, str):
        try:
            entry = read_json(entry.encode(errors="replace"), "whatsAppWebhookEntry", max_bytes=MAX_EVENT_BYTES)
        except UnreadableObject as error:
            raise EventError(error.message) from error
    changes = entry.get("changes") if isinstance(entry, Mapping) else None
    if not isinstance(changes, list):
        raise EventError("whatsAppWebhookEntry is missing, or has no list of changes")
    numbers = _numbers(content.get("context"))
    problem: EventError | None = None
    for change in changes:
        try:
            yield from _of_change(change, numbers)
        except EventError as error:
            problem = problem or error
    if problem:
        raise problem


def _of_change(change: Any, numbers: Mapping[str, str]) -> Iterator[Received]:
    value = change.get("value") if isinstance(change, Mapping) else None
    if not isinstance(value, Mapping):
        raise EventError("a change without a value")
    messages = value.get("messages", [])
    if not isinstance(messages, list):
        raise EventError("the messages of a change are not a list")
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    meta_number = str(metadata.get("phone_number_id") or "")
    if not messages:
        return
    number = numbers.get(meta_number) or (next(iter(numbers.values())) if len(numbers) == 1 else "")
    if not number:
        raise EventError(f"the phone number {meta_number[:40]!r} is not among context.MetaPhoneNumberIds")
    problem: EventError | None = None
    for message in messages:
        if (why := _wrong(message)) is None:
            yield Received(message, number, meta_number, str(metadata.get("display_phone_number") or ""))
        else:
            problem = problem or EventError(f"a message {why}")
    if problem:
        raise problem


def _wrong(message: Any) -> str | None:
    if not isinstance(message, Mapping):
        return "that is not an object"
    if not isinstance(message.get("from"), str) or not message["from"]:
        return "without a sender"
    time = str(message.get("timestamp"))
    if not re.fullmatch("[0-9]{10}", time) or not _EARLIEST <= int(time) < _LATEST:
        return "without a time"
    return None


def _numbers(context: Any) -> dict[str, str]:
    """Ids for the API (``phone-number-id-…``) by their ids at Meta."""
    listed = context.get("MetaPhoneNumberIds") if isinstance(context, Mapping) else None
    if not isinstance(listed, list):
        raise EventError("context.MetaPhoneNumberIds is missing")
    found = {}
    for item in listed:
        arn = item.get("arn") if isinstance(item, Mapping) else None
        if not isinstance(arn, str):
            raise EventError("a phone number of the context without an ARN")
        found[str(item.get("metaPhoneNumberId") or arn)] = arn.rpartition(":")[2].replace("/", "-")
    return found
