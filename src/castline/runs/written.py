"""``corrections.json`` as stored in the output bucket."""

from __future__ import annotations

from dataclasses import dataclass

from aws_lambda_powertools import Logger

from castline import keys
from castline.corrections import corrected
from castline.errors import UnreadableObject
from castline.records import Corrections, Result
from castline.records.corrections import MAX_BYTES
from castline.records.reading import check_size, read_record
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Written:
    """Attributes:
    etag: empty if there is no such object.
    corrections: empty if there is no such object, or it cannot be read.
    problem: why it cannot be read; empty otherwise.
    """

    etag: str
    corrections: Corrections
    problem: str = ""


def read_written(media: str, store: ObjectStore, settings: Settings) -> Written:
    """The corrections of a media file's result, and the ETag of the object that contains them."""
    key, nothing = keys.result_key(media, keys.CORRECTIONS), Corrections(media=media)
    info = store.head(settings.output_bucket, key)
    if info is None:
        return Written("", nothing)
    try:
        check_size(info.size, key, MAX_BYTES)
        body = store.read(settings.output_bucket, info, 0, info.size)
        found = read_record(Corrections, body, key) if body is not None else nothing
    except UnreadableObject as error:
        logger.warning("corrections were left aside", media=media, reason=error.message)
        return Written(info.etag, nothing, error.message)
    return Written(info.etag, found)


def as_shown(result: Result, store: ObjectStore, settings: Settings) -> Result:
    """A result with people's corrections, as its views show it."""
    return corrected(result, read_written(result.media, store, settings).corrections.now()).result


def etag_now(media: str, store: ObjectStore, settings: Settings) -> str:
    """`Written.etag` at this moment."""
    info = store.head(settings.output_bucket, keys.result_key(media, keys.CORRECTIONS))
    return info.etag if info else ""
