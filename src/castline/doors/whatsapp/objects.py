"""A message as an object of the output bucket, and the note that leads from its media file back to it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from castline.aws import secret_text
from castline.doors.whatsapp.envelope import Received
from castline.records import Record
from castline.settings import Settings

#: Largest message object; SNS's own limit is a quarter of it.
MAX_BYTES = 1024 * 1024

Salt = bytes | None
"""Key for hashing senders' numbers; None leaves them plain."""


class Note(Record):
    """What is needed about a message once its transcript exists.

    Attributes:
        number: id of the phone number it was sent to, as for AWS's API.
        own: that phone number, as shown.
        sender, message_id: whom to answer, and which message.
    """

    number: str
    own: str
    sender: str
    message_id: str

    @classmethod
    def of(cls, received: Received) -> Note:
        return cls(
            number=received.number,
            own=received.own,
            sender=received.sender,
            message_id=str(received.message.get("id") or ""),
        )

    @property
    def from_itself(self) -> bool:
        digits = re.sub(r"\D", "", self.own)
        return bool(digits) and digits == re.sub(r"\D", "", self.sender)


def date_of(received: Received) -> str:
    return received.at.strftime("%Y-%m-%d")


def name_of(received: Received, salt: Salt) -> str:
    """``<from>-HH-MM-SS-<short id>``, the same for every delivery."""
    id_ = received.message.get("id")
    identity = id_.encode(errors="replace") if isinstance(id_, str) and id_ else to_json(received.message)
    short = hashlib.sha256(identity).hexdigest()[:16]
    return f"{_sender(received.sender, salt)}-{received.at.strftime('%H-%M-%S')}-{short}"


def body_of(message: Mapping[str, Any], **ours: Any) -> bytes:
    """The JSON of an object: the message, with our fields added."""
    return to_json({**message, **{name: value for name, value in ours.items() if value}}, indent=2, inf_nan_mode="null")


def read_salt(settings: Settings) -> Salt:
    """
    Raises:
        ResourceError: the secret cannot be read.
    """
    return _salt(settings.whatsapp_salt) if settings.whatsapp_salt else None


@lru_cache(maxsize=1)
def _salt(secret: str) -> bytes:
    return secret_text(secret).encode()


def _sender(sender: str, salt: Salt) -> str:
    """A number as part of a key: its keyed hash, or itself; invalid numbers end in a hash."""
    text = sender.encode(errors="replace")
    if salt is not None:
        return hmac.new(salt, text, hashlib.sha256).hexdigest()[:16]
    if re.fullmatch(r"\+?[0-9]{3,20}", sender):
        return sender.removeprefix("+")
    return f"{re.sub(r'[^0-9A-Za-z]', '_', sender)[:20]}-{hashlib.sha256(text).hexdigest()[:8]}"
