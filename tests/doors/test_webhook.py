"""Posts to a listening server: signature, redirects, refusals; and what becomes of a message that fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from castline import aws, queues
from castline.doors import webhook
from castline.doors.announce import Publication
from castline.doors.webhook import webhook_event
from castline.errors import EventError, ResourceError, SettingsError
from castline.operations.redrive import DeadLetter, _failed
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.serving import serving

KEY = b"a key of bytes that nobody else has"
FOUND = Publication(id="0123456789abcdef-1", media="talk.mp4", run="0123456789abcdef", status="complete",
                    bucket="castline-output", result="talk.mp4/result.json")  # fmt: skip
QUEUE = "arn:aws:sqs:us-east-1:000000000000:castline-webhook"


class Server(ThreadingHTTPServer):
    """Keeps what is posted, and answers as a test tells it to."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = aws.client("sqs", endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(queues, "sqs", lambda: client)
    monkeypatch.setattr(webhook, "secret_text", lambda _: f"whsec_{base64.b64encode(KEY).decode()}")
    webhook._key.cache_clear()
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()
    webhook._key.cache_clear()


def _message(attempt: int = 1, body: str | None = None) -> dict[str, Any]:
    event = {"source": "castline", "detail-type": "Result Published", "detail": json.loads(FOUND.to_json())}
    return {
        "messageId": "1",
        "receiptHandle": "r",
        "body": body or json.dumps(event),
        "attributes": {"ApproximateReceiveCount": str(attempt)},
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE,
    }


def _run(server: Server, *messages: dict[str, Any]) -> dict[str, Any]:
    return webhook_event({"Records": list(messages)}, MemoryStore(), Settings(webhook_url=server.url))


def test_a_post_can_be_verified_with_the_key(server: Server, sqs: Stubber) -> None:
    assert _run(server, _message()) == {"batchItemFailures": []}
    ((headers, body),) = server.posts
    assert json.loads(body) == {"type": "result.published", "data": json.loads(FOUND.to_json())}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == FOUND.id


@pytest.mark.parametrize(
    ("text", "key"), [("whsec_AAEC", bytes([0, 1, 2])), ("AAEC\n", bytes([0, 1, 2])), ("pass-phrase!", b"pass-phrase!")]
)
def test_a_key_is_base64_or_else_plain_text(monkeypatch: pytest.MonkeyPatch, text: str, key: bytes) -> None:
    monkeypatch.setattr(webhook, "secret_text", lambda _: text)
    webhook._key.cache_clear()
    assert webhook._key("name") == key
    webhook._key.cache_clear()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refused_post_is_retried_at_growing_intervals(server: Server, sqs: Stubber, status: int) -> None:
    for attempt, seconds in ((1, 15), (2, 30), (7, 960)):
        server.answers.append(status)
        sqs.add_response("get_queue_url", {"QueueUrl": "http://q"}, {"QueueName": "castline-webhook"})
        wanted = {"QueueUrl": "http://q", "ReceiptHandle": "r", "VisibilityTimeout": seconds}
        sqs.add_response("change_message_visibility", {}, wanted)
        assert _run(server, _message(attempt)) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert [headers["webhook-id"] for headers, _ in server.posts] == [FOUND.id] * 3, "and no redirect was followed"


@pytest.mark.parametrize(
    ("attempt", "body", "reason"),
    [(8, None, "ResourceError"), (1, '{"source": "castline"}', "EventError"), (1, "no json", "EventError")],
)
def test_a_permanent_failure_goes_to_the_dead_letter_queue_with_its_reason(
    server: Server, sqs: Stubber, attempt: int, body: str | None, reason: str
) -> None:
    server.answers.append(500)
    sqs.add_response("get_queue_url", {"QueueUrl": "http://dead"}, {"QueueName": "castline-failed-invocations"})
    sent: list[str] = []
    sqs.client.meta.events.register("provide-client-params.sqs.SendMessage", lambda params, **_: sent.append(params["MessageBody"]))  # type: ignore[attr-defined]  # fmt: skip  # noqa: E501
    sqs.add_response("send_message", {"MessageId": "2"}, {"QueueUrl": "http://dead", "MessageBody": ANY})
    message = _message(attempt, body)
    assert _run(server, message) == {"batchItemFailures": []}
    letter = DeadLetter(tuple(_failed(sent[0])), sent[0], "r")
    ((_, _, _, why),) = letter.objects()
    assert why.startswith(f"{reason}: ")
    (again,) = letter.failed[0].event["Records"]
    assert again["body"] == message["body"]
    assert again["attributes"]["ApproximateReceiveCount"] == str(queues.MOST_ATTEMPTS), (
        "it is run again with one attempt"
    )


def test_one_bad_message_does_not_stop_the_others(server: Server, sqs: Stubber) -> None:
    sqs.add_response("get_queue_url", {"QueueUrl": "http://dead"})
    sqs.add_response("send_message", {"MessageId": "2"})
    assert _run(server, _message(body="no json"), _message()) == {"batchItemFailures": []}
    assert len(server.posts) == 1


def test_if_the_queue_cannot_be_asked_its_own_policy_decides(server: Server, sqs: Stubber) -> None:
    server.answers.append(500)
    sqs.add_client_error("get_queue_url", "AccessDenied")
    assert _run(server, _message()) == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_a_token_in_the_address_is_not_shown(server: Server, sqs: Stubber) -> None:
    server.answers.append(500)
    with pytest.raises(ResourceError) as raised:
        webhook.post(FOUND, Settings(webhook_url=f"{server.url}?token=hush"))
    assert "hush" not in raised.value.message
    with pytest.raises(ResourceError) as raised:
        webhook.post(FOUND, Settings(webhook_url="http://127.0.0.1:9/hook?token=hush"))
    assert "hush" not in raised.value.message


def test_only_web_addresses_are_accepted(sqs: Stubber) -> None:
    with pytest.raises(SettingsError):
        webhook.post(FOUND, Settings(webhook_url="file:///etc/passwd"))


def test_an_event_without_a_queue_is_an_error(server: Server) -> None:
    with pytest.raises(EventError):
        webhook_event({"Records": "many"}, MemoryStore(), Settings())
