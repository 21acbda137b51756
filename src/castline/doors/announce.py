"""Announces published results, so that nobody has to poll.

The output bucket reports every ``result.json`` and ``corrections.json`` that is written or removed, whether by a stage
or by somebody who renamed a person. An event only says where to look: the announcement describes what is published now,
or that nothing is. It is sent at least once; consumers recognise repetitions by the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from castline import aws, keys
from castline.errors import ResourceError, StorageError
from castline.events import (
    RESULT_CORRECTED,
    RESULT_PUBLISHED,
    RESULT_REMOVED,
    SOURCE,
    Event,
    ObjectCreated,
    objects_created,
)
from castline.records import Record, Result
from castline.records.base import Message, Status
from castline.runs.common import each
from castline.runs.removal import owner_of
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

_TRIES = 5  # attempts; it was replaced while it was being read


class Publication(Record):
    """The detail of a ``Result Published`` event.

    Attributes:
        id: run and publication. It identifies one writing of the result, however often that is announced.
        error: why the run failed, ``code: message``; empty otherwise.
        result: key of ``result.json`` in ``bucket``.
        views: keys of the other published files, except pictures of people.
    """

    id: str
    media: str
    run: str
    status: Status
    error: Message = ""
    published: datetime | None = None
    bucket: str
    result: str
    views: tuple[str, ...] = ()


class Removal(Record):
    """The detail of a ``Result Removed`` event: this media file has no published result any more.

    Attributes:
        result: key that ``result.json`` had in ``bucket``.
    """

    media: str
    bucket: str
    result: str


class Correction(Record):
    """The detail of a ``Result Corrected`` event: the corrections of a result have changed, and its views will.

    Attributes:
        result: key of ``result.json`` in ``bucket``.
    """

    media: str
    bucket: str
    result: str


Announced = Publication | Correction | Removal
_KINDS = {Publication: RESULT_PUBLISHED, Correction: RESULT_CORRECTED, Removal: RESULT_REMOVED}
Send = Callable[[Announced, Settings], None]


def announce_event(event: Event, store: ObjectStore, settings: Settings, send: Send | None = None) -> dict[str, Any]:
    """Announce every result that an S3 event of the output bucket is about.

    Returns:
        ``{"announced": [ids]}``, without corrections and removals, which have no id.

    Raises:
        EventError: something in the event is not an S3 object; the others are announced.
        UnreadableObject: a result that cannot be read.
        CastlineError: a retryable one; the platform invokes again.
    """
    tell = send or _send

    def announce(item: ObjectCreated) -> str | None:
        media, _, name = item.key.rpartition("/")
        if item.bucket != settings.output_bucket or not media or name not in (keys.RESULT, keys.CORRECTIONS):
            logger.info("not a result; ignored", key=item.key)
            return None
        result = keys.result_key(media)
        if name == keys.CORRECTIONS and store.head(item.bucket, result):
            tell(Correction(media=media, bucket=item.bucket, result=result), settings)
            logger.info("announced as corrected", media=media)
            return None
        found = publication(media, store, settings)
        if found is None:
            tell(Removal(media=media, bucket=item.bucket, result=result), settings)
            logger.info("announced as removed", media=media)
            return None
        tell(found, settings)
        logger.info("announced", media=found.media, run=found.run, id=found.id)
        return found.id

    return {"announced": [id_ for id_ in each(objects_created(event), announce) if id_]}


def publication(media: str, store: ObjectStore, settings: Settings) -> Publication | None:
    """What is published of a media file now, or None.

    Raises:
        UnreadableObject: ``result.json`` is not a result.
        StorageError: it kept being replaced while it was read.
    """
    bucket, key = settings.output_bucket, keys.result_key(media)
    for _ in range(_TRIES):
        before = store.head(bucket, key)
        result = read_object(Result, store, bucket, key) if before else None
        if before is None or result is None:
            return None
        if store.head(bucket, key) == before:
            break
    else:
        raise StorageError(f"the result of {media} was replaced {_TRIES} times while it was being read")
    written = before.last_modified.isoformat() if before.last_modified else ""
    writing = hashlib.sha256(f"{before.etag} {written}".encode()).hexdigest()[:16]
    owners = ((info.key, owner_of(info.key)) for info in store.find(bucket, f"{media}/"))
    views = [
        found
        for found, owner in owners
        if owner[:2] == (media, "")
        and found != key
        and keys.is_view(owner.view)
        and not owner.view.startswith("people/")
    ]
    return Publication(
        id=f"{result.run}-{writing}",
        media=media,
        run=result.run,
        status=result.status,
        error=f"{result.error.code}: {result.error.message}" if result.error else "",
        published=before.last_modified,
        bucket=bucket,
        result=key,
        views=tuple(views),
    )


@lru_cache(maxsize=4)
def _client(service: str) -> Any:
    return aws.client(service)


def _send(found: Announced, settings: Settings) -> None:
    """Send to EventBridge, and to the topic if there is one.

    Raises:
        ResourceError: one of them did not accept it.
    """
    kind = _KINDS[type(found)]
    detail = found.to_json().decode()
    entry = {"Source": SOURCE, "DetailType": kind, "Detail": detail}
    try:
        answer = _client("events").put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise ResourceError(f"EventBridge did not take {found.result}: {answer['Entries'][0].get('ErrorCode')}")
        if settings.results_topic:
            message = {"source": SOURCE, "detail-type": kind, "detail": json.loads(detail)}
            _client("sns").publish(TopicArn=settings.results_topic, Message=json.dumps(message))
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"{found.result} could not be announced: {error}") from error
