"""Turns the emulator's events into the ones AWS sends.

Where ministack 1.4.21 differs, and a handler would notice:

- object keys in S3 events are not URL-encoded; AWS encodes them (space is ``+``);
- Lambda destinations of S3 notifications receive ``s3:TestEvent``; on AWS only queues and topics do;
- the error of a proxied function arrives as text, ``Proxy target returned HTTP 500: {...}``.

All events pass through the host, so they are corrected here and the handlers need no special cases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

#: ministack's S3 records carry this where AWS has a host id; ours (re-driven) and AWS's never do.
_EMULATOR_HOST_ID = "EXAMPLE"
_PROXY_ERROR = "Proxy target returned HTTP "

#: ministack keeps this many bytes of a failed invocation's answer.
ERROR_BODY_BYTES = 512


def is_test_event(event: object) -> bool:
    """Whether this is the message S3 sends when a notification is configured."""
    return isinstance(event, Mapping) and event.get("Event") == "s3:TestEvent"


def to_aws(event: Any) -> Any:
    """The event as AWS would have sent it; anything unknown is passed on unchanged."""
    if not isinstance(event, Mapping) or not isinstance(event.get("Records"), list):
        return event
    return {**event, "Records": [_record(record) for record in event["Records"]]}


def error_body(error_type: str, message: str) -> bytes:
    """JSON of a failed invocation, short enough for ministack not to truncate it."""
    while True:
        body = json.dumps({"errorType": error_type, "errorMessage": message}, ensure_ascii=False).encode()
        if len(body) <= ERROR_BODY_BYTES:
            return body
        error_type = error_type[:100]
        message = message[: max(0, len(message) - max(1, (len(body) - ERROR_BODY_BYTES) // 4))]


def _record(record: Any) -> Any:
    if not isinstance(record, Mapping):
        return record
    if record.get("eventSource") == "aws:s3":
        return _s3_record(record)
    if record.get("EventSource") == "aws:sns":
        return _sns_record(record)
    if record.get("eventSource") == "aws:sqs":
        return _sqs_record(record)
    return record


def _s3_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record.get("responseElements", {}).get("x-amz-id-2") != _EMULATOR_HOST_ID:
        return record
    item = record["s3"]["object"]
    # AWS does not encode slashes and encodes the rest as a form does.
    item = {**item, "key": quote_plus(item["key"], safe="/")}
    answer = {**record["responseElements"], "x-amz-id-2": "local"}
    return {**record, "responseElements": answer, "s3": {**record["s3"], "object": item}}


def _sqs_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        content = json.loads(record["body"])
    except (KeyError, TypeError, ValueError):
        return record
    sent = to_aws(content)
    return record if sent == content else {**record, "body": json.dumps(sent)}


def _sns_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        envelope = json.loads(record["Sns"]["Message"])
    except (KeyError, TypeError, ValueError):
        return record
    if not isinstance(envelope, dict) or "requestPayload" not in envelope:
        return record
    envelope["requestPayload"] = to_aws(envelope["requestPayload"])
    envelope["responsePayload"] = _unwrapped(envelope.get("responsePayload"))
    return {**record, "Sns": {**record["Sns"], "Message": json.dumps(envelope)}}


def _unwrapped(payload: Any) -> Any:
    message = payload.get("errorMessage") if isinstance(payload, Mapping) else None
    if not isinstance(message, str) or not message.startswith(_PROXY_ERROR):
        return payload
    try:
        return json.loads(message.partition(": ")[2])
    except ValueError:
        return payload
