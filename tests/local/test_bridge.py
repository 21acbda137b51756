"""What the host changes in the emulator's events, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from castline.local.bridge import ERROR_BODY_BYTES, error_body, is_test_event, to_aws

EVENTS = Path(__file__).parents[2] / "events"


def emulator_event(key: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "responseElements": {"x-amz-request-id": "1", "x-amz-id-2": "EXAMPLE"},
                "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 1, "eTag": "e"}},
            }
        ]
    }


def key_of(event: dict[str, Any]) -> str:
    key: str = event["Records"][0]["s3"]["object"]["key"]
    return key


@pytest.mark.parametrize("key", ["a.mp4", "wöche 1/a+b c.mp4", "100%.mp4", "a%20b.mp4", "a&b=c?.mp4", "日本/動画.mp4"])
def test_emulator_keys_are_encoded_once(key: str) -> None:
    sent = to_aws(emulator_event(key))
    assert unquote_plus(key_of(sent)) == key
    assert key_of(sent).count("/") == key.count("/")
    assert to_aws(sent) == sent


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)
def test_events_in_aws_s_form_are_left_alone(path: Path) -> None:
    event = json.loads(path.read_text())
    sent = to_aws(event)
    if "Sns" in event.get("Records", [{}])[0]:
        sent, event = (json.loads(item["Records"][0]["Sns"]["Message"]) for item in (sent, event))
    assert sent == event


def test_a_failure_envelope_gets_its_event_and_its_error_back() -> None:
    envelope = {
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": emulator_event("ä b.zip"),
        "responsePayload": {
            "errorMessage": 'Proxy target returned HTTP 500: {"errorType": "DiskFull", "errorMessage": "no: space"}',
            "errorType": "Runtime.HandlerError",
        },
    }
    record = {"EventSource": "aws:sns", "Sns": {"Message": json.dumps(envelope)}}
    message = json.loads(to_aws({"Records": [record]})["Records"][0]["Sns"]["Message"])
    assert key_of(message["requestPayload"]) == "%C3%A4+b.zip"
    assert message["responsePayload"] == {"errorType": "DiskFull", "errorMessage": "no: space"}


@pytest.mark.parametrize(
    "event",
    [None, [], 3, "text", {}, {"Records": None}, {"Records": [None]}, {"Records": [{"EventSource": "aws:sns"}]}],
)
def test_foreign_events_pass_unchanged(event: object) -> None:
    assert to_aws(event) == event
    assert not is_test_event(event)


@pytest.mark.parametrize("message", ["short", "x" * 10_000, "ü" * 10_000, '\n\x00"' * 900, "🎬" * 600])
def test_error_bodies_are_complete_json_within_the_limit(message: str) -> None:
    body = error_body("Some.Error", message)
    assert len(body) <= ERROR_BODY_BYTES
    document = json.loads(body)
    assert document["errorType"] == "Some.Error"
    assert message.startswith(document["errorMessage"])
    assert document["errorMessage"]
