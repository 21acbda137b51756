"""What the stages record, in the form a handler would publish."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from castline import metrics
from castline.errors import ModelNotFound
from castline.events import object_created
from castline.stages import failure_event, split_event


@pytest.fixture
def published(world: Any, capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[], Any]], dict[str, Any]]:
    """Runs something as an invocation; returns what went to CloudWatch."""

    def run(invocation: Callable[[], Any]) -> dict[str, Any]:
        settings = world.settings.model_copy(update={"function_name": "face-recognition"})
        with metrics.collected(settings):
            invocation()
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if "_aws" in line] or [{}]
        names = [
            item["Name"] for group in line.get("_aws", {}).get("CloudWatchMetrics", ()) for item in group["Metrics"]
        ]
        return {name: line[name] for name in names}

    return run


def test_units_and_the_run_they_complete(world: Any, published: Any) -> None:
    frames, audio = world.split()
    found = published(lambda: world.analyse(frames))
    assert (found["Units"], found["Faces"]) == ([1.0], [2.0])
    assert found.keys() == {"Units", "Faces", "FacesSeconds"}
    found = published(lambda: world.analyse(audio))
    assert found.keys() == {"Units", "SpeechSeconds", "SpeechRTF", "Media", "CostUSD"}
    assert found["Media"] == [1.0]
    assert found["CostUSD"] == [world.result().processing.cost.usd]
    # A repeated event publishes the same bytes, and is not charged twice.
    assert published(lambda: world.analyse(audio)) == {}


def test_a_permanently_failed_unit_is_counted(world: Any, published: Any) -> None:
    world.engines.transcriber.error = ModelNotFound("no engine")
    _, audio = world.split()
    assert published(lambda: world.analyse(audio)) == {"Failures": [1.0]}


def test_an_event_out_of_retries_is_counted(world: Any, published: Any, failure_envelope: Any) -> None:
    frames, _ = world.split()
    event = failure_envelope(world.event(frames))
    assert published(lambda: failure_event(event, world.store, world.settings)) == {"Failures": [1.0]}


def test_a_split_is_timed_however_it_ends(world: Any, published: Any) -> None:
    world.upload("letter.mp4", b"this is a letter")
    event = object_created(world.settings.input_bucket, "letter.mp4")
    assert published(lambda: split_event(event, world.store, world.settings)).keys() == {"SplitSeconds"}
