"""Puts the transcript of a voice note into its message's object once the run has published its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from castline import keys
from castline.doors.announce import Publication
from castline.doors.whatsapp.meta import Social, answer
from castline.doors.whatsapp.objects import MAX_BYTES, Note, body_of
from castline.errors import MessageError, ResourceError, UnreadableObject
from castline.records import Result
from castline.records.reading import read_json, read_record
from castline.runs.common import read_result
from castline.runs.written import as_shown
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)


def complete(detail: Mapping[str, Any], client: Social, store: ObjectStore, settings: Settings) -> list[str]:
    """Write the transcript of a published result into the objects of its messages, and answer them if requested.

    Returns:
        Keys of the objects; empty for a media file that did not come from WhatsApp.

    Raises:
        UnreadableObject: the announcement, or an object, cannot be read.
        ResourceError: an object does not exist yet, or was written concurrently; or the answer was not accepted.
    """
    publication = read_record(Publication, json.dumps(detail), "Result Published", max_bytes=MAX_BYTES)
    note = keys.parse_note(publication.media)
    result = read_result(publication.media, store, settings) if note else None
    if note is None or result is None:
        return []
    result = as_shown(result, store, settings)
    date, media_id = note
    prefix = keys.note_prefix(date, media_id)
    written = []
    for info in list(store.find(settings.output_bucket, prefix)):
        name = info.key.removeprefix(prefix)
        key = keys.message_key(date, name)
        _write(key, result, store, settings)
        if settings.whatsapp_reply and result.transcript.text:
            _answer(info.key, result, client, store, settings)
        written.append(key)
    return written


def transcription_of(result: Result) -> dict[str, Any]:
    """``{"ok": true, "text", "language", "segments", …}``, or ``{"ok": false, "error", "message"}``."""
    if result.status == "failed":
        error = result.error
        return {
            "ok": False,
            "error": error.code if error else "failed",
            "message": error.message if error else "",
            "run": result.run,
        }
    said = [segment for segment in result.transcript.segments if not segment.suspect]
    return {
        "ok": True,
        "text": result.transcript.text,
        "language": result.transcript.language,
        "segments": [{"start": item.start_s, "end": item.end_s, "text": item.text} for item in said],
        "status": result.status,
        "run": result.run,
    }


def _write(key: str, result: Result, store: ObjectStore, settings: Settings) -> None:
    there = store.head(settings.output_bucket, key)
    body = store.get(settings.output_bucket, key, max_bytes=MAX_BYTES)
    if there is None or body is None:
        raise ResourceError(f"{key} is not there yet")
    message = read_json(body, key, max_bytes=MAX_BYTES)
    if not isinstance(message, dict):
        raise UnreadableObject(f"{key} is not a message")
    new = body_of(message, transcription=transcription_of(result))
    if new != body and not store.put(settings.output_bucket, key, new, if_match=there.etag):
        raise ResourceError(f"{key} was written by somebody else")
    logger.info("transcribed", key=key, media=result.media, run=result.run)


def _answer(note_key: str, result: Result, client: Social, store: ObjectStore, settings: Settings) -> None:
    """Answer once: the first to claim it answers. Never answers the number's own messages."""
    note = read_object(Note, store, settings.output_bucket, note_key)
    if note is None or note.from_itself:
        return
    claim = keys.answer_key(note_key)
    if not store.put(settings.output_bucket, claim, b"", if_absent=True):
        return
    try:
        answer(note.sender, note.message_id, result.transcript.text, note.number, client)
    except MessageError as error:
        logger.warning("not answered", note=note_key, reason=error.message)
    except ResourceError:
        store.delete(settings.output_bucket, [claim])
        raise
