"""Every kind of message, delivered as by SQS, with AWS's client against botocore's model of the service."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from castline import aws, keys
from castline.doors.announce import publication
from castline.doors.whatsapp import gather_messages, whatsapp_event, write_csv
from castline.doors.whatsapp import objects as whatsapp_objects
from castline.events import object_created
from castline.operations.redrive import _failed
from castline.runs.common import read_result
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore

EVENTS = Path(__file__).parent / "events"
KINDS = sorted(path.stem for path in EVENTS.glob("*.json"))
ONE_MESSAGE = [kind for kind in KINDS if kind not in ("several", "statuses")]
NUMBER = "phone-number-id-0123456789abcdef0123456789abcdef"
SALT = "a salt that nobody else has"


class Dead:
    """An SQS client: keeps what is given up, and which messages are delayed."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.later: list[int] = []

    def get_queue_url(self, QueueName: str) -> dict[str, str]:  # noqa: N803 - boto3's
        return {"QueueUrl": QueueName}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        assert QueueUrl == "castline-failed-invocations"
        self.letters.append(MessageBody)

    def change_message_visibility(self, VisibilityTimeout: int, **_: Any) -> None:  # noqa: N803
        self.later.append(VisibilityTimeout)

    @property
    def reasons(self) -> list[str]:
        return [failed.reason for body in self.letters for failed in _failed(body)]


class Door:
    """The buckets, the service behind a Stubber, and ways to deliver messages."""

    def __init__(self, **changes: Any) -> None:
        self.store = MemoryStore()
        self.settings = Settings(whatsapp_numbers=(NUMBER,), whatsapp_salt="castline/whatsapp", **changes)
        self.client = aws.client("socialmessaging", endpoint="http://127.0.0.1:9")
        self.stub = Stubber(self.client)
        self.dead = Dead()
        self.stub.activate()

    def deliver(self, *contents: Any, attempt: int = 1) -> dict[str, Any]:
        """SQS records with SNS's envelope inside."""
        records = [
            {
                "messageId": str(at),
                "receiptHandle": "r",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:castline-whatsapp",
                "attributes": {"ApproximateReceiveCount": str(attempt)},
                "body": content
                if isinstance(content, str)
                else json.dumps({"Type": "Notification", "Message": json.dumps(content)}),
            }
            for at, content in enumerate(contents)
        ]
        return whatsapp_event({"Records": records}, self.store, self.settings, self.client, self.dead)

    def gives(self, media_id: str, suffix: str = "ogg", body: bytes = b"a letter") -> None:
        """The service will write a media file, with the name that its documentation gives."""
        place = {"bucketName": self.settings.input_bucket, "key": "2025-11-26/"}
        wanted = {"mediaId": media_id, "originationPhoneNumberId": NUMBER, "destinationS3File": place}
        self.stub.add_response("get_whatsapp_message_media", {"mimeType": "audio/ogg", "fileSize": 1}, wanted)
        key = f"2025-11-26/{media_id}.{suffix}"

        def write(params: dict[str, Any], **_: Any) -> None:
            if params["mediaId"] == media_id:
                self.store.put(self.settings.input_bucket, key, body)

        event = "before-parameter-build.socialmessaging.GetWhatsAppMessageMedia"
        self.client.meta.events.register(event, write, unique_id=media_id)

    def refuses(self, code: str) -> None:
        self.stub.add_client_error("get_whatsapp_message_media", code, http_status_code=400)

    def objects(self) -> dict[str, Any]:
        found = self.store.find(self.settings.output_bucket)
        return {
            info.key: json.loads(self.store.get(self.settings.output_bucket, info.key) or b"")
            for info in found
            if keys.parse_message(info.key)
        }

    def run(self, media: str) -> dict[str, Any]:
        """Process an upload (which fails, because it is not media), and announce its result."""
        settings = self.settings
        for run in split_event(object_created(settings.input_bucket, media), self.store, settings)["runs"]:
            manifest = keys.manifest_key(media, run)
            analyse_event(object_created(settings.stage1_bucket, manifest), self.store, settings)
        found = publication(media, self.store, settings)
        assert found
        return {"source": "castline", "detail-type": "Result Published", "detail": json.loads(found.to_json())}

    def say(self, media: str, text: str) -> dict[str, Any]:
        """As ``run``, but its speech is recognised."""
        event = self.run(media)
        result = read_result(media, self.store, self.settings)
        assert result
        segment = {"id": "speech-1", "start_s": 0.5, "end_s": 1.25, "text": text, "words": []}
        transcript = {"engine": "x", "language": "en", "text": text, "segments": [segment], "cues": []}
        said = {**json.loads(result.to_json()), "status": "complete", "error": None, "transcript": transcript}
        self.store.put(self.settings.output_bucket, keys.result_key(media), json.dumps(said).encode())
        return {**event, "detail": {**event["detail"], "status": "complete"}}


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    whatsapp_objects._salt.cache_clear()
    monkeypatch.setattr(whatsapp_objects, "secret_text", lambda _: SALT)
    yield
    whatsapp_objects._salt.cache_clear()


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.stub.assert_no_pending_responses()


