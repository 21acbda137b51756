"""What is announced about a published result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from castline import aws
from castline.doors import announce
from castline.doors.announce import Announced, Correction, Publication, Removal, announce_event, publication
from castline.errors import EventError, ResourceError, UnreadableObject
from castline.events import object_created, results_changed, results_published
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore


@pytest.fixture
def settings() -> Settings:
    return Settings(prefix="castline")


@pytest.fixture
def published(settings: Settings) -> MemoryStore:
    """A store with one result: failed, because the upload is not media."""
    store = MemoryStore()
    store.put(settings.input_bucket, "week 1/talk.mp4", b"this is a letter")
    (run,) = split_event(object_created(settings.input_bucket, "week 1/talk.mp4"), store, settings)["runs"]
    analyse_event(object_created(settings.stage1_bucket, f"week 1/talk.mp4/{run}/manifest.json"), store, settings)
    return store


def _event(settings: Settings) -> dict[str, Any]:
    return object_created(settings.output_bucket, "week 1/talk.mp4/result.json")


def test_it_names_media_file_run_state_and_keys(published: MemoryStore, settings: Settings) -> None:
    told: list[Announced] = []
    answer = announce_event(_event(settings), published, settings, lambda found, _: told.append(found))
    (found,) = told
    assert isinstance(found, Publication)
    assert answer == {"announced": [found.id]}
    assert (found.media, found.status) == ("week 1/talk.mp4", "failed")
    assert found.error.startswith("not_media: ")
    assert found.id.startswith(f"{found.run}-")
    assert (found.bucket, found.result) == ("castline-output", "week 1/talk.mp4/result.json")
    assert "week 1/talk.mp4/transcript.srt" in found.views
    assert found.result not in found.views
    assert not any("/people/" in key or "/parts/" in key for key in found.views)


def test_a_repeated_event_has_the_same_id_and_another_publication_another_one(
    published: MemoryStore, settings: Settings
) -> None:
    first = announce_event(_event(settings), published, settings, lambda *_: None)
    assert announce_event(_event(settings), published, settings, lambda *_: None) == first
    key = "week 1/talk.mp4/result.json"
    body = json.loads(published.get(settings.output_bucket, key) or b"")
    published.put(settings.output_bucket, key, json.dumps({**body, "gallery": "another"}).encode())
    second = announce_event(_event(settings), published, settings, lambda *_: None)
    assert second != first
    assert second["announced"][0].partition("-")[0] == first["announced"][0].partition("-")[0]


def test_objects_that_are_not_results_are_not_announced(published: MemoryStore, settings: Settings) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    for bucket, key in (
        (settings.output_bucket, "week 1/talk.mp4/report.html"),
        (settings.input_bucket, "week 1/talk.mp4/result.json"),
    ):
        assert announce_event(object_created(bucket, key), published, settings, never) == {"announced": []}
    published.put(settings.output_bucket, "bad.mp4/result.json", b"{")
    with pytest.raises(UnreadableObject):
        announce_event(object_created(settings.output_bucket, "bad.mp4/result.json"), published, settings, never)


def test_a_deleted_result_is_announced_as_removed(published: MemoryStore, settings: Settings) -> None:
    key = "week 1/talk.mp4/result.json"
    published.delete(settings.output_bucket, [key])
    told: list[Announced] = []
    answer = announce_event(_event(settings), published, settings, lambda found, _: told.append(found))
    assert answer == {"announced": []}
    assert told == [Removal(media="week 1/talk.mp4", bucket="castline-output", result=key)]


def test_corrections_are_announced_while_there_is_a_result(published: MemoryStore, settings: Settings) -> None:
    key = "week 1/talk.mp4/result.json"
    event = object_created(settings.output_bucket, "week 1/talk.mp4/corrections.json")
    told: list[Announced] = []
    announce_event(event, published, settings, lambda found, _: told.append(found))
    published.delete(settings.output_bucket, [key])
    announce_event(event, published, settings, lambda found, _: told.append(found))
    where = {"media": "week 1/talk.mp4", "bucket": "castline-output", "result": key}
    assert told == [Correction(**where), Removal(**where)]


def test_a_result_replaced_during_reading_is_read_again(published: MemoryStore, settings: Settings) -> None:
    key = "week 1/talk.mp4/result.json"
    body = json.loads(published.get(settings.output_bucket, key) or b"")

    class Busy(MemoryStore):
        replaced = 0

        def get(self, bucket: str, name: str, **limits: Any) -> bytes | None:
            found = super().get(bucket, name, **limits)
            if name == key and self.replaced < 2:
                self.replaced += 1
                self.put(bucket, name, json.dumps({**body, "gallery": str(self.replaced)}).encode())
            return found

    store = Busy()
    store.objects.update(published.objects)
    found = publication("week 1/talk.mp4", store, settings)
    assert store.replaced == 2
    assert found == publication("week 1/talk.mp4", store, settings)


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stubber]:
    clients = {service: aws.client(service, endpoint="http://127.0.0.1:9") for service in ("events", "sns")}
    monkeypatch.setattr(announce, "_client", clients.__getitem__)
    return {service: Stubber(client) for service, client in clients.items()}


def test_messages_are_what_consumers_read(
    published: MemoryStore, settings: Settings, stubs: dict[str, Stubber]
) -> None:
    found = publication("week 1/talk.mp4", published, settings)
    assert found
    topic = "arn:aws:sns:us-east-1:000000000000:castline-published-results"
    detail = found.to_json().decode()
    entry = {"Source": "castline", "DetailType": "Result Published", "Detail": detail}
    message = json.dumps({"source": "castline", "detail-type": "Result Published", "detail": json.loads(detail)})
    stubs["events"].add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [entry]})
    stubs["sns"].add_response("publish", {}, {"TopicArn": topic, "Message": message})
    with stubs["events"], stubs["sns"]:
        announce_event(_event(settings), published, settings.model_copy(update={"results_topic": topic}))
    stubs["sns"].assert_no_pending_responses()
    for envelope in ({"Records": [{"Sns": {"Message": message}}]}, {"Records": [{"body": message}]}):
        (read,) = results_published(envelope)
        assert Publication.model_validate_json(json.dumps(read)) == found


def test_a_removal_message_is_what_the_library_reads(
    published: MemoryStore, settings: Settings, stubs: dict[str, Stubber]
) -> None:
    published.delete(settings.output_bucket, ["week 1/talk.mp4/result.json"])
    detail = {"media": "week 1/talk.mp4", "bucket": "castline-output", "result": "week 1/talk.mp4/result.json"}
    sent = {"Source": "castline", "DetailType": "Result Removed", "Detail": ANY}
    stubs["events"].add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": ANY})
    calls: list[Any] = []
    announce._client("events").meta.events.register(
        "provide-client-params.events.PutEvents", lambda params, **_: calls.append(params)
    )
    with stubs["events"]:
        announce_event(_event(settings), published, settings)
    ((entry,),) = (call["Entries"] for call in calls)
    assert entry == sent and json.loads(entry["Detail"]) == detail
    body = json.dumps({"source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail})
    assert list(results_changed({"body": body})) == [("castline-output", "week 1/talk.mp4")]


@pytest.mark.parametrize("how", ["refused", "failed"])
def test_entries_that_eventbridge_refuses_are_retried(
    published: MemoryStore, settings: Settings, stubs: dict[str, Stubber], how: str
) -> None:
    if how == "failed":
        stubs["events"].add_client_error("put_events", "InternalFailure", http_status_code=400)
    else:
        answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
        stubs["events"].add_response("put_events", answer)
    with stubs["events"], pytest.raises(ResourceError) as raised:
        announce_event(_event(settings), published, settings)
    assert raised.value.retryable


def test_an_event_about_something_else_is_not_a_published_result() -> None:
    with pytest.raises(EventError):
        list(results_published({"Records": [{"body": '{"source": "castline", "detail-type": "Other", "detail": {}}'}]}))
