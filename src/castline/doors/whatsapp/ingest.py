"""Processes the queue's messages: what WhatsApp sends, and results of its media.

The media file is fetched before the object is written, so a message whose object exists is done; the note that leads
from the media to it is written before everything else, so that a run cannot be faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from castline import keys
from castline.doors.whatsapp.complete import complete
from castline.doors.whatsapp.envelope import Received, messages_of
from castline.doors.whatsapp.meta import Social, fetch, social
from castline.doors.whatsapp.objects import Note, Salt, body_of, date_of, name_of, read_salt
from castline.errors import EventError, MessageError
from castline.events import Event, is_result_published, opened
from castline.queues import Message, each_message
from castline.runs.common import each
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

_FETCHED = ("audio", "voice", "video")


def whatsapp_event(
    event: Event,
    store: ObjectStore,
    settings: Settings,
    client: Social | None = None,
    queues: Any | None = None,
) -> dict[str, Any]:
    """Process a batch of the queue: WhatsApp notifications, and published results.

    Args:
        client: of the messaging service; default: AWS's.
        queues: of SQS; default: AWS's.

    Returns:
        Lambda's answer for a batch: the messages to deliver again. Malformed ones are in the dead-letter queue.
    """
    service: Social = client or social(settings.whatsapp_endpoint)

    def take(record: Message) -> None:
        for content in opened({"Records": [record]}):
            if is_result_published(content):
                complete(content["detail"], service, store, settings)
            elif "whatsAppWebhookEntry" in content:
                each(messages_of(content), lambda received: take_in(received, service, store, settings))
            else:
                raise EventError("neither a notification of WhatsApp nor a published result")

    return each_message(event, take, settings, queues)


def take_in(received: Received, client: Social, store: ObjectStore, settings: Settings) -> str | None:
    """Turn a message into its object, and its media file into an upload.

    Returns:
        The object's key; None for a phone number that is not configured.

    Raises:
        CastlineError: a retryable one.
    """
    if not {received.number, received.meta_number} & set(settings.whatsapp_numbers):
        logger.info("a phone number that is not allowed; left alone", number=received.number)
        return None
    return _write(received, read_salt(settings), client, store, settings)


def _write(received: Received, salt: Salt, client: Social, store: ObjectStore, settings: Settings) -> str:
    date, name = date_of(received), name_of(received, salt)
    key = keys.message_key(date, name)
    if store.head(settings.output_bucket, key):
        logger.info("delivered once more; it is there", key=key)
        return key
    ours: dict[str, Any] = {}
    if media_id := _media_id(received):
        try:
            ours["audio_file"] = _upload(received, media_id, date, name, client, store, settings)
        except MessageError as error:
            logger.warning("a message without its media", key=key, reason=error.message)
            ours["transcription"] = {"ok": False, "error": error.reason, "message": error.message}
    store.put(settings.output_bucket, key, body_of(received.message, **ours), if_absent=True)
    logger.info("a message", key=key, type=received.kind)
    return key


def _media_id(received: Received) -> str:
    content = received.message.get(received.kind) if received.kind in _FETCHED else None
    if received.kind not in _FETCHED:
        return ""
    return str(content.get("id") or "?") if isinstance(content, Mapping) else "?"


def _upload(
    received: Received, media_id: str, date: str, name: str, client: Social, store: ObjectStore, settings: Settings
) -> str:
    """``s3://…`` of the media file.

    Raises:
        MessageError: it will never arrive, or what arrived cannot be processed.
    """
    note = f"{keys.note_prefix(date, media_id)}{name}" if media_id.isalnum() and media_id.isascii() else ""
    if note:
        store.put(settings.output_bucket, note, Note.of(received).to_json())
    found = _fetched(media_id, date, store, settings) if note else None
    if found is None:
        fetch(media_id, received.number, f"{date}/", client, settings)
        found = _fetched(media_id, date, store, settings)
    if found is None:
        raise MessageError("WhatsApp gave the media, and it is not where it should be", reason="media_lost")
    if not keys.is_media(found):
        raise MessageError(f"{found} has a suffix of no media", reason="not_media")
    return f"s3://{settings.input_bucket}/{found}"


def _fetched(media_id: str, date: str, store: ObjectStore, settings: Settings) -> str | None:
    """Find the fetched file: the service appends the suffix."""
    listed = (info.key for info in store.find(settings.input_bucket, f"{date}/{media_id}"))
    return next((key for key in listed if keys.parse_note(key) == (date, media_id)), None)