def sns(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVENTS / f"{kind}.json").read_text())
    return found


def message(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sns(kind)["whatsAppWebhookEntry"])["changes"][0]["value"]["messages"][0]
    return found


def changed(kind: str, **fields: Any) -> dict[str, Any]:
    """A notification whose message has other fields."""
    content = sns(kind)
    entry = json.loads(content["whatsAppWebhookEntry"])
    entry["changes"][0]["value"]["messages"][0].update(fields)
    return {**content, "whatsAppWebhookEntry": json.dumps(entry)}


@pytest.mark.parametrize("kind", ONE_MESSAGE)
def test_every_message_becomes_one_object_as_it_was_received(door: Door, kind: str) -> None:
    if kind in ("voice", "video"):
        door.gives(message(kind)[message(kind)["type"]]["id"], "ogg" if kind == "voice" else "mp4")
    assert door.deliver(sns(kind)) == {"batchItemFailures": []}
    ((key, body),) = door.objects().items()
    assert key.startswith("2025-11-26/")
    assert {name: body[name] for name in message(kind)} == message(kind)
    assert set(body) - set(message(kind)) == ({"audio_file"} if kind in ("voice", "video") else set())
    assert "15550101234" not in key
    assert door.dead.letters == []
    assert keys.retention_class(key) == "message"


def test_the_key_has_time_and_sender_and_can_be_derived_again() -> None:
    plain = Door()
    plain.settings = plain.settings.model_copy(update={"whatsapp_salt": ""})
    plain.deliver(sns("text"))
    (key,) = plain.objects()
    assert key.startswith("2025-11-26/15550101234-10-01-06-")
    assert len(key.rpartition("-")[2]) == len("0123456789abcdef.json")


def test_delivered_three_times_and_shuffled_each_message_is_one_object(door: Door) -> None:
    kinds = KINDS * 3
    random.Random(5).shuffle(kinds)
    media = {"voice": ("1102334455", "ogg"), "video": ("2203344556", "mp4")}
    for kind in sorted(media, key=kinds.index):
        door.gives(*media[kind])
    for start in range(0, len(kinds), 5):
        door.deliver(*map(sns, kinds[start : start + 5]))
    assert len(door.objects()) == len(ONE_MESSAGE) + 2, "two of the batch; the third belongs to another number"
    assert door.dead.letters == []


def test_only_allowed_numbers_are_accepted(door: Door) -> None:
    door.deliver(sns("several"))
    assert {body["text"]["body"] for body in door.objects().values()} == {"one", "two"}
    other = Door()
    other.settings = other.settings.model_copy(update={"whatsapp_numbers": ("9999999999",)})
    other.deliver(sns("several"), sns("voice"))
    assert [body["text"]["body"] for body in other.objects().values()] == ["to another number"]
    assert list(other.store.find(other.settings.input_bucket)) == []


def test_statuses_are_not_messages(door: Door) -> None:
    assert door.deliver(sns("statuses")) == {"batchItemFailures": []}
    assert (door.objects(), door.dead.letters) == ({}, [])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("AccessDeniedByMetaException", "access_denied_by_meta"),
        ("ResourceNotFoundException", "media_expired"),
        ("InvalidParametersException", "media_refused"),
        ("ValidationException", "media_refused"),
    ],
)
def test_media_that_whatsapp_will_never_provide_are_recorded(door: Door, code: str, reason: str) -> None:
    door.refuses(code)
    assert door.deliver(sns("voice")) == {"batchItemFailures": []}
    (body,) = door.objects().values()
    assert (body["transcription"]["ok"], body["transcription"]["error"]) == (False, reason)
    assert "audio_file" not in body


@pytest.mark.parametrize(
    "code", ["ThrottledRequestException", "InternalServiceException", "DependencyException", "AccessDeniedException"]
)
def test_media_that_may_still_come_are_requested_again(door: Door, code: str) -> None:
    attempts = 5 if code == "ThrottledRequestException" else 1
    for _ in range(attempts):
        door.refuses(code)
    assert door.deliver(sns("voice"), sns("text")) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(door.objects()) == 1, "the text"
    while door.stub._queue:
        door.stub._queue.popleft()
    door.gives("1102334455")
    assert door.deliver(sns("voice")) == {"batchItemFailures": []}
    assert len(door.objects()) == 2


