"""A tree of media files (sixty at scale) and a marker, on the local stack.

The listing runs in the listener, as the emulator's Map has no ItemReader; what the machine does with one batch runs
on the emulator with a recorded input.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from castline import keys
from castline.cli.main import app
from castline.local.stack import LocalStack
from castline.settings import Settings, settings
from tests.conftest import at_scale

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
_LINE = re.compile(r"\[\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}\]  \S.*")
_EACH = at_scale(3, 10)
_BROKEN = "week2/lesson1/video2.mp4"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, demo: Path, ffmpeg: Callable[..., None]) -> Path:
    """Two weeks with three lessons of videos: two seconds of the demo's speech each; one is not a media file."""
    folder = tmp_path_factory.mktemp("course")
    ffmpeg("-ss", 10, "-i", demo, "-t", 2, "-vn", "-c:a", "aac", clip := folder / "clip.mp4")
    body = clip.read_bytes()
    clip.unlink()
    for number in range(6 * _EACH):
        lesson, video = number // _EACH, number % _EACH + 1
        path = folder / f"week{lesson // 3 + 1}" / f"lesson{lesson % 3 + 1}" / f"video{video}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (folder / _BROKEN).write_bytes(b"This is a letter, not a film.\n" * 20)
    return folder


@pytest.fixture(scope="module")
def batched(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    config = make_settings(prefix="course", batch_marker="done.txt", transcript_layout="flat")
    with LocalStack(config, slots=2, parameters={"ResultEvents": "eventbridge"}) as stack:
        yield attach(stack, config)


def _upload(batched: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> Any:
    for name, value in {
        **batched.stack.environment,
        "CASTLINE_PREFIX": "course",
        "CASTLINE_BATCH_MARKER": "done.txt",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["upload", str(folder), *flags])
    finally:
        settings.cache_clear()


def _begun(batched: Any, function: str) -> int:
    """Invocations of a function that have begun."""
    logs = (batched.settings.state_dir / "logs").glob(f"{function}-*.log")
    return sum(log.read_text(errors="replace").count("START RequestId") for log in logs)


def _markers_done(batched: Any, count: int) -> None:
    """Wait until so many markers have been processed, and nothing is running."""
    deadline = time.monotonic() + 300
    while _begun(batched, "batch-marker") < count or batched.stack.host.busy:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_tree_a_bad_name_and_a_second_marker(batched: Any, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = _upload(batched, tree, monkeypatch, "--batch", "--pattern", r"week1/.*")
    assert bad.exit_code == 2
    assert list(batched.store.find(batched.settings.input_bucket)) == [], "nothing was uploaded"
    media = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.mp4"))
    assert len(media) == 6 * _EACH
    good = _upload(batched, tree, monkeypatch, "--batch", "--pattern", r"week\d+/lesson\d+/video\d+\.mp4")
    assert good.exit_code == 0, good.output
    results = batched.results(media)
    assert {key: result.status for key, result in results.items() if result.status != "complete"} == {_BROKEN: "failed"}
    texts = {
        info.key: (batched.store.get(batched.settings.output_bucket, info.key) or b"").decode()
        for info in batched.store.find(batched.settings.output_bucket)
        if info.key.endswith(".txt") and not info.key.endswith("/transcript.txt")
    }
    assert set(texts) == {keys.flat_transcript_key(key) for key in media} - {keys.flat_transcript_key(_BROKEN)}
    for text in texts.values():
        assert text
        assert all(map(_LINE.fullmatch, text.splitlines())), text

    before = _begun(batched, "video-splitting")
    assert before == 6 * _EACH, "each was started once, and none by its own event"
    again = _upload(batched, tree, monkeypatch, "--batch")
    assert again.exit_code == 0, again.output
    event = {
        "Records": [
            {"eventSource": "aws:s3", "s3": {"bucket": {"name": "course-input"}, "object": {"key": "done.txt"}}}
        ]
    }
    answer = batched.stack.client("lambda").invoke(FunctionName="batch-marker", Payload=json.dumps(event).encode())
    assert json.loads(answer["Payload"].read()) == {"started": []}
    _markers_done(batched, 3)  # the second marker's own event may be late, and would start what comes next
    assert _begun(batched, "video-splitting") == before


def test_what_the_machine_does_with_a_batch(batched: Any, tree: Path) -> None:
    """Its inner part as a separate machine: it starts runs, and ends when their results have been published."""
    definition = json.loads((ROOT / "statemachine" / "batch.asl.json").read_text())
    inner = definition["States"]["Every five media"]["ItemProcessor"]
    del inner["ProcessorConfig"]
    text = json.dumps(inner)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:batch-marker"
    topic = "arn:aws:sns:us-east-1:000000000000:course-failed-invocations"
    text = text.replace("${BatchArn}", arn).replace("${FailedTopicArn}", topic)
    events = batched.stack.deployer("events")
    pattern = {"source": ["castline"], "detail-type": ["Result Published"], "detail": {"bucket": ["course-output"]}}
    events.put_rule(Name="course-batch", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="course-batch", Targets=[{"Id": "batch", "Arn": arn}])
    machines = batched.stack.deployer("stepfunctions")
    machine = machines.create_state_machine(
        name="one-batch", definition=text, roleArn="arn:aws:iam::000000000000:role/any"
    )["stateMachineArn"]
    fresh = batched.upload(tree / "week1/lesson1/video1.mp4", "late/video1.mp4")
    letter = batched.upload(tree / _BROKEN, "late/video2.mp4")
    names = [fresh, letter, "done.txt"]
    items = [{"Etag": '"1"', "Key": key, "LastModified": 1, "Size": 1, "StorageClass": "STANDARD"} for key in names]

    def run(items: Any) -> Any:
        started = machines.start_execution(
            stateMachineArn=machine, input=json.dumps({"Items": items, "BatchInput": {"marker": "c" * 32}})
        )["executionArn"]
        deadline = time.monotonic() + 300
        while (found := machines.describe_execution(executionArn=started))["status"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert found["status"] == "SUCCEEDED", found
        return json.loads(found["output"])

    answer = run(items)
    assert (answer["processed"], answer["skipped"]) == (1, 0)
    ((failed),) = answer["failed"]
    assert (failed["media"], failed["error"].partition(":")[0]) == (letter, "not_media")
    assert run(items) == {"processed": 0, "skipped": 2, "failed": []}
