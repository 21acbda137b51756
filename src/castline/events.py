"""Events as AWS delivers them, parsed once at the edge. Keys arrive URL-encoded and leave decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, unquote_plus

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """One record of an S3 event. ``size`` is what the event says; the object may have changed since."""

    bucket: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class InvocationFailed:
    """An asynchronous invocation that is out of retries.

    Attributes:
        event: what the function was invoked with.
        reason: what the runtime said, one line.
    """

    event: Event
    function: str
    reason: str


def objects_created(event: Event) -> Iterator[ObjectCreated]:
    """The S3 objects of an event, as S3 itself or EventBridge tells of them.

    Records of other sources and S3's own test event give nothing. EventBridge does not encode keys.
    """
    detail = event.get("detail")
    if event.get("source") == "aws.s3" and isinstance(detail, Mapping):
        entry = detail["object"]
        yield ObjectCreated(detail["bucket"]["name"], entry["key"], int(entry.get("size", 0)))
    for record in event.get("Records") or ():
        s3 = record.get("s3")
        if record.get("eventSource") != "aws:s3" or not s3:
            continue
        entry = s3["object"]
        yield ObjectCreated(s3["bucket"]["name"], unquote_plus(entry["key"]), int(entry.get("size", 0)))


def invocations_failed(event: Event) -> Iterator[InvocationFailed]:
    """Failed invocations out of an on-failure destination, delivered plain or through SNS or SQS."""
    if "requestPayload" in event:
        yield _failed(event)
    for record in event.get("Records") or ():
        body = (record.get("Sns") or {}).get("Message") or record.get("body")
        if body:
            yield _failed(json.loads(body))


def _failed(envelope: Event) -> InvocationFailed:
    answer = envelope.get("responsePayload")
    answer = answer if isinstance(answer, Mapping) else {}
    kind = answer.get("errorType") or (envelope.get("responseContext") or {}).get("functionError") or "error"
    message = answer.get("errorMessage") or (envelope.get("requestContext") or {}).get("condition") or "no answer"
    arn = str((envelope.get("requestContext") or {}).get("functionArn", ""))
    function = arn.split(":function:")[-1].split(":")[0]
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