def test_out_of_attempts_it_goes_to_the_dead_letter_queue(door: Door) -> None:
    door.refuses("InternalServiceException")
    assert door.deliver(sns("voice"), attempt=8) == {"batchItemFailures": []}
    (reason,) = door.dead.reasons
    assert reason.startswith("ResourceError: the media could not be fetched")


def test_the_transcript_comes_with_the_result(door: Door) -> None:
    door.gives("1102334455")
    door.deliver(sns("voice"))
    event = door.say("2025-11-26/1102334455.ogg", "the fish are back")
    assert door.deliver(json.dumps(event)) == {"batchItemFailures": []}
    (body,) = door.objects().values()
    assert body["audio_file"] == "s3://castline-input/2025-11-26/1102334455.ogg"
    assert body["transcription"] == {
        "ok": True,
        "text": "the fish are back",
        "language": "en",
        "segments": [{"start": 0.5, "end": 1.25, "text": "the fish are back"}],
        "status": "complete",
        "run": event["detail"]["run"],
    }
    writes = len(door.store.writes)
    door.deliver(json.dumps(event), sns("voice"))
    assert len(door.store.writes) == writes, "announced twice, it is written once"


def test_a_failed_run_appears_as_the_transcript_s_error(door: Door) -> None:
    door.gives("1102334455")
    door.deliver(sns("voice"))
    door.deliver(json.dumps(door.run("2025-11-26/1102334455.ogg")))
    (body,) = door.objects().values()
    assert (body["transcription"]["ok"], body["transcription"]["error"]) == (False, "not_media")


def test_a_result_that_precedes_the_message_s_object_waits_for_it(door: Door) -> None:
    door.gives("1102334455")
    door.deliver(sns("voice"))
    event = door.run("2025-11-26/1102334455.ogg")
    ((key, _),) = door.objects().items()
    door.store.delete(door.settings.output_bucket, [key])
    assert door.deliver(json.dumps(event)) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    door.deliver(sns("voice"), json.dumps(event))
    (body,) = door.objects().values()
    assert body["transcription"]["error"] == "not_media"


def test_other_results_belong_to_no_message(door: Door) -> None:
    for media in ("week1/talk.mp4", "2025-11-26/777.ogg"):
        door.store.put(door.settings.input_bucket, media, b"this is a letter")
        assert door.deliver(json.dumps(door.run(media))) == {"batchItemFailures": []}
    assert (door.objects(), door.dead.letters) == ({}, [])


def test_a_suffix_that_is_not_media_is_reported(door: Door) -> None:
    door.gives("1102334455", "bin")
    door.deliver(sns("voice"))
    (body,) = door.objects().values()
    assert body["transcription"]["error"] == "not_media"


