"""Parses events as AWS delivers them, once, at the edge. Keys arrive URL-encoded and leave decoded.

An event may come in envelopes: SNS, SQS, SNS in SQS, EventBridge in SQS. They are opened here; an event with nothing
that we understand is an error, so that it ends in the dead-letter queue and is not silently lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote_plus, unquote_plus

from pydantic import BaseModel, Field, ValidationError

from castline.errors import EventError, UnreadableObject
from castline.records.reading import read_json

Event = Mapping[str, Any]

#: Source of the events that we send ourselves.
SOURCE = "castline"
RESULT_PUBLISHED = "Result Published"
RESULT_CORRECTED = "Result Corrected"
RESULT_REMOVED = "Result Removed"

_OF_RESULTS = (RESULT_PUBLISHED, RESULT_CORRECTED, RESULT_REMOVED)
_WRITTEN = ("ObjectCreated:", "s3:ObjectCreated:", "Object Created")  # S3's names, and EventBridge's
_ENVELOPES = 4  # envelopes inside one another
MAX_EVENT_BYTES = 1024 * 1024  # the largest message of SQS and EventBridge; Lambda's own events are no larger


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """One record of an S3 event.

    Attributes:
        size: what the event says; the object may have changed since.
        written: whether the event says that the object was written, and not that it was removed.
    """

    bucket: str
    key: str
    size: int
    written: bool = False


@dataclass(frozen=True, slots=True)
class InvocationFailed:
    """An asynchronous invocation that is out of retries.

    Attributes:
        event: the event with which the function was invoked.
        reason: the runtime's message, one line.
    """

    event: Event
    function: str
    reason: str

    def objects(self) -> list[ObjectCreated]:
        """The S3 objects of the event, as far as it is understood."""
        found: list[ObjectCreated] = []
        with contextlib.suppress(EventError):
            found.extend(objects_created(self.event))
        return found


class _Name(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=255)]


class _Object(BaseModel):
    key: Annotated[str, Field(min_length=1, max_length=16 * 1024)]
    size: Annotated[int, Field(ge=0, le=10**15)] = 0


class _S3(BaseModel):
    """The common part of S3's record and EventBridge's detail."""

    bucket: _Name
    object: _Object


def objects_created(event: Event) -> Iterator[ObjectCreated]:
    """The S3 objects of an event from S3 or EventBridge, in any envelopes.

    S3's own test event gives nothing. EventBridge does not encode keys.

    Raises:
        EventError: it contains something else; understood objects have been yielded before.
    """
    problem: EventError | None = None
    for content in opened(event):
        try:
            if content.get("Event") == "s3:TestEvent":
                continue
            if content.get("source") == "aws.s3":
                yield _created(content.get("detail"), str(content.get("detail-type")), encoded=False)
            elif content.get("eventSource") == "aws:s3":
                yield _created(content.get("s3"), str(content.get("eventName")), encoded=True)
            else:
                raise EventError(f"not an event of an S3 object: {_start_of(content)}")
        except EventError as error:
            problem = error
    if problem:
        raise problem


def _created(content: Any, kind: str, *, encoded: bool) -> ObjectCreated:
    try:
        found = _S3.model_validate(content)
        key = unquote_plus(found.object.key) if encoded else found.object.key
        (found.bucket.name + key).encode()
    except (ValidationError, UnicodeEncodeError) as error:
        raise EventError(f"an S3 event that names no object: {_start_of(content)}", detail=str(error)) from error
    return ObjectCreated(found.bucket.name, key, found.object.size, kind.startswith(_WRITTEN))


def invocations_failed(event: Event) -> Iterator[InvocationFailed]:
    """Failed invocations from an on-failure destination, delivered plain or through SNS or SQS.

    Raises:
        EventError: there is something in it that is none; what is understood has been yielded before.
    """
    problem: EventError | None = None
    for content in opened(event):
        if isinstance(content.get("requestPayload"), Mapping):
            yield _failed(content)
        else:
            problem = EventError(f"not an event of a failed invocation: {_start_of(content)}")
    if problem:
        raise problem


def results_published(event: Event) -> Iterator[Mapping[str, Any]]:
    """Details of ``Result Published`` events (``doors.announce``), in any envelopes.

    Raises:
        EventError: there is something in it that is none; what is understood has been yielded before.
    """
    problem: EventError | None = None
    for content in opened(event):
        if is_result_published(content):
            yield content["detail"]
        else:
            problem = EventError(f"not an event of a published result: {_start_of(content)}")
    if problem:
        raise problem


def results_changed(event: Event) -> Iterator[tuple[str, str]]:
    """(bucket, media) of each published, corrected or removed result in an event, in any envelopes.

    Raises:
        EventError: there is something in it that is none; what is understood has been yielded before.
    """
    problem: EventError | None = None
    for content in opened(event):
        detail = content.get("detail")
        told = content.get("source") == SOURCE and content.get("detail-type") in _OF_RESULTS
        found = (detail.get("bucket"), detail.get("media")) if told and isinstance(detail, Mapping) else ()
        if found and all(isinstance(each, str) and each for each in found):
            yield str(found[0]), str(found[1])
        else:
            problem = EventError(f"not an event of a result: {_start_of(content)}")
    if problem:
        raise problem


def is_result_published(content: Mapping[str, Any]) -> bool:
    """Whether an opened event is one of ``doors.announce``."""
    kind = (content.get("source"), content.get("detail-type"))
    return kind == (SOURCE, RESULT_PUBLISHED) and isinstance(content.get("detail"), Mapping)


def is_message(record: Any) -> bool:
    """Whether a record of an event is a message of a queue."""
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def opened(event: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The content of an event with all envelopes opened: S3's records one by one, everything else unchanged.

    Content that cannot be unwrapped is returned unchanged; no reader will recognise it.
    """
    if not isinstance(event, Mapping):
        yield {"": event}
        return
    records = event.get("Records")
    inner = records if isinstance(records, list) and records else [event]
    for record in inner:
        message = _message(record)
        if message is None or depth == _ENVELOPES:
            yield record if isinstance(record, Mapping) else {"": record}
            continue
        try:
            content = read_json(message.encode(errors="replace"), "message", max_bytes=MAX_EVENT_BYTES)
        except UnreadableObject:
            yield record
        else:
            yield from opened(content, depth + 1)


def _message(record: Any) -> str | None:
    """The text in an envelope: SQS's body, or SNS's message as delivered to Lambda or SQS."""
    if not isinstance(record, Mapping):
        return None
    sns = record.get("Sns")
    texts = (record.get("body"), sns.get("Message") if isinstance(sns, Mapping) else None, record.get("Message"))
    return next((text for text in texts if isinstance(text, str)), None)


def _start_of(content: Any) -> str:
    return f"it has {', '.join(map(repr, list(content)[:6]))}"[:200] if isinstance(content, Mapping) else "it is empty"


def _failed(envelope: Event) -> InvocationFailed:
    answer, context, response = (
        found if isinstance(found := envelope.get(name), Mapping) else {}
        for name in ("responsePayload", "requestContext", "responseContext")
    )
    kind = answer.get("errorType") or response.get("functionError") or "error"
    message = answer.get("errorMessage") or context.get("condition") or "no answer"
    function = str(context.get("functionArn", "")).split(":function:")[-1].split(":")[0]
    return InvocationFailed(envelope["requestPayload"], function, f"{kind}: {message}"[:500])


def object_created(bucket: str, key: str, size: int = 1) -> dict[str, Any]:
    """An event as S3 would send it, to run an object through the pipeline again."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": size}},
            }
        ]
    }
