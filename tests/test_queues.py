"""Messages of the stages' queues: retried, given up with a reason, recorded, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.parsers import ResponseParserError
from moto import mock_aws

from castline.errors import EventError, NotMedia, ResourceError
from castline.events import object_created
from castline.operations.redrive import read_dead_letters
from castline.queues import HIDDEN_S, STAGE, attempt_of, delay_s, each_message, stage_messages
from castline.settings import Settings
from castline.stages import analyse_event, failure_event, split_event
from castline.storage import MemoryStore
from tests.serving import own_queues

MEDIA = "week 1/a+b.mp4"
SETTINGS = Settings(prefix="castline")


class _Away(MemoryStore):
    def head(self, *_: object, **__: object) -> Any:
        raise ResourceError("S3 is away")


class Queues:
    """A real SQS client, and a queue of each kind."""

    def __init__(self) -> None:
        self.client = boto3.client("sqs", region_name="us-east-1")
        self._urls = {
            name: self.client.create_queue(
                QueueName=f"castline-{name}", Attributes={"VisibilityTimeout": str(HIDDEN_S)}
            )["QueueUrl"]
            for name in ("uploads", "units", "given-up", "failed-invocations")
        }

    def url(self, name: str) -> str:
        return str(self._urls[name])

    def put(self, name: str, body: object) -> None:
        self.client.send_message(
            QueueUrl=self.url(name), MessageBody=body if isinstance(body, str) else json.dumps(body)
        )

    def receive(self, name: str) -> list[dict[str, Any]]:
        """Records as Lambda delivers them."""
        answer = self.client.receive_message(QueueUrl=self.url(name), MaxNumberOfMessages=10, AttributeNames=["All"])
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:castline-{name}",
            }
            for message in answer.get("Messages", [])
        ]

    def hidden_s(self, name: str) -> list[int]:
        """The delays that were requested."""
        return [call["VisibilityTimeout"] for call in self.asked if call["QueueUrl"] == self.url(name)]

    asked: list[dict[str, Any]]


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws(), own_queues():
        made = Queues()
        made.asked = []
        hide = made.client.change_message_visibility
        monkeypatch.setattr(
            made.client, "change_message_visibility", lambda **call: (made.asked.append(call), hide(**call))
        )
        yield made


def _fails(error: Exception) -> Any:
    def do(_event: object) -> dict[str, Any]:
        raise error

    return do


def test_an_event_that_is_not_a_message_is_processed_as_usual(queues: Queues) -> None:
    event = object_created("castline-input", MEDIA)
    assert stage_messages(event, lambda one: {"seen": one}, SETTINGS, queues.client) == {"seen": event}
    assert queues.asked == []


def test_a_message_is_processed_once_and_hidden_no_longer_than_an_attempt_lasts(queues: Queues) -> None:
    queues.put("uploads", object_created("castline-input", MEDIA))
    seen: list[Any] = []
    event = {"Records": queues.receive("uploads")}
    answer = stage_messages(event, lambda one: {"seen": seen.append(one)}, SETTINGS, queues.client)
    assert answer == {"batchItemFailures": []}
    assert seen == [event]
    assert queues.hidden_s("uploads") == [STAGE.held_s]
    assert 900 < STAGE.held_s < HIDDEN_S


def test_a_failed_message_comes_again_later_and_the_invocation_fails(queues: Queues) -> None:
    queues.put("uploads", object_created("castline-input", MEDIA))
    (record,) = queues.receive("uploads")
    with pytest.raises(ResourceError, match="no memory"):
        stage_messages({"Records": [record]}, _fails(ResourceError("no memory")), SETTINGS, queues.client)
    assert queues.hidden_s("uploads") == [STAGE.held_s, 15]
    assert queues.receive("given-up") == []


def test_the_others_of_a_batch_are_processed_although_one_fails(queues: Queues) -> None:
    for key in ("a.mp4", "b.mp4"):
        queues.put("uploads", object_created("castline-input", key))
    records = queues.receive("uploads")

    def do(event: Any) -> dict[str, Any]:
        if "a.mp4" in event["Records"][0]["body"]:
            raise ResourceError("no memory")
        return {}

    answer = stage_messages({"Records": records}, do, SETTINGS, queues.client)
    (failed,) = answer["batchItemFailures"]
    assert next(one["body"] for one in records if one["messageId"] == failed["itemIdentifier"]).count("a.mp4") == 1


@pytest.mark.parametrize(
    ("attempt", "error", "reason"),
    [
        (STAGE.attempts, ResourceError("no memory"), "ResourceError: no memory"),
        (1, NotMedia("text"), "NotMedia: text"),
        (STAGE.attempts + 1, AssertionError("not to be tried"), "ResourceError: 5 attempts ended their process"),
    ],
    ids=["the last attempt", "never will", "ended its process each time"],
)
def test_a_message_that_is_given_up_is_recorded_and_kept(
    queues: Queues, attempt: int, error: Exception, reason: str
) -> None:
    store = MemoryStore()
    store.put("castline-input", MEDIA, b"media")
    queues.put("uploads", object_created("castline-input", MEDIA))
    (record,) = queues.receive("uploads")
    record["attributes"]["ApproximateReceiveCount"] = str(attempt)
    config = SETTINGS.model_copy(update={"function_name": "video-splitting"})
    assert stage_messages({"Records": [record]}, _fails(error), config, queues.client) == {"batchItemFailures": []}
    event = {"Records": queues.receive("given-up")}
    assert failure_event(event, store, SETTINGS, queues.client) == {"batchItemFailures": []}
    (result,) = [store.get("castline-output", info.key) for info in store.find("castline-output", f"{MEDIA}/result")]
    assert json.loads(result)["error"]["code"] == "retries_exhausted"
    (letter,) = read_dead_letters(queues.client, queues.url("failed-invocations"))
    ((function, bucket, key, why),) = letter.objects()
    assert (function, bucket, key) == ("video-splitting", "castline-input", MEDIA)
    assert why.startswith(reason)


def test_an_event_run_again_by_an_invocation_has_one_attempt(queues: Queues) -> None:
    queues.put("units", object_created("castline-stage-1", "m.mp4/0123456789abcdef/audio/0000.flac"))
    (record,) = queues.receive("units")
    record["attributes"]["ApproximateReceiveCount"] = str(STAGE.attempts)
    for _ in range(2):
        assert stage_messages({"Records": [record]}, _fails(OSError("x")), SETTINGS, queues.client) == {
            "batchItemFailures": []
        }
        (letter,) = queues.receive("given-up")
        (record,) = json.loads(letter["body"])["requestPayload"]["Records"]


def test_a_message_that_no_function_answered_is_recorded_too(queues: Queues) -> None:
    """SQS itself moves it, unchanged."""
    store = MemoryStore()
    store.put("castline-input", MEDIA, b"media")
    queues.put("given-up", object_created("castline-input", MEDIA))
    failure_event({"Records": queues.receive("given-up")}, store, SETTINGS, queues.client)
    (letter,) = read_dead_letters(queues.client, queues.url("failed-invocations"))
    assert [row[:3] for row in letter.objects()] == [("video-splitting", "castline-input", MEDIA)]
    assert store.get("castline-output", f"{MEDIA}/result.json")


@pytest.mark.parametrize("body", ["no json", "[]", "{}", '{"Records": [{"eventSource": "aws:s3"}]}'])
def test_an_unknown_message_goes_to_the_dead_letter_queue_at_once(queues: Queues, body: str) -> None:
    store = MemoryStore()
    queues.put("uploads", body)
    event = {"Records": queues.receive("uploads")}
    assert split_event(event, store, SETTINGS, queues=queues.client) == {"batchItemFailures": []}
    failure_event({"Records": queues.receive("given-up")}, store, SETTINGS, queues.client)
    (letter,) = read_dead_letters(queues.client, queues.url("failed-invocations"))
    assert "EventError" in letter.body
    queues.put("given-up", body)
    failure_event({"Records": queues.receive("given-up")}, store, SETTINGS, queues.client)
    assert len(read_dead_letters(queues.client, queues.url("failed-invocations"))) == 1


def test_a_recorder_that_cannot_record_keeps_the_message(queues: Queues) -> None:
    store = _Away()
    queues.put("given-up", object_created("castline-input", MEDIA))
    (record,) = queues.receive("given-up")
    answer = failure_event({"Records": [record]}, store, SETTINGS, queues.client)
    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert read_dead_letters(queues.client, queues.url("failed-invocations")) == []


@pytest.mark.parametrize("failures", [1, 2])
def test_a_message_is_not_hidden_for_long_because_an_answer_was_cut_off(queues: Queues, failures: int) -> None:
    """botocore does not repeat a request whose answer it cannot read, nor any request after many errors."""

    class CutOff:
        def __init__(self) -> None:
            self.left = failures

        def change_message_visibility(self, **call: Any) -> Any:
            if call["VisibilityTimeout"] != STAGE.held_s and self.left:
                self.left -= 1
                raise ResponseParserError("half a body")
            return queues.client.change_message_visibility(**call)

        def __getattr__(self, name: str) -> Any:
            return getattr(queues.client, name)

    queues.put("given-up", object_created("castline-input", MEDIA))
    (record,) = queues.receive("given-up")
    assert failure_event({"Records": [record]}, _Away(), SETTINGS, CutOff())["batchItemFailures"]
    assert queues.hidden_s("given-up") == [STAGE.held_s, 15]


def test_units_arrive_through_their_queue(queues: Queues) -> None:
    """A deleted unit needs no work; the engines are not even loaded."""
    queues.put("units", object_created("castline-stage-1", "m.mp4/0123456789abcdef/audio/0000.flac"))
    event = {"Records": queues.receive("units")}
    engines: Any = object()
    assert analyse_event(event, MemoryStore(), SETTINGS, engines, queues.client) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("received", "waited_s", "attempt"),
    [
        (1, 0, 1),
        (4, 300, 4),
        (10, 9 * HIDDEN_S + 1, 1),  # throttled nine times: nobody has tried it yet
        (200, 199 * HIDDEN_S + 60, 1),
        (6, 5 * STAGE.held_s, 6),  # its process died five times
        (9, 8 * STAGE.held_s, 8),
        (3, 2 * HIDDEN_S + 30, 1),
    ],
)
def test_throttled_receives_are_not_attempts(received: int, waited_s: float, attempt: int) -> None:
    attributes = {"ApproximateReceiveCount": str(received), "ApproximateFirstReceiveTimestamp": "1000000"}
    assert attempt_of(attributes, now_s=1000 + waited_s) == attempt


@pytest.mark.parametrize(
    "attributes", [None, {}, {"ApproximateReceiveCount": "x"}, {"ApproximateReceiveCount": None}, "text", []]
)
def test_a_message_without_a_count_is_at_its_first_attempt(attributes: object) -> None:
    assert attempt_of(attributes) == 1


def test_delays_are_doubled_up_to_an_hour() -> None:
    assert [delay_s(attempt, 15) for attempt in (0, 1, 2, 5, 9, 99)] == [15, 15, 30, 240, 3600, 3600]


def test_an_event_from_an_unknown_queue_is_refused() -> None:
    with pytest.raises(EventError):
        each_message({"Records": 7}, lambda _: None, SETTINGS)
