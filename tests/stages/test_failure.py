"""Out of retries: the run ends anyway, and says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.errors import EventError, ModelNotFound
from castline.events import object_created
from castline.stages import failure_event

_EVENTS = Path(__file__).parents[2] / "events"
Envelope = Callable[..., dict[str, Any]]


def test_a_splitter_out_of_retries_is_a_failed_result(world, failure_envelope: Envelope) -> None:
    world.upload("talk.mp4")
    event = object_created(world.settings.input_bucket, "talk.mp4")
    answer = failure_event(failure_envelope(event, "video-splitting"), world.store, world.settings)
    assert answer == {"recorded": ["talk.mp4"]}
    result = world.result()
    assert (result.status, result.run) == ("failed", world.run("talk.mp4"))
    assert result.error.code == "retries_exhausted"
    assert "Runtime.ExitError: signal: killed" in result.error.message


def test_an_analyser_out_of_retries_makes_the_run_partial(world, failure_envelope: Envelope) -> None:
    frames, audio = world.split()
    world.analyse(audio)
    assert failure_event(failure_envelope(world.event(frames)), world.store, world.settings) == {
        "recorded": ["talk.mp4"]
    }
    result = world.result()
    assert (result.status, result.transcript.text) == ("partial", "hello")
    (lost,) = result.failures
    assert (lost.unit, lost.start_s, lost.end_s, lost.error.code) == ("frames-0000", 0, 2, "retries_exhausted")


def test_the_run_waits_for_its_other_units(world, failure_envelope: Envelope) -> None:
    frames, audio = world.split()
    failure_event(failure_envelope(world.event(frames)), world.store, world.settings)
    assert world.result() is None
    assert world.analyse(audio)[0]["assembled"] == ["talk.mp4"]
    assert world.result().status == "partial"


def test_a_real_part_wins_over_an_error_part_whichever_comes_first(world, failure_envelope: Envelope) -> None:
    frames, audio = world.split()
    world.analyse(frames, audio)
    before = world.result()
    failure_event(failure_envelope(world.event(frames)), world.store, world.settings)  # a late repetition was given up
    assert world.result() == before
    world.store.delete(world.settings.output_bucket, [frames.part_key])
    failure_event(failure_envelope(world.event(frames)), world.store, world.settings)
    assert world.result() == before, "less never replaces more"
    world.store.delete(world.settings.output_bucket, ["talk.mp4/result.json"])
    failure_event(failure_envelope(world.event(frames)), world.store, world.settings)
    assert world.result().status == "partial"
    world.analyse(frames)
    assert world.result().status == "complete"
    assert world.result().people == before.people


def test_a_successful_split_is_not_overwritten(world, failure_envelope: Envelope) -> None:
    units = world.split()
    key = keys.manifest_key("talk.mp4", units[0].run)
    before = world.store.get(world.settings.stage1_bucket, key)
    event = object_created(world.settings.input_bucket, "talk.mp4")
    failure_event(failure_envelope(event, "video-splitting"), world.store, world.settings)
    assert world.store.get(world.settings.stage1_bucket, key) == before
    assert world.result() is None


def test_a_failed_assembly_is_tried_once_more(world, failure_envelope: Envelope) -> None:
    units = world.split()
    world.analyse(units[0])
    world.analyse(units[1])
    world.store.delete(world.settings.output_bucket, ["talk.mp4/result.json"])
    manifest = world.event(keys.manifest_key("talk.mp4", units[0].run))
    assert failure_event(failure_envelope(manifest), world.store, world.settings) == {"recorded": ["talk.mp4"]}
    assert world.result().status == "complete"


def test_photos_that_need_a_model_wait(world, failure_envelope: Envelope) -> None:
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    frames, audio = world.split()
    world.engines.transcriber.error = ModelNotFound("no engine")
    world.analyse(frames)
    failure_event(failure_envelope(world.event(audio)), world.store, world.settings)
    result = world.result()
    assert [person.name for person in result.people] == ["Person 1"]
    assert [str(warning) for warning in result.warnings] == ["gallery photo Ada/1.jpg: not embedded yet"]


@pytest.mark.parametrize("name", ["failure_splitter", "failure_analyser"])
def test_failures_as_aws_sends_them(name: str, world) -> None:
    event = json.loads((_EVENTS / f"{name}.json").read_text())
    media = "week1/lesson1/video0.mp4"
    world.upload(media)
    assert failure_event(event, world.store, world.settings) == {"recorded": [media]}
    left = world.keys_in(world.settings.output_bucket)
    if name == "failure_analyser":
        assert left == [f"{media}/0123456789abcdef/parts/frames-0000.error.json"]
    else:
        assert f"{media}/result.json" in left


def test_foreign_and_deleted_objects_are_passed_over(world, failure_envelope: Envelope) -> None:
    for event in (
        object_created(world.settings.input_bucket, "gone.mp4"),
        object_created("elsewhere", "talk.mp4"),
        world.event("test_00.jpg"),
        {},
    ):
        assert failure_event(failure_envelope(event), world.store, world.settings) == {"recorded": []}
    with pytest.raises(EventError):
        failure_event({}, world.store, world.settings)
    assert not world.store.objects
