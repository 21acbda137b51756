"""A recording longer than a stretch, cut into ranges on the local stack, gives the same result as in one piece."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.events import object_created
from castline.local.stack import LocalStack
from castline.records import FramesUnit
from castline.runs.ranges import UNITS
from castline.runs.request import read_source
from castline.runs.sets import current_run
from castline.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_KEY = "week 1/Été + talk.mp4"
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", 100, "-c:a", "aac")


@pytest.fixture(scope="module")
def own(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    settings = make_settings(prefix="ranged", interval_s=4.0, frames_per_unit=15, cut_above_s=15.0, beam=1)
    with LocalStack(settings, slots=2) as stack:
        yield attach(stack, settings)


@pytest.fixture(scope="module")
def talk(demo: Path, ffmpeg: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo repeated, 70 s: faces, words, cuts."""
    path = tmp_path_factory.mktemp("ranged") / "talk.mp4"
    ffmpeg("-stream_loop", -1, "-i", demo, "-t", 70, "-c", "copy", path)
    return path


@pytest.fixture(scope="module")
def film(ffmpeg: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody, and nothing said: 70 s, two ranges and the sound."""
    path = tmp_path_factory.mktemp("ranged") / "film.mp4"
    picture = "testsrc2=size=320x180:rate=10:duration=70"
    tone = "aevalsrc='0.2*sin(2*PI*500*t)':s=16000:d=70"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, *_X264, path)
    return path


def _content(own: Any, key: str) -> dict[str, Any]:
    """What is published, without durations and costs of the run."""
    own.results([key])
    timed = ("report.html", "/manifest.json")
    files: dict[str, Any] = {name: body for name, body in own.output(key).items() if not name.endswith(timed)}
    files["result.json"] = json.loads(files["result.json"])
    del files["result.json"]["processing"]
    return files


def _asked(own: Any, key: str) -> int:
    """The ranges of existing runs."""
    found = own.store.find(own.settings.stage1_bucket, f"{key}/")
    return len([info for info in found if keys.parse_range(info.key)])


def _forget_run(own: Any, key: str) -> None:
    for bucket in (own.settings.stage1_bucket, own.settings.output_bucket):
        own.store.delete(bucket, [info.key for info in own.store.find(bucket, f"{key}/")])


def _start_again(own: Any, key: str) -> None:
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": own.settings.input_bucket}, "object": {"key": key, "size": 1}},
    }
    machines = own.stack.client("stepfunctions").list_state_machines()["stateMachines"]
    start = [item["stateMachineArn"] for item in machines if item["name"].endswith("-start")]
    if start:
        own.stack.client("stepfunctions").start_execution(stateMachineArn=start[0], input=json.dumps(event))
    else:
        own.stack.client("lambda").invoke(
            FunctionName=own.settings.splitter_function, InvocationType="Event", Payload=json.dumps(event).encode()
        )


def test_the_result_is_that_of_the_uncut_recording(own: Any, talk: Path) -> None:
    own.upload(talk, _KEY)
    found = _content(own, _KEY)
    assert _asked(own, _KEY) == 3
    assert found["result.json"]["status"] == "complete"
    assert found["result.json"]["people"]
    assert found["result.json"]["transcript"]["segments"]
    own.stack.redeploy(CutAboveSeconds="0")
    _forget_run(own, _KEY)
    _start_again(own, _KEY)
    assert found == _content(own, _KEY)
    assert _asked(own, _KEY) == 0


def test_every_orchestration_carries_ranges(own: Any, film: Path) -> None:
    own.stack.redeploy(CutAboveSeconds="15")
    own.upload(film, "film.mp4")
    expected = _content(own, "film.mp4")
    assert (_asked(own, "film.mp4"), expected["result.json"]["status"]) == (3, "complete")
    for orchestration in ("queue", "invoke", "stepfunctions"):
        own.stack.redeploy(Orchestration=orchestration)
        _forget_run(own, "film.mp4")
        _start_again(own, "film.mp4")
        assert _content(own, "film.mp4") == expected
        assert _asked(own, "film.mp4") == 3


def test_ranges_do_not_wait_for_later_uploads(own: Any, film: Path, odd_media: dict[str, Path]) -> None:
    own.stack.redeploy(Orchestration="queue")
    own.upload(film, "first.mp4")
    later = [own.upload(odd_media["both.mp4"], f"later/{number}.mp4") for number in range(20)]

    def are_split(keys_: list[str]) -> list[bool]:
        found = [own.store.find(own.settings.stage1_bucket, f"{key}/") for key in keys_]
        return [any(keys.parse_manifest(info.key) for info in of_key) for of_key in found]

    deadline = time.monotonic() + 300
    while not all(are_split(["first.mp4"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not all(are_split(later))
    assert _asked(own, "first.mp4") == 3
    assert {result.status for result in own.results(["first.mp4", *later]).values()} == {"complete"}


def test_a_range_out_of_retries_is_ended_by_the_failure_recorder(own: Any, film: Path) -> None:
    """A run in which one range was given up, and the message that reports it."""
    own.stack.redeploy(Orchestration="events")
    own.upload(film, "lost.mp4")
    own.results(["lost.mp4"])
    source = read_source(own.settings.input_bucket, "lost.mp4", own.store)
    assert source
    run, manifest = current_run(source, own.store, own.settings)
    assert manifest
    gone = [unit for unit in manifest.units if isinstance(unit, FramesUnit) and unit.index // UNITS == 2]
    units = [keys.UnitId("lost.mp4", run, "frames", unit.index) for unit in gone]
    stage1 = [unit.stage1_key for unit in units]
    stage1 += [keys.manifest_key("lost.mp4", run), keys.range_done_key("lost.mp4", run, 2)]
    own.store.delete(own.settings.stage1_bucket, stage1)
    output = [unit.part_key for unit in units]
    output += [keys.manifest_key("lost.mp4", run), keys.result_key("lost.mp4")]
    own.store.delete(own.settings.output_bucket, output)
    message = {
        "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:0:function:video-splitting:$LATEST"},
        "requestPayload": object_created(own.settings.stage1_bucket, keys.range_key("lost.mp4", run, 2)),
        "responsePayload": {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"},
    }
    sns = own.stack.client("sns")
    (topic,) = [
        each["TopicArn"] for each in sns.list_topics()["Topics"] if each["TopicArn"].endswith("failed-invocations")
    ]
    sns.publish(TopicArn=topic, Message=json.dumps(message))
    result = own.results(["lost.mp4"])["lost.mp4"]
    assert (result.status, result.error.code) == ("partial", "retries_exhausted")
    assert result.error.message.startswith("the pictures from 60.0 to 70.0 s could not all be decoded: gave up")
    (missing,) = [notice for notice in result.warnings if notice.code == "range_missing"]
    assert (missing.start_s, missing.end_s) == (60.0, 70.0)
