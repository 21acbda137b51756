"""Stage 1 as a state machine calls it, and the splitter that notifies stage 2 itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from castline import aws, keys
from castline.errors import CastlineError, ResourceError
from castline.events import object_created
from castline.stages import split_event
from castline.stages.announce import announcer

MEDIA = "week 1/Été + talk.mp4"
ROOT = Path(__file__).parents[2]


def _bridged(world, key: str) -> dict[str, Any]:
    """EventBridge's event for an upload; it does not encode keys."""
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": world.settings.input_bucket}, "object": {"key": key, "size": 1}},
    }


def _step(world, **event: Any) -> dict[str, Any]:
    return split_event(event, world.store, world.settings)


def _identify(world, key: str) -> str | None:
    return _step(world, step="identify", event=_bridged(world, key))["execution"]


def test_an_execution_is_named_after_its_run(world) -> None:
    assert _identify(world, MEDIA) is None, "there is no upload"
    world.upload(MEDIA)
    run = world.run(MEDIA)
    assert _identify(world, MEDIA) == _identify(world, MEDIA) == _identify(world, f"{MEDIA}.json") == run
    assert _identify(world, "notes.txt") is None
    world.upload(MEDIA, b"another take")
    assert _identify(world, MEDIA) == world.run(MEDIA) != run


def test_a_split_lists_its_units_as_short_names(world, odd_media: dict[str, Path]) -> None:
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    for _ in range(2):  # the second call finds the manifest
        found = _step(world, step="split", bucket=world.settings.input_bucket, media=MEDIA)
        assert found["bucket"] == world.settings.stage1_bucket
        assert found["units"] == ["frames/0000.zip", "audio/0000.flac"]
        assert found["prefix"] == f"{MEDIA}/{world.run(MEDIA)}/"
    for name in (*found["units"], "manifest.json"):
        assert world.store.head(found["bucket"], found["prefix"] + name)


def test_the_machine_reads_no_more_than_events_do(world, odd_media: dict[str, Path], monkeypatch) -> None:
    """What stage 1 found is in its answer; nobody looks for it a second time."""
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    split_event(object_created(world.settings.input_bucket, MEDIA), world.store, world.settings, lambda _: None)
    reads: list[str] = []
    for name in ("head", "get"):
        whole = getattr(world.store, name)

        def counted(bucket: str, key: str, _whole=whole, **more: Any) -> Any:
            reads.append(key)
            return _whole(bucket, key, **more)

        monkeypatch.setattr(world.store, name, counted)
    split_event(object_created(world.settings.input_bucket, MEDIA), world.store, world.settings, lambda _: None)
    by_event = len(reads)
    reads.clear()
    _step(world, step="split", bucket=world.settings.input_bucket, media=MEDIA)
    assert len(reads) == by_event, reads


def test_ten_hours_of_units_fit_a_state(world) -> None:
    """256 KB is the limit of a state."""
    frames, chunks = 10 * 3600 // 30, 10 * 60
    names = [keys.UnitId(MEDIA, "0" * 16, "frames", at).stage1_key for at in range(frames)]
    names += [keys.UnitId(MEDIA, "0" * 16, "audio", at).stage1_key for at in range(chunks)]
    prefix = f"{MEDIA}/{'0' * 16}/"
    answer = {"bucket": "b", "prefix": prefix, "units": [name.removeprefix(prefix) for name in names]}
    assert len(json.dumps(answer)) < 50_000


def test_undecodable_and_missing_files_have_no_units(world, odd_media: dict[str, Path]) -> None:
    world.upload(MEDIA, odd_media["text.mp4"].read_bytes())
    assert _step(world, step="split", bucket=world.settings.input_bucket, media=MEDIA)["units"] == []
    assert _step(world, step="split", bucket=world.settings.input_bucket, media="gone.mp4")["units"] == []


def test_the_classic_profile_has_one_unit(world, odd_media: dict[str, Path]) -> None:
    world.settings = world.settings.model_copy(update={"profile": "classic"})
    world.upload("test_00.mp4", odd_media["both.mp4"].read_bytes())
    found = _step(world, step="split", bucket=world.settings.input_bucket, media="test_00.mp4")
    assert (found["prefix"], found["units"]) == ("", ["test_00.jpg"])


def test_an_unknown_step_is_an_error(world) -> None:
    with pytest.raises(CastlineError, match="'dance'"):
        _step(world, step="dance")


def test_the_splitter_announces_every_object_once_it_exists(world, odd_media: dict[str, Path]) -> None:
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    told: list[str] = []

    def tell(key: str) -> None:
        assert world.store.head(world.settings.stage1_bucket, key)
        told.append(key)

    event = object_created(world.settings.input_bucket, MEDIA)
    split_event(event, world.store, world.settings, tell)
    prefix = f"{MEDIA}/{world.run(MEDIA)}/"
    assert {key.removeprefix(prefix) for key in told[:-1]} == {"frames/0000.zip", "audio/0000.flac"}
    assert told[-1] == f"{prefix}manifest.json"
    split_event(event, world.store, world.settings, tell)
    assert told[3:] == [f"{prefix}manifest.json"], "a repeated event only checks again whether the run is complete"


class Lambda:
    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.calls: list[dict[str, Any]] = []

    def invoke(self, **call: Any) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "Invoke")
        self.calls.append(call)


def test_only_invoke_and_steps_invoke(world, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Lambda()
    monkeypatch.setattr(aws, "_lambda", lambda: client)
    for orchestration, calls in (("events", 0), ("invoke", 1), ("stepfunctions", 2)):
        announcer(world.settings.model_copy(update={"orchestration": orchestration}))("a b/0000.zip")
        assert len(client.calls) == calls
    assert client.calls[0]["FunctionName"] == "face-recognition"
    assert client.calls[0]["InvocationType"] == "Event"
    assert json.loads(client.calls[0]["Payload"]) == object_created("castline-stage-1", "a b/0000.zip")


def test_a_refused_invocation_is_retryable(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "_lambda", lambda: Lambda(refuses=True))
    with pytest.raises(ResourceError, match="face-recognition could not be invoked") as caught:
        announcer(world.settings.model_copy(update={"orchestration": "invoke"}))("a.zip")
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["start", "run"])
def test_state_machines_are_complete(name: str) -> None:
    """Every state leads somewhere, every task retries, and no substitution is left over."""
    text = (ROOT / "statemachine" / f"{name}.asl.json").read_text()
    machine = json.loads(text)
    known = {"${SplitterArn}", "${AnalyserArn}", "${FailedTopicArn}", "${RunMachineArn}"}
    assert {part.split("}")[0] + "}" for part in text.split('"') if part.startswith("${")} <= known
    _check_states(machine)


def _check_states(machine: dict[str, Any]) -> None:
    states = machine["States"]
    reached = {machine["StartAt"]}
    for state in states.values():
        reached |= {state[key] for key in ("Next", "Default") if key in state}
        reached |= {choice["Next"] for key in ("Choices", "Catch") for choice in state.get(key, ())}
        assert "Next" in state or state.get("End") or state["Type"] in ("Succeed", "Fail", "Choice")
        if state["Type"] == "Task" and "lambda:invoke" in state["Resource"]:
            assert state["Retry"]
        if state["Type"] == "Map":
            _check_states(state["ItemProcessor"])
    assert reached == set(states)
