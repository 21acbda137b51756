"""The whole stack: emulator, the real template, the host; only the handlers are stand-ins."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import psutil
import pytest
from botocore.exceptions import ClientError

from castline.cli import ahead
from castline.errors import LocalStackError
from castline.local import LocalStack, start_detached
from castline.local.state import read_state
from castline.local.wiring import assert_wiring
from castline.operations.reconcile import reconcile
from castline.settings import Settings
from castline.storage import MemoryStore

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
FOLDERS = ("video_splitting", "face_recognition", "failure_recorder")
ALARMS = {
    "unit-failures-wait",
    "unit-failures-undelivered",
    "unit-runs-cost",
    "unit-result-announcer-cannot-report",
    *(
        f"unit-{function}-{what}"
        for function in ("video-splitting", "face-recognition", "failure-recorder")
        for what in ("fails", "is-late", "is-throttled", "cannot-report")
    ),
}

#: Notes each event that it receives as a file; fails when the key says so.
HANDLER = """
import json, os, pathlib, shutil, uuid

SEEN = pathlib.Path(os.environ["LAMBDA_TASK_ROOT"]).parents[1] / "seen"

def handler(event, context):
    note = {"function": context.function_name, "event": event, "ffmpeg": shutil.which("ffmpeg"),
            "bucket": os.environ["CASTLINE_OUTPUT_BUCKET"]}
    draft = SEEN / f"{uuid.uuid4().hex}.tmp"
    draft.write_text(json.dumps(note))
    draft.rename(draft.with_suffix(".json"))
    if "fail" in json.dumps(event) and context.function_name != "failure-recorder":
        raise RuntimeError("told to: fail")
    return {"seen": True}
"""


class Seen:
    """The events that the functions noted since the last call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def take(self, count: int, seconds: float = 300.0) -> list[dict[str, Any]]:
        """Waits for so many notes, and a moment longer for one too many."""
        deadline = time.monotonic() + seconds
        while len(list(self._folder.glob("*.json"))) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        paths = list(self._folder.glob("*.json"))
        notes = [json.loads(path.read_text()) for path in paths]
        for path in paths:
            path.unlink()
        return notes


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real template beside stand-in functions."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "template.yaml", root)
    shutil.copytree(ROOT / "statemachine", root / "statemachine")
    for folder in FOLDERS:
        (root / "functions" / folder).mkdir(parents=True)
        (root / "functions" / folder / "app.py").write_text(HANDLER)
    return root


@pytest.fixture(scope="module")
def seen(checkout: Path) -> Seen:
    return Seen(checkout / "seen")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(state_dir=tmp_path_factory.mktemp("state"), port=0, prefix="unit")


@pytest.fixture(scope="module")
def stack(checkout: Path, seen: Seen, config: Settings) -> Iterator[LocalStack]:
    with LocalStack(config, template=checkout / "template.yaml") as running:
        yield running


def key_of(note: dict[str, Any]) -> str:
    return unquote_plus(note["event"]["Records"][0]["s3"]["object"]["key"])


def wait_until(test: Callable[[], bool], seconds: float = 300.0) -> bool:
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_the_wiring_is_checked_and_missing_parts_are_named(stack: LocalStack) -> None:
    resolver = stack.deployment.resolver
    assert_wiring(resolver, stack.client)
    s3 = stack.deployer("s3")
    before = s3.get_bucket_notification_configuration(Bucket="unit-input")["LambdaFunctionConfigurations"]
    s3.put_bucket_notification_configuration(Bucket="unit-input", NotificationConfiguration={})
    try:
        with pytest.raises(LocalStackError, match="notifications of unit-input"):
            assert_wiring(resolver, stack.client)
    finally:
        s3.put_bucket_notification_configuration(
            Bucket="unit-input", NotificationConfiguration={"LambdaFunctionConfigurations": before}
        )
    assert_wiring(resolver, stack.client)


