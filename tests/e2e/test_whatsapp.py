"""Voice notes through the whole local stack: SNS to SQS to the function, media from a server that speaks the messaging
service's protocol in place of Meta's, the pipeline's own transcript, and one dated object per message.
"""

from __future__ import annotations

import csv
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from castline import keys
from castline.cli.main import app
from castline.evaluation.speech import count_normalised
from castline.local.stack import LocalStack
from castline.operations.redrive import queue_url, read_dead_letters, redrive
from castline.settings import Settings, settings
from castline.storage import S3Store
from tests.serving import serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EVENTS = Path(__file__).parents[1] / "doors" / "whatsapp" / "events"
NUMBER = "phone-number-id-0123456789abcdef0123456789abcdef"


class Meta(ThreadingHTTPServer):
    """The service: writes media into the bucket, and accepts replies. It refuses the first request."""

    def __init__(self) -> None:
        self.media: dict[str, bytes] = {}
        self.store: S3Store | None = None
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Meta

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/whatsapp/send":
            self.server.answers.append(body)
            return self._answer(200, {"messageId": "m"})
        assert self.path == "/v1/whatsapp/media/get"
        self.server.asked.append(body)
        if len(self.server.asked) == 1:
            return self._answer(502, {"message": "Meta is away"}, "DependencyException")
        found = self.server.media.get(body["mediaId"])
        if found is None:
            return self._answer(404, {"message": "expired"}, "ResourceNotFoundException")
        place = body["destinationS3File"]
        assert self.server.store
        self.server.store.put(place["bucketName"], f"{place['key']}{body['mediaId']}.ogg", found)
        return self._answer(200, {"mimeType": "audio/ogg; codecs=opus", "fileSize": len(found) // 1000})

    def _answer(self, status: int, body: dict[str, Any], error: str = "") -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def meta() -> Iterator[Meta]:
    with serving(Meta()) as server:
        yield server


@pytest.fixture(scope="module")
def phone(make_settings: Callable[..., Settings], attach: Any, meta: Meta) -> Iterator[Any]:
    config = make_settings(prefix="phone", whatsapp_endpoint=f"http://127.0.0.1:{meta.server_address[1]}")
    parameters = {"EnableWhatsApp": "true", "WhatsAppPhoneNumberIds": NUMBER, "WhatsAppReply": "true"}
    with LocalStack(config, slots=2, parameters=parameters) as stack:
        found = attach(stack, config)
        meta.store = found.store
        yield found


def _notification(kind: str, **fields: Any) -> str:
    content = json.loads((EVENTS / f"{kind}.json").read_text())
    entry = json.loads(content["whatsAppWebhookEntry"])
    entry["changes"][0]["value"]["messages"][0].update(fields)
    return json.dumps({**content, "whatsAppWebhookEntry": json.dumps(entry)})


def _objects(phone: Any) -> dict[str, Any]:
    found = phone.store.find(phone.settings.output_bucket)
    listed = [info.key for info in found if keys.parse_message(info.key)]
    return {key: json.loads(phone.store.get(phone.settings.output_bucket, key)) for key in listed}


def _wait(phone: Any, ready: Callable[[dict[str, Any]], bool], timeout_s: float = 300) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while not ready(found := _objects(phone)):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


def test_voice_notes_delivered_three_times_and_shuffled(
    phone: Any, meta: Meta, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data / "speech"
    if not (folder / "whatsapp_style_opus").is_dir():
        pytest.skip("no voice notes in the shared test data")
    notes = sorted((folder / "whatsapp_style_opus").glob("*.opus"))
    with (folder / "transcripts.tsv").open() as table:
        spoken = {Path(row["file"]).stem: row["reference"] for row in csv.DictReader(table, delimiter="\t")}
    assert len(notes) == 4
    sent = [_notification("text"), _notification("sticker"), _notification("reaction"), _notification("deleted")]
    for number, note in enumerate(notes):
        meta.media[f"77{number}"] = note.read_bytes()
        audio = {"mime_type": "audio/ogg; codecs=opus", "id": f"77{number}", "voice": True}
        sent.append(_notification("voice", id=f"wamid.{note.stem}", audio=audio))
    sent.append(_notification("voice", id="wamid.expired", audio={"id": "999", "mime_type": "audio/ogg"}))
    sent.append("this is no notification")
    deliveries = sent * 3
    random.Random(7).shuffle(deliveries)
    sns = phone.stack.client("sns")
    (topic,) = [item["TopicArn"] for item in sns.list_topics()["Topics"] if item["TopicArn"].endswith("phone-whatsapp")]
    for delivery in deliveries:
        sns.publish(TopicArn=topic, Message=delivery)

    def spoken_in(found: dict[str, Any]) -> list[dict[str, Any]]:
        return [body for body in found.values() if "transcription" in body]

    found = _wait(phone, lambda objects: len(objects) == 9 and len(spoken_in(objects)) == 5)
    for key, body in found.items():
        assert re.fullmatch(r"2025-11-26/[0-9a-f]{16}-10-01-\d\d-[0-9a-f]{16}\.json", key)
        if body["type"] != "audio":
            assert "transcription" not in body
            continue
        heard = body["transcription"]
        if body["id"] == "wamid.expired":
            assert (heard["ok"], heard["error"]) == (False, "media_expired")
            continue
        assert heard["ok"], heard
        assert phone.store.head(phone.settings.input_bucket, body["audio_file"].removeprefix("s3://phone-input/"))
        assert heard["text"]
        if reference := spoken.get(body["id"].removeprefix("wamid.").removeprefix("PTT_")):
            errors = count_normalised(reference, heard["text"], "en")
            assert errors.wer is not None
            assert errors.wer < 0.2, (reference, heard["text"])
    deadline = time.monotonic() + 120
    while len(meta.answers) < 4:
        assert time.monotonic() < deadline, meta.answers
        time.sleep(0.2)
    assert len(_objects(phone)) == 9

    letters = _dead(phone)
    assert len(letters) == 3
    assert all("EventError" in letter for letter in letters), "the malformed message, three times, each with its reason"

    sqs = phone.stack.client("sqs")
    url = queue_url(sqs, phone.settings)
    assert redrive(read_dead_letters(sqs, url), phone.stack.client, url, phone.store, phone.settings) == 3
    deadline = time.monotonic() + 120
    while len(_dead(phone)) < 3:
        assert time.monotonic() < deadline, "when run again, they fail again and are not lost"
        time.sleep(0.2)

    for name, value in {**phone.stack.environment, "CASTLINE_PREFIX": "phone"}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        printed = CliRunner().invoke(app, ["messages", "--since", "2025-11-26", "--csv"])
    finally:
        settings.cache_clear()
    assert printed.exit_code == 0, printed.output
    assert len(printed.stdout.splitlines()) == 10
    assert "media_expired" in printed.stdout
    assert len(meta.answers) == 4, "each note is answered once, and nothing else is"


def _dead(phone: Any) -> list[str]:
    sqs = phone.stack.client("sqs")
    url = sqs.get_queue_url(QueueName="phone-failed-invocations")["QueueUrl"]
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [item["Body"] for item in answer.get("Messages", [])]
