"""Dead letters: read without losing one, shown with their reason, run again, and deleted only then."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from castline import keys
from castline.events import object_created
from castline.operations import read_dead_letters, redrive
from castline.operations.redrive import put_back, queue_url
from castline.runs.request import read_request, read_source
from castline.settings import Settings
from castline.stages import failure_event
from castline.storage import MemoryStore
from tests.serving import own_queues

MEDIA = "week 1/a+b.mp4"


class Lambda:
    """Remembers its invocations."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, dict[str, Any]]] = []

    def invoke(self, **call: Any) -> None:
        assert call["InvocationType"] == "Event"
        self.invoked.append((call["FunctionName"], json.loads(call["Payload"])))


def _envelope(event: dict[str, Any], function: str) -> dict[str, Any]:
    return {
        "requestContext": {"functionArn": f"arn:aws:lambda:us-east-1:1:function:{function}:$LATEST"},
        "requestPayload": event,
        "responsePayload": {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"},
    }


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws(), own_queues():
        client = boto3.client("sqs", region_name="us-east-1")
        client.create_queue(QueueName="castline-failed-invocations")
        yield client


@pytest.fixture
def url(sqs) -> str:
    return queue_url(sqs, Settings())


def _put(sqs, url: str, *bodies: object) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body if isinstance(body, str) else json.dumps(body))


def _run(sqs, url: str, store: MemoryStore | None = None) -> tuple[int, Lambda]:
    lambda_ = Lambda()
    client = {"sqs": sqs, "lambda": lambda_}.__getitem__
    count = redrive(read_dead_letters(sqs, url), client, url, store or MemoryStore(), Settings())
    return count, lambda_


def test_every_letter_is_read_and_reading_loses_none(sqs, url: str) -> None:
    events = [object_created("castline-stage-1", f"m.mp4/{'0' * 16}/frames/{at:04d}.zip") for at in range(25)]
    _put(sqs, url, *(_envelope(event, "face-recognition") for event in events))
    letters = read_dead_letters(sqs, url)
    rows = [row for letter in letters for row in letter.objects()]
    assert sorted(row[2] for row in rows) == [f"m.mp4/{'0' * 16}/frames/{at:04d}.zip" for at in range(25)]
    assert {row[3] for row in rows} == {"Runtime.ExitError: signal: killed"}
    assert read_dead_letters(sqs, url) == [], "hidden while somebody looks at them"
    put_back(sqs, url, letters)
    assert len(read_dead_letters(sqs, url)) == 25


def test_a_failed_event_is_run_again_by_its_function_and_deleted(sqs, url: str) -> None:
    event = object_created("castline-stage-1", f"m.mp4/{'0' * 16}/audio/0000.flac")
    _put(sqs, url, _envelope(event, "my-face-recognition"))
    count, lambda_ = _run(sqs, url)
    assert (count, lambda_.invoked) == (1, [("my-face-recognition", event)])
    assert _run(sqs, url)[0] == 0


def test_the_recorder_s_own_letters_contain_the_topic_s_event(sqs, url: str) -> None:
    event = object_created("castline-input", MEDIA)
    message = json.dumps(_envelope(event, "video-splitting"))
    _put(sqs, url, {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]})
    assert _run(sqs, url)[1].invoked == [("video-splitting", event)]


def test_an_event_that_never_reached_a_function_finds_its_function(sqs, url: str) -> None:
    bridged = {"source": "aws.s3", "detail": {"bucket": {"name": "castline-input"}, "object": {"key": MEDIA}}}
    _put(sqs, url, bridged)
    assert _run(sqs, url)[1].invoked == [("video-splitting", bridged)]


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "[]",
        "{}",
        "[" * 60_000,
        '{"requestPayload": 1}',
        {"Records": 7},
        {"Records": [{"Sns": {"Message": "hello"}}]},
        {"Records": [{"Sns": {"Message": "{}"}}]},
    ],
)
def test_foreign_messages_stay(body: object, sqs, url: str) -> None:
    _put(sqs, url, body)
    assert _run(sqs, url)[0] == 0
    assert len(read_dead_letters(sqs, url)) == 1