LARGE = '"' + "x" * 400_000 + '"'
HOSTILE = {
    "no json": "no json at all",
    "a list": "[1, 2]",
    "nothing": json.dumps({"Message": "{}"}),
    "no entry": json.dumps({"Message": json.dumps({**sns("text"), "whatsAppWebhookEntry": None})}),
    "entry is no json": json.dumps({"Message": json.dumps({**sns("text"), "whatsAppWebhookEntry": "{"})}),
    "entry is deep": json.dumps({"Message": json.dumps({**sns("text"), "whatsAppWebhookEntry": "[" * 100_000})}),
    "entry is large": json.dumps({"Message": json.dumps({**sns("text"), "whatsAppWebhookEntry": LARGE})}),
    "no context": json.dumps({"Message": json.dumps({**sns("text"), "context": []})}),
    "no sender": json.dumps({"Message": json.dumps(changed("text", **{"from": 7}))}),
    "no time": json.dumps({"Message": json.dumps(changed("text", timestamp="tomorrow"))}),
    "many zeros": json.dumps({"Message": json.dumps(changed("text", timestamp="00000000001764151265123"))}),
    "far future": json.dumps({"Message": json.dumps(changed("text", timestamp="9" * 30))}),
    "other digits": json.dumps({"Message": json.dumps(changed("text", timestamp="١٧٦٤١٥١٢٦٦"))}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_envelope_goes_to_the_dead_letters_with_its_reason(door: Door, name: str) -> None:
    assert door.deliver(HOSTILE[name], sns("text")) == {"batchItemFailures": []}
    (reason,) = door.dead.reasons
    assert reason.partition(":")[0] in ("EventError", "UnreadableObject")
    assert len(door.objects()) == 1, "the good one in the same batch"
    (failed,) = _failed(door.dead.letters[0])
    assert failed.event["Records"][0]["body"] == HOSTILE[name], "nothing is lost"


@pytest.mark.parametrize(
    "sender", ["+52 1 622 000", "../../etc/passwd", "١٢٣", "a" * 5000, "\u202e1555", "group@g.us", "x/y"]
)
@pytest.mark.parametrize("hashed", [True, False])
def test_odd_senders_get_names_that_are_valid_keys(sender: str, hashed: bool) -> None:
    door = Door()
    if not hashed:
        door.settings = door.settings.model_copy(update={"whatsapp_salt": ""})
    door.deliver(changed("text", **{"from": sender}))
    ((key, body),) = door.objects().items()
    assert body["from"] == sender
    assert len(key) < 100
    assert key.count("/") == 1


@pytest.mark.parametrize("media_id", ["../x", "a/b", "", "x" * 101, 7, None])
def test_an_invalid_id_is_not_requested(door: Door, media_id: Any) -> None:
    odd = {"audio": {"id": media_id}} if media_id is not None else {"audio": "?"}
    if media_id == 7:
        door.gives("7")
    door.deliver(changed("voice", **odd))
    (body,) = door.objects().values()
    assert media_id == 7 or body["transcription"]["error"] == "media_refused"


def test_our_fields_override_those_that_are_sent(door: Door) -> None:
    door.gives("1102334455")
    door.deliver(changed("voice", audio_file="s3://elsewhere/x", transcription={"ok": True, "text": "lies"}))
    event = door.run("2025-11-26/1102334455.ogg")
    door.deliver(json.dumps(event))
    (body,) = door.objects().values()
    assert body["audio_file"] == "s3://castline-input/2025-11-26/1102334455.ogg"
    assert body["transcription"]["ok"] is False


def test_a_good_message_beside_a_bad_one_is_accepted(door: Door) -> None:
    content = sns("several")
    entry = json.loads(content["whatsAppWebhookEntry"])
    entry["changes"][0]["value"]["messages"].insert(0, {"type": "text"})
    entry["changes"].insert(0, "?")
    door.deliver({**content, "whatsAppWebhookEntry": json.dumps(entry)})
    assert {body["text"]["body"] for body in door.objects().values()} == {"one", "two"}
    assert len(door.dead.letters) == 1


@pytest.mark.parametrize("itself", [False, True])
def test_a_reply_is_sent_once_and_never_to_itself(itself: bool) -> None:
    door = Door(whatsapp_reply=True)
    door.gives("1102334455")
    sent: list[Any] = []
    door.client.meta.events.register(
        "before-parameter-build.socialmessaging.SendWhatsAppMessage", lambda params, **_: sent.append(params)
    )
    door.deliver(changed("voice", **({"from": "15550100000"} if itself else {})))
    event = door.say("2025-11-26/1102334455.ogg", "the fish are back")
    if not itself:
        door.stub.add_client_error("send_whatsapp_message", "InternalServiceException", http_status_code=400)
        assert door.deliver(json.dumps(event))["batchItemFailures"]
        door.stub.add_response("send_whatsapp_message", {"messageId": "m"})
    for _ in range(3):
        assert door.deliver(json.dumps(event)) == {"batchItemFailures": []}
    door.stub.assert_no_pending_responses()
    assert len(sent) == (0 if itself else 2), "one of them was refused"
    if not itself:
        assert sent[1]["originationPhoneNumberId"] == NUMBER
        assert json.loads(sent[1]["message"]) == {
            "messaging_product": "whatsapp",
            "to": "15550101234",
            "type": "text",
            "context": {"message_id": message("voice")["id"]},
            "text": {"body": "the fish are back"},
        }


def test_all_messages_are_one_table(door: Door) -> None:
    door.gives("1102334455")
    door.deliver(sns("voice"), sns("text"), changed("text", id="old", timestamp="1700000000"))
    door.deliver(json.dumps(door.say("2025-11-26/1102334455.ogg", "the fish are back")))
    door.store.put(door.settings.output_bucket, "2025-11-27/x-01-02-03-0123456789abcdef.json", b"{")
    told: list[str] = []
    found = list(gather_messages(date(2025, 1, 1), door.store, door.settings, told.append))
    rows = list(csv.DictReader(io.StringIO(write_csv(found))))
    assert {row["text"] for row in rows} == {"the fish are back", "'=SUM(1;2) hello"}
    (voice,) = [row for row in rows if row["type"] == "audio"]
    assert (voice["from"], voice["ok"], voice["language"]) == ("15550101234", "true", "en")
    assert voice["audio_file"] == "s3://castline-input/2025-11-26/1102334455.ogg"
    assert len(told) == 1
    assert len(list(gather_messages(None, door.store, door.settings, told.append))) == 3