def test_only_this_machine_can_reach_it(stack: LocalStack) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [item for each in processes for item in each.net_connections("inet") if item.status == "LISTEN"]
    assert listening
    assert {item.laddr.ip for item in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("key", ["week1/video0.mp4", "wöche 1/a+b 100% c.mp4"])
def test_an_upload_invokes_the_splitter_with_aws_s_event(stack: LocalStack, seen: Seen, key: str) -> None:
    put = stack.client("s3").put_object(Bucket="unit-input", Key=key, Body=b"media")
    [note] = seen.take(1)
    assert note["function"] == "video-splitting"
    assert key_of(note) == key
    record = note["event"]["Records"][0]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == "unit-input"
    assert record["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert note["bucket"] == "unit-output"
    assert note["ffmpeg"].endswith("layers/ffmpeg/bin/ffmpeg")


def test_units_invoke_the_analyser_and_nothing_else_does(stack: LocalStack, seen: Seen) -> None:
    run = "a.mp4/0123456789abcdef"
    for name in ("manifest.json", "frames/0000.zip", "audio/0000.flac", "picture.jpg", "other.json"):
        stack.client("s3").put_object(Bucket="unit-stage-1", Key=f"{run}/{name}", Body=b"1")
    stack.client("s3").put_object(Bucket="unit-output", Key=f"{run}/parts/frames-0000.json", Body=b"{}")
    notes = seen.take(3)
    assert {note["function"] for note in notes} == {"face-recognition"}
    assert sorted(map(key_of, notes)) == [f"{run}/audio/0000.flac", f"{run}/frames/0000.zip", f"{run}/manifest.json"]


def test_an_event_out_of_retries_is_kept_in_the_queue_and_sent_to_the_recorder(stack: LocalStack, seen: Seen) -> None:
    key = "ä fail+1.mp4/0123456789abcdef/frames/0000.zip"
    stack.client("s3").put_object(Bucket="unit-stage-1", Key=key, Body=b"1")
    notes = seen.take(4)
    assert sorted(note["function"] for note in notes) == ["face-recognition"] * 3 + ["failure-recorder"]
    [recorded] = [note for note in notes if note["function"] == "failure-recorder"]
    message = json.loads(recorded["event"]["Records"][0]["Sns"]["Message"])
    assert message["requestContext"]["condition"] == "RetriesExhausted"
    assert message["requestContext"]["functionArn"].endswith(":face-recognition")
    assert unquote_plus(message["requestPayload"]["Records"][0]["s3"]["object"]["key"]) == key
    assert message["responsePayload"] == {"errorType": "RuntimeError", "errorMessage": "told to: fail"}
    sqs = stack.client("sqs")
    url = sqs.get_queue_url(QueueName="unit-failed-invocations")["QueueUrl"]
    [kept] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert key in json.loads(kept["Body"])["requestPayload"]["Records"][0]["s3"]["object"]["key"]


def test_sixty_uploads_at_once_are_each_handled_once(stack: LocalStack, seen: Seen) -> None:
    keys = [f"burst/{number:02d}.mp4" for number in range(60)]
    s3 = stack.client("s3")
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="unit-input", Key=key, Body=b"1"), keys))
    assert sorted(map(key_of, seen.take(60))) == keys


def test_first_writer_wins(stack: LocalStack) -> None:
    s3 = stack.client("s3")

    def write(number: int) -> bool:
        try:
            s3.put_object(Bucket="unit-output", Key="once", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(32))) == 1


def test_metrics_of_asynchronous_invocations_reach_cloudwatch(stack: LocalStack, seen: Seen) -> None:
    assert stack.host is not None
    stack.host.flush_metrics()
    now = datetime.now(UTC)

    def samples(metric: str) -> float:
        points = stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": "face-recognition"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=3600,
            Statistics=["SampleCount", "Sum"],
        )["Datapoints"]
        return float(sum(point["SampleCount" if metric == "Duration" else "Sum"] for point in points))

    # Two units and their manifest, and three attempts at the unit that fails.
    wait_until(lambda: samples("Invocations") >= 6)
    found = {name: samples(name) for name in ("Invocations", "Errors", "Duration")}
    assert found == {"Invocations": 6, "Errors": 3, "Duration": 6}


