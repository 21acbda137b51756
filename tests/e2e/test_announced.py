"""A published result is announced to all consumers, by signed posts and an SNS topic, on the whole local stack."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from castline.local.stack import LocalStack
from castline.settings import Settings
from tests.serving import serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Receiver(ThreadingHTTPServer):
    """A consumer's server; it fails at the first post."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes, int]] = []
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)

    def wait_for(self, count: int, status: int = 200, timeout_s: float = 120) -> list[dict[str, Any]]:
        """The bodies of the posts with this answer, once there are that many."""

        def found() -> list[dict[str, Any]]:
            return [json.loads(body) for _, body, answered in self.posts if answered == status]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, timeout_s), self.posts
            return found()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.changed:
            status = 200 if self.server.posts else 503
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.posts.append((headers, body, status))
            self.server.changed.notify_all()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as server:
        yield server


@pytest.fixture(scope="module")
def told(make_settings: Callable[..., Settings], attach: Any, receiver: Receiver) -> Iterator[Any]:
    settings = make_settings(prefix="told")
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
    with LocalStack(settings, slots=2, parameters={"ResultEvents": "sns", "WebhookUrl": url}) as stack:
        yield attach(stack, settings)


def test_a_published_result_is_posted_signed_and_sent_to_the_topic(
    told: Any, receiver: Receiver, odd_media: dict[str, Path]
) -> None:
    sqs, sns = told.stack.deployer("sqs"), told.stack.deployer("sns")
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    (topic,) = [item["TopicArn"] for item in sns.list_topics()["Topics"] if item["TopicArn"].endswith("-results")]
    arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    key = told.upload(odd_media["both.mp4"], "week 1/Été + talk.mp4")
    result = told.results([key])[key]
    (posted,) = receiver.wait_for(1)
    assert posted["type"] == "result.published"
    data = posted["data"]
    assert (data["media"], data["run"], data["status"]) == (key, result.run, "complete")
    assert json.loads(told.store.get(data["bucket"], data["result"]))["run"] == result.run
    assert all(told.store.head(data["bucket"], view) for view in data["views"])

    refused, taken = receiver.posts
    assert (refused[2], taken[2]) == (503, 200)
    assert refused[0]["webhook-id"] == taken[0]["webhook-id"] == data["id"], "retried under the same id"
    secret = told.stack.client("secretsmanager").get_secret_value(SecretId="told/webhook")["SecretString"]
    # The emulator's have punctuation, which is not base64, so the key is the text itself.
    signed = f"{taken[0]['webhook-id']}.{taken[0]['webhook-timestamp']}.".encode() + taken[1]
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    assert taken[0]["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"

    messages: list[dict[str, Any]] = []
    deadline = time.monotonic() + 120
    while not messages:
        assert time.monotonic() < deadline
        messages = sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=2).get("Messages", [])
    assert json.loads(json.loads(messages[0]["Body"])["Message"])["detail"]["id"] == data["id"]


def test_a_failed_file_and_a_new_upload_are_publications_of_their_own(
    told: Any, receiver: Receiver, odd_media: dict[str, Path]
) -> None:
    before = len(receiver.wait_for(0))
    key = told.upload(odd_media["text.mp4"], "replaced.mp4")
    told.results([key])
    failed = receiver.wait_for(before + 1)[-1]["data"]
    assert (failed["media"], failed["status"]) == (key, "failed")
    assert failed["error"].startswith("not_media: ")
    told.upload(odd_media["both.mp4"], key)
    complete = receiver.wait_for(before + 2)[-1]["data"]
    assert complete["status"] == "complete"
    assert complete["id"] != failed["id"]
