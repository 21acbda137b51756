"""Posts published results to a server, signed according to https://www.standardwebhooks.com.

The signature is HMAC-SHA256 over ``<id>.<timestamp>.<body>``, so any library of that specification can verify it. A
post that is not answered with 2xx is repeated at growing intervals, until the message becomes a dead letter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3
from aws_lambda_powertools import Logger

from castline.aws import secret_text
from castline.doors.announce import Publication
from castline.errors import ResourceError, SettingsError
from castline.events import Event, results_published
from castline.queues import Message, each_message
from castline.records.reading import read_record
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

_TIMEOUT_S = 10.0
_PREFIX = "whsec_"


def webhook_event(event: Event, _store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Post the published results of a batch of the queue.

    Returns:
        Lambda's answer for a batch: the messages to deliver again.
    """

    def post_all(record: Message) -> None:
        for detail in results_published({"Records": [record]}):
            post(read_record(Publication, json.dumps(detail), "Result Published"), settings)

    return each_message(event, post_all, settings)


def post(found: Publication, settings: Settings) -> None:
    """One signed post.

    Raises:
        ResourceError: it was not accepted.
        SettingsError: the address is not an http(s) URL.
    """
    body = json.dumps({"type": "result.published", "data": json.loads(found.to_json())}, separators=(",", ":")).encode()
    headers = {**signed(found.id, body, int(time.time()), _key(settings.webhook_secret)), "User-Agent": "Castline"}
    # Addresses may contain tokens: messages name only the host.
    address = urlsplit(settings.webhook_url)
    if address.scheme not in ("https", "http") or not address.hostname:
        raise SettingsError("CASTLINE_WEBHOOK_URL is not a web address")
    try:
        answer = urllib3.request(
            "POST", settings.webhook_url, body=body, headers=headers, redirect=False, retries=False, timeout=_TIMEOUT_S
        )
    except urllib3.exceptions.HTTPError as error:
        raise ResourceError(f"{address.hostname} cannot be reached: {type(error).__name__}") from error
    if not 200 <= answer.status < 300:
        raise ResourceError(f"{address.hostname} answered {answer.status}")
    logger.info("posted", id=found.id, media=found.media, run=found.run)


def signed(id_: str, body: bytes, timestamp: int, key: bytes) -> dict[str, str]:
    """The headers of a post.

    Args:
        timestamp: seconds since 1970; receivers refuse old ones.
    """
    signature = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


@lru_cache(maxsize=1)
def _key(secret: str) -> bytes:
    """The key as the specification's libraries read it: base64, or else the text itself."""
    text = secret_text(secret).strip().removeprefix(_PREFIX)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