def test_if_stages_have_queues_failed_events_return_to_them(sqs, url: str) -> None:
    """One message per object, without its envelopes; a door's function is invoked directly."""
    units = sqs.create_queue(QueueName="castline-units")["QueueUrl"]
    uploads = sqs.create_queue(QueueName="castline-uploads")["QueueUrl"]
    ranges = sqs.create_queue(QueueName="castline-ranges")["QueueUrl"]
    unit = object_created("castline-stage-1", f"m.mp4/{'0' * 16}/audio/0000.flac")
    of_range = object_created("castline-stage-1", f"m.mp4/{'0' * 16}/ranges/0001.range")
    message = {"eventSource": "aws:sqs", "messageId": "1", "body": json.dumps(unit)}
    bridged = {"source": "aws.s3", "detail": {"bucket": {"name": "castline-input"}, "object": {"key": MEDIA}}}
    _put(
        sqs,
        url,
        _envelope({"Records": [message]}, "face-recognition"),
        bridged,
        _envelope(of_range, "video-splitting"),
        _envelope({"a": 1}, "result-webhook"),
    )
    count, lambda_ = _run(sqs, url)
    assert (count, lambda_.invoked) == (4, [("result-webhook", {"a": 1})])
    for queue, event in ((units, unit), (uploads, bridged), (ranges, of_range)):
        (found,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        assert json.loads(found["Body"]) == event


def test_a_failed_manifest_does_not_prevent_its_redrive(sqs, url: str) -> None:
    store, settings = MemoryStore(), Settings()
    store.put(settings.input_bucket, MEDIA, b"media")
    event = object_created(settings.input_bucket, MEDIA)
    failure_event(_envelope(event, "video-splitting"), store, settings)
    source = read_source(settings.input_bucket, MEDIA, store)
    assert source
    manifest = keys.manifest_key(MEDIA, read_request(source, store, settings).run)
    assert store.get(settings.stage1_bucket, manifest)
    _put(sqs, url, _envelope(event, "video-splitting"))
    assert _run(sqs, url, store)[0] == 1
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        assert store.get(bucket, manifest) is None


def test_a_letter_that_cannot_be_run_does_not_stop_the_others(sqs, url: str) -> None:
    events = [object_created("castline-stage-1", f"m.mp4/{'0' * 16}/audio/{at:04d}.flac") for at in range(3)]
    names = ("face-recognition", "gone", "face-recognition")
    _put(sqs, url, *(_envelope(event, name) for event, name in zip(events, names, strict=True)))

    class Refusing(Lambda):
        def invoke(self, **call: Any) -> None:
            if call["FunctionName"] == "gone":
                raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Invoke")
            super().invoke(**call)

    lambda_, told = Refusing(), []
    client = {"sqs": sqs, "lambda": lambda_}.__getitem__
    count = redrive(read_dead_letters(sqs, url), client, url, MemoryStore(), Settings(), told.append)
    assert (count, len(lambda_.invoked)) == (2, 2)
    assert len(told) == 1
    assert "gone could not be invoked" in told[0]
    (left,) = read_dead_letters(sqs, url)
    assert next(left.objects())[0] == "gone"


def test_an_unreadable_manifest_does_not_prevent_a_redrive(sqs, url: str) -> None:
    store, settings = MemoryStore(), Settings()
    store.put(settings.input_bucket, MEDIA, b"media")
    manifest = keys.manifest_key(MEDIA, "0" * 16)
    store.put(settings.stage1_bucket, manifest, b"[" * 60_000)
    _put(sqs, url, _envelope(object_created(settings.input_bucket, MEDIA), "video-splitting"))
    assert _run(sqs, url, store)[0] == 1
    assert store.get(settings.stage1_bucket, manifest) is None
