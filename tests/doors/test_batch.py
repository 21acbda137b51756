"""The batch marker: what it starts, once, and what is recorded; the machine against its schema."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber

from castline import aws, keys
from castline.cli.transfer import check_names
from castline.doors.announce import publication
from castline.doors.batch import BATCH, batch_event
from castline.errors import EventError, KeyLayoutError, OptionsError, ResourceError
from castline.events import object_created, objects_created
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore

ROOT = Path(__file__).parents[2]
MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "batch.asl.json").read_text())
PUBLISHED = r"week\d+/lesson\d+/video\d+\.mp4"


class Splitter:
    """Notes what is started; ``run`` ends it as failed, because no upload here is really a media file."""

    def __init__(self, store: MemoryStore, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.started: list[str] = []

    def __call__(self, function: str, event: dict[str, Any]) -> None:
        assert function == self.settings.splitter_function
        (item,) = objects_created(event)
        self.started.append(item.key)

    def run(self, *media: str) -> None:
        for key in media:
            event = object_created(self.settings.input_bucket, key)
            for run in split_event(event, self.store, self.settings)["runs"]:
                manifest = keys.manifest_key(key, run)
                analyse_event(object_created(self.settings.stage1_bucket, manifest), self.store, self.settings)


@pytest.fixture
def settings() -> Settings:
    return Settings(batch_marker="done.txt")


@pytest.fixture
def store(settings: Settings) -> MemoryStore:
    store = MemoryStore()
    for number in range(12):
        store.put(settings.input_bucket, f"week1/lesson{number}/video1.mp4", b"this is a letter")
    for other in ("week1/lesson1/video1.mp4.json", "week1/slides.pdf", "done.txt"):
        store.put(settings.input_bucket, other, b"{}")
    return store


@pytest.fixture
def splitter(store: MemoryStore, settings: Settings) -> Splitter:
    return Splitter(store, settings)


def _marked(store: MemoryStore, settings: Settings, splitter: Splitter, body: bytes = b"") -> list[str]:
    store.put(settings.input_bucket, "done.txt", body)
    event = object_created(settings.input_bucket, "done.txt")
    started: list[str] = batch_event(event, store, settings, splitter)["started"]
    return started


def test_a_marker_starts_every_media_file_and_nothing_else(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    assert sorted(_marked(store, settings, splitter)) == sorted(splitter.started)
    assert sorted(splitter.started) == sorted(f"week1/lesson{number}/video1.mp4" for number in range(12))


def test_another_marker_starts_only_what_is_new(store: MemoryStore, settings: Settings, splitter: Splitter) -> None:
    _marked(store, settings, splitter, b"1")
    splitter.run("week1/lesson3/video1.mp4")
    splitter.started.clear()
    store.put(settings.input_bucket, "week2/late.mp4", b"this is a letter, too")
    store.put(settings.input_bucket, "week1/lesson3/video1.mp4", b"another upload")
    assert sorted(_marked(store, settings, splitter, b"2")) == ["week1/lesson3/video1.mp4", "week2/late.mp4"]


def test_an_interrupted_marker_starts_the_rest(store: MemoryStore, settings: Settings, splitter: Splitter) -> None:
    def breaks(function: str, event: dict[str, Any]) -> None:
        if len(splitter.started) == 7:
            raise ResourceError("throttled")
        splitter(function, event)

    event = object_created(settings.input_bucket, "done.txt")
    with pytest.raises(ResourceError):
        batch_event(event, store, settings, breaks)
    batch_event(event, store, settings, splitter)
    assert len(set(splitter.started)) == 12


@pytest.mark.parametrize("key", ["week1/done.txt", "done.txt.bak", "week1/lesson1/video1.mp4"])
def test_only_the_marker_starts_runs(store: MemoryStore, settings: Settings, splitter: Splitter, key: str) -> None:
    store.put(settings.input_bucket, key, b"1")
    assert batch_event(object_created(settings.input_bucket, key), store, settings, splitter) == {"started": []}
    gone = object_created(settings.input_bucket, "done.txt")
    store.delete(settings.input_bucket, ["done.txt"])
    assert batch_event(gone, store, settings, splitter) == {"started": []}
    assert splitter.started == []


def test_with_a_machine_the_marker_is_its_execution_s_name(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    arn = "arn:aws:states:us-east-1:000000000000:stateMachine:castline-batch"
    settings = settings.model_copy(update={"batch_machine": arn})
    client = aws.client("stepfunctions", endpoint="http://127.0.0.1:9")
    names: list[str] = []
    client.meta.events.register(
        "provide-client-params.stepfunctions.StartExecution", lambda params, **_: names.append(params["name"])
    )
    event = object_created(settings.input_bucket, "done.txt")
    with Stubber(client) as stubber:
        stubber.add_response("start_execution", {"executionArn": arn, "startDate": 0})
        stubber.add_client_error("start_execution", "ExecutionAlreadyExists")
        stubber.add_client_error("start_execution", "ThrottlingException", http_status_code=400)
        assert batch_event(event, store, settings, splitter, client) == {"started": [names[0]]}
        assert batch_event(event, store, settings, splitter, client) == {"started": []}
        with pytest.raises(ResourceError):
            batch_event(event, store, settings, splitter, client)
    assert names == [names[0]] * 3
    assert re.fullmatch("[0-9a-f]{32}", names[0])
    assert splitter.started == []


def _items(*names: str) -> list[dict[str, Any]]:
    """As Step Functions lists a bucket."""
    return [{"Etag": '"1"', "Key": name, "LastModified": 1, "Size": 16, "StorageClass": "STANDARD"} for name in names]


class Machines:
    """Step Functions, which receives tokens; as there, a token counts once."""

    def __init__(self) -> None:
        self.client = aws.client("stepfunctions", endpoint="http://127.0.0.1:9")
        self.told: dict[str, Any] = {}
        self.refuses = ""
        self.client.meta.events.register("before-send.stepfunctions.SendTaskSuccess", self._answer)

    def _answer(self, request: Any, **_: Any) -> Any:
        sent = json.loads(request.body)
        refused = self.refuses or ("TaskTimedOut" if sent["taskToken"] in self.told else "")
        if not refused:
            self.told[sent["taskToken"]] = json.loads(sent["output"])
        body = json.dumps({"__type": refused} if refused else {}).encode()
        return _response(request.url, 400 if refused else 200, body)


def _response(url: str, status: int, body: bytes) -> Any:
    raw = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
    return AWSResponse(url, status, {"content-type": "application/x-amz-json-1.0"}, raw)


def _published(media: str, store: MemoryStore, settings: Settings) -> dict[str, Any]:
    """As EventBridge delivers it."""
    found = publication(media, store, settings)
    assert found
    return {"source": "castline", "detail-type": "Result Published", "detail": json.loads(found.to_json())}


def _start(names: list[str], task: str = "t", marker: str = "a" * 32) -> dict[str, Any]:
    return {"step": "start", "marker": marker, "items": _items(*names), "token": task}


def test_a_batch_ends_with_the_last_published_result_of_its_media(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    names = ["week1/lesson1/video1.mp4", "week1/lesson1/video1.mp4.json", "week1/lesson2/video1.mp4", "done.txt"]
    machines = Machines()
    batch_event(_start([*names, "gone.mp4"]), store, settings, splitter, machines.client)
    assert splitter.started == [names[0], names[2]]
    splitter.run(names[0])
    batch_event(_published(names[0], store, settings), store, settings, machines=machines.client)
    assert machines.told == {}, "one of two"
    splitter.run(names[2])
    for _ in range(2):  # announced twice
        batch_event(_published(names[2], store, settings), store, settings, machines=machines.client)
    assert [failed["media"] for failed in machines.told["t"]["failed"]] == splitter.started
    assert all(failed["error"].startswith("not_media: ") for failed in machines.told["t"]["failed"])
    # Another marker's batch: one file is unchanged, the other one is new.
    store.put(settings.input_bucket, names[2], b"another letter")
    batch_event(_start(names, "u", "b" * 32), store, settings, splitter, machines.client)
    assert splitter.started == [names[0], names[2], names[2]]
    splitter.run(names[2])
    batch_event(_published(names[2], store, settings), store, settings, machines=machines.client)
    assert (machines.told["u"]["skipped"], len(machines.told["u"]["failed"])) == (1, 1)


def test_a_batch_without_anything_new_ends_at_once(store: MemoryStore, settings: Settings, splitter: Splitter) -> None:
    machines, name = Machines(), "week1/lesson1/video1.mp4"
    splitter.run(name)
    batch_event(_start([name, "done.txt"]), store, settings, splitter, machines.client)
    assert splitter.started == []
    assert machines.told == {"t": {"processed": 0, "skipped": 1, "failed": []}}


def test_a_result_published_while_its_batch_starts_is_not_missed(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    """Its runs end and are announced before `start` has started the others."""
    machines = Machines()

    def ends_at_once(function: str, event: dict[str, Any]) -> None:
        splitter(function, event)
        splitter.run(splitter.started[-1])
        told = _published(splitter.started[-1], store, settings)
        batch_event(told, store, settings, machines=machines.client)

    names = [f"week1/lesson{number}/video1.mp4" for number in range(3)]
    batch_event(_start(names), store, settings, ends_at_once, machines.client)
    assert [failed["media"] for failed in machines.told["t"]["failed"]] == names


def test_a_repeated_start_waits_with_the_new_token(store: MemoryStore, settings: Settings, splitter: Splitter) -> None:
    machines, name = Machines(), "week1/lesson1/video1.mp4"
    batch_event(_start([name], "first"), store, settings, splitter, machines.client)
    batch_event(_start([name], "second"), store, settings, splitter, machines.client)
    splitter.run(name)
    batch_event(_published(name, store, settings), store, settings, machines=machines.client)
    assert list(machines.told) == ["second"]


def test_events_that_do_not_concern_a_batch_send_no_token(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    machines, name = Machines(), "week1/lesson1/video1.mp4"
    splitter.run(name)
    assert batch_event(_published(name, store, settings), store, settings, machines=machines.client) == {}
    assert machines.told == {}


def test_a_step_functions_that_fails_is_asked_again(store: MemoryStore, settings: Settings, splitter: Splitter) -> None:
    machines, name = Machines(), "week1/lesson1/video1.mp4"
    batch_event(_start([name]), store, settings, splitter, machines.client)
    splitter.run(name)
    machines.refuses = "InvalidOutput"
    with pytest.raises(ResourceError):
        batch_event(_published(name, store, settings), store, settings, machines=machines.client)
    machines.refuses = "TaskDoesNotExist"
    batch_event(_published(name, store, settings), store, settings, machines=machines.client)


def test_after_half_a_day_unfinished_files_are_named(
    store: MemoryStore, settings: Settings, splitter: Splitter
) -> None:
    names = ["week1/lesson1/video1.mp4", "week1/lesson2/video1.mp4"]
    batch_event(_start(names), store, settings, splitter, Machines().client)
    splitter.run(names[0])
    store.delete(settings.input_bucket, [names[0]])
    look = {"step": "look", "marker": "a" * 32, "items": _items(*names)}
    assert batch_event(look, store, settings)["failed"] == [
        {"media": names[0], "error": "deleted: the upload is gone"},
        {"media": names[1], "error": "unfinished: castline reconcile finds it"},
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"step": "start", "marker": "m"},
        {"step": "start", "marker": "m", "items": []},
        {"step": "start", "marker": "m", "items": [{"Etag": "1"}], "token": "t"},
        {"step": "start", "marker": "m", "items": ["a.mp4"], "token": "t"},
        {"step": "start", "marker": "m", "items": [], "token": "t"},
        {"step": "look", "marker": "m"},
        {"step": ["start"]},
        {"Records": [{"body": "{}"}]},
    ],
)
def test_an_unknown_event_is_an_error(event: Any, store: MemoryStore, settings: Settings) -> None:
    with pytest.raises(EventError):
        batch_event(event, store, settings)


def test_the_machine_is_valid_amazon_states_language() -> None:
    import cfnlint.data.schemas.other.step_functions as schemas

    folder = Path(next(iter(schemas.__path__)))
    check = jsonschema.Draft7Validator(json.loads((folder / "statemachine.json").read_text()))
    check.validate(MACHINE)
    inner = {**MACHINE["States"]["Every five media"]["ItemProcessor"]}
    del inner["ProcessorConfig"]
    check.validate(inner)
    inner["States"] = {**inner["States"], "Look": {**inner["States"]["Look"], "Type": "Job"}}
    assert list(check.iter_errors(inner))


def test_the_machine_lists_the_bucket_in_batches_of_five_twenty_at_once() -> None:
    (map_,) = MACHINE["States"].values()
    assert map_["ItemReader"]["Resource"] == "arn:${Partition}:states:::s3:listObjectsV2"
    assert (map_["ItemBatcher"]["MaxItemsPerBatch"], map_["MaxConcurrency"]) == (BATCH, 20)
    assert map_["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    states = map_["ItemProcessor"]["States"]
    named = {target for state in states.values() for target in _targets(state)} | {map_["ItemProcessor"]["StartAt"]}
    assert named == set(states)


def _targets(state: dict[str, Any]) -> list[str]:
    rules = [*state.get("Choices", []), *state.get("Catch", [])]
    return [state[name] for name in ("Next", "Default") if name in state] + [rule["Next"] for rule in rules]


def test_the_first_bad_name_stops_everything() -> None:
    check_names(["week1/lesson2/video10.mp4"], PUBLISHED)
    check_names(["anything at all"], "")
    with pytest.raises(KeyLayoutError, match=r"^week1/intro\.mp4 does not match"):
        check_names(["week1/lesson2/video1.mp4", "week1/intro.mp4", "x.mp4"], PUBLISHED)
    with pytest.raises(OptionsError):
        check_names(["a.mp4"], "(")