def test_it_has_alarms_and_a_dashboard_and_subscribes_the_given_address(stack: LocalStack) -> None:
    cloudwatch = stack.client("cloudwatch")
    topic = "arn:aws:sns:us-east-1:000000000000:unit-alarms"
    alarms = {item["AlarmName"]: item for item in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert set(alarms) == ALARMS
    assert all(item["AlarmActions"] == [topic] for item in alarms.values())
    assert alarms["unit-failures-wait"]["Dimensions"] == [{"Name": "QueueName", "Value": "unit-failed-invocations"}]
    body = json.loads(cloudwatch.get_dashboard(DashboardName="unit")["DashboardBody"])
    assert len(body["widgets"]) > 8
    assert "${" not in json.dumps(body)
    sns = stack.client("sns")
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    stack.redeploy(AlarmEmail="ops@example.org")
    (subscribed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscribed["Protocol"], subscribed["Endpoint"]) == ("email", "ops@example.org")
    stack.redeploy(AlarmEmail="")


def test_another_profile_is_an_update(stack: LocalStack, seen: Seen) -> None:
    stack.redeploy(PipelineProfile="classic")
    stack.client("s3").put_object(Bucket="unit-stage-1", Key="test_00.jpg", Body=b"1")
    [note] = seen.take(1)
    assert key_of(note) == "test_00.jpg"
    stack.redeploy(PipelineProfile="full")
    stack.client("s3").put_object(Bucket="unit-stage-1", Key="test_01.jpg", Body=b"1")
    assert seen.take(0) == []


def test_pending_uploads_are_sent_again(
    stack: LocalStack, seen: Seen, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads((ROOT / "events" / "input_unicode_plus_space.json").read_text())
    # The package names the function after its module.
    module = importlib.import_module("castline.operations.reconcile")
    monkeypatch.setattr(module, "pending", lambda *_: iter([("video-splitting", event)]))
    assert reconcile(stack.client, MemoryStore(), config) == 1
    [note] = seen.take(1)
    assert note["event"] == event


def test_attach_finds_it_and_a_second_start_is_refused(stack: LocalStack, config: Settings) -> None:
    other = LocalStack.attach(config)
    assert other.endpoint_url == stack.endpoint_url
    with pytest.raises(LocalStackError, match="already running"):
        LocalStack(config).start()


def test_nothing_runs_in_a_fresh_folder(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="no stack is running"):
        LocalStack.attach(Settings(state_dir=tmp_path))


def test_objects_survive_a_hard_kill_and_processes_do_not(checkout: Path, seen: Seen, tmp_path: Path) -> None:
    config = Settings(state_dir=tmp_path, port=0, prefix="kill")
    template = checkout / "template.yaml"
    program = (
        "import sys, time; from pathlib import Path; from castline.settings import Settings\n"
        "from castline.local import LocalStack\n"
        "LocalStack(Settings(state_dir=Path(sys.argv[1]), port=0, prefix='kill'), template=Path(sys.argv[2])).start()\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(template)])
    try:
        assert wait_until(lambda: read_state(tmp_path) is not None)
        first = LocalStack.attach(config)
        put = first.client("s3").put_object(Bucket="kill-input", Key="wöche/a.mp4", Body=b"media")
        seen.take(1)
        first.client("s3").put_object(Bucket="kill-output", Key="wöche/a.mp4/result.json", Body=b"{}")
        started = psutil.Process(owner.pid).children(recursive=True)
        assert len(started) >= 3
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    _, alive = psutil.wait_procs(started, timeout=600)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert read_state(tmp_path) is None
    with LocalStack(config, template=template) as second:
        found = second.client("s3").head_object(Bucket="kill-input", Key="wöche/a.mp4")
        assert (found["ETag"], found["VersionId"]) == (put["ETag"], put["VersionId"])
        assert second.client("s3").list_objects_v2(Bucket="kill-output")["KeyCount"] == 1
        second.client("s3").put_object(Bucket="kill-input", Key="b.mp4", Body=b"media")
        [note] = seen.take(1)
        assert key_of(note) == "b.mp4"


@pytest.mark.parametrize("gone", [False, True])
def test_a_process_that_waits_becomes_the_stack(gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead.begin()
    waiting = ahead.waiting()
    assert waiting is not None
    assert ahead.waiting() is None
    if gone:
        waiting.kill()
        waiting.wait()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("CASTLINE_PREFIX", "wait")
    config = Settings(state_dir=Path("state"), port=0)
    stack = start_detached(config, slots=1, keep="used", waiting=waiting)
    try:
        state = json.loads((tmp_path / "elsewhere" / "state" / "stack.json").read_text())
        assert (state["controller"]["pid"] == waiting.pid) == (not gone)
        assert state["keep"] == "used"
        stack.client("s3").head_bucket(Bucket="wait-input")
        assert "ready at" in (tmp_path / "elsewhere" / "state" / "logs" / "stack.log").read_text()
    finally:
        stack.stop()


def test_a_process_that_nobody_needed_has_touched_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ahead.begin()
    waiting = ahead.waiting()
    assert waiting is not None
    waiting.communicate(timeout=600)  # its input ends
    assert waiting.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_detached_stack_runs_the_real_functions_until_stopped(tmp_path: Path) -> None:
    config = Settings(state_dir=tmp_path, port=0, prefix="det")
    stack = start_detached(config, slots=1)
    try:
        s3 = stack.client("s3")
        # Needs no model: an input that is not media ends with a result that says so.
        s3.put_object(Bucket="det-input", Key="note.mp4", Body=b"this is a letter, not a film")

        def result() -> dict[str, Any] | None:
            found = s3.list_objects_v2(Bucket="det-output", Prefix="note.mp4/result.json")
            if not found["KeyCount"]:
                return None
            document: dict[str, Any] = json.loads(
                s3.get_object(Bucket="det-output", Key="note.mp4/result.json")["Body"].read()
            )
            return document

        assert wait_until(lambda: result() is not None, 30), (tmp_path / "logs" / "video-splitting-0.log").read_text()
        document = result()
        assert document is not None
        assert document["status"] == "failed"
        assert stack.alive
        started = psutil.Process(json.loads((tmp_path / "stack.json").read_text())["controller"]["pid"])
        family = [started, *started.children(recursive=True)]
    finally:
        stack.stop()
    _, alive = psutil.wait_procs(family, timeout=600)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert not (tmp_path / "stack.json").exists()
