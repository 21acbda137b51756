"""Gathers all messages into one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from castline import keys
from castline.display import cell
from castline.doors.whatsapp.objects import MAX_BYTES
from castline.errors import UnreadableObject
from castline.records.reading import read_json
from castline.settings import Settings
from castline.storage.base import ObjectStore

COLUMNS = ("from", "timestamp", "type", "text", "audio_file", "version")


def gather_messages(
    since: date | None, store: ObjectStore, settings: Settings, tell: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Every message, ordered by day, sender and time.

    Args:
        since: the first day, UTC; None for all.
        tell: called with a line about each object that cannot be read.

    Yields:
        The message's object with ``text`` (what was written or said), ``version`` (the run) and ``key`` added.
    """
    first = since.isoformat() if since else ""
    for info in store.find(settings.output_bucket):
        parsed = keys.parse_message(info.key)
        if not parsed or parsed[0] < first:
            continue
        try:
            body = store.get(settings.output_bucket, info.key, max_bytes=MAX_BYTES)
            message = read_json(body, info.key, max_bytes=MAX_BYTES) if body is not None else None
        except UnreadableObject as error:
            tell(error.message)
            continue
        if isinstance(message, dict):
            spoken = _mapping(message.get("transcription"))
            yield {**message, "text": _text(message, spoken), "version": spoken.get("run") or "", "key": info.key}
        else:
            tell(f"{info.key} is not a message")


def write_csv(messages: Sequence[Mapping[str, Any]]) -> str:
    """The table: the columns of the published workflow, then ``ok``, ``error``, ``language`` and ``key``.

    Cells that a spreadsheet would execute begin with an apostrophe.
    """
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow((*COLUMNS, "ok", "error", "language", "key"))
    for message in messages:
        spoken = _mapping(message.get("transcription"))
        cells = [message.get(name) for name in COLUMNS]
        cells += [spoken.get("ok"), spoken.get("error"), spoken.get("language"), message.get("key")]
        table.writerow(cell(_plain(value)) for value in cells)
    return file.getvalue()


def _text(message: Mapping[str, Any], spoken: Mapping[str, Any]) -> str:
    written = _mapping(message.get("text")).get("body")
    return str(spoken.get("text") or written or "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
