"""Four ways to carry units from stage 1 to stage 2; the results are the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline.local.stack import LocalStack
from castline.operations import read_dead_letters, redrive
from castline.operations.redrive import queue_url
from castline.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ORCHESTRATIONS = ("queue", "events", "invoke", "stepfunctions")
_KEY = "week 1/Été + talk.mp4"


@pytest.fixture(scope="module")
def own(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    settings = make_settings(prefix="orchestrated", retry_s=1)
    with LocalStack(settings, slots=2) as stack:
        yield attach(stack, settings)


def _content(pipeline: Any, key: str) -> dict[str, bytes]:
    """All published bytes, without durations and costs of the run."""
    timed = ("report.html", "/manifest.json")
    files = {name: body for name, body in pipeline.output(key).items() if not name.endswith(timed)}
    result = json.loads(files["result.json"])
    del result["processing"]
    return {**files, "result.json": json.dumps(result).encode()}


def _forget_run(pipeline: Any, key: str) -> None:
    """Delete everything but the upload, so that the next run starts from nothing."""
    for bucket in (pipeline.settings.stage1_bucket, pipeline.settings.output_bucket):
        pipeline.store.delete(bucket, [info.key for info in pipeline.store.find(bucket, f"{key}/")])


def _event(pipeline: Any, key: str) -> dict[str, Any]:
    """EventBridge's event for an upload."""
    detail = {"bucket": {"name": pipeline.settings.input_bucket}, "object": {"key": key, "size": 1}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _wait_for(pipeline: Any, key: str) -> dict[str, bytes]:
    pipeline.results([key])
    return _content(pipeline, key)


def test_the_bytes_are_the_same_in_every_orchestration(own: Any, demo: Path) -> None:
    """One upload, four runs; changing Orchestration leaves the buckets and their objects alone."""
    own.upload(demo, _KEY)
    found = {"events": _wait_for(own, _KEY)}
    assert json.loads(found["events"]["result.json"])["status"] == "complete"
    for orchestration in ("queue", "invoke", "stepfunctions"):
        own.stack.redeploy(Orchestration=orchestration)
        assert own.store.head(own.settings.input_bucket, _KEY) is not None
        _forget_run(own, _KEY)
        if orchestration == "invoke":
            splitter = own.settings.splitter_function
            own.stack.client("lambda").invoke(
                FunctionName=splitter, InvocationType="Event", Payload=json.dumps(_event(own, _KEY)).encode()
            )
        elif orchestration == "queue":
            _put(own, "uploads", _event(own, _KEY))
        else:
            _start(own, _KEY)
        found[orchestration] = _wait_for(own, _KEY)
        if orchestration == "queue":
            _until(lambda: _messages(own) == 0)
    assert found["events"] == found["queue"] == found["invoke"] == found["stepfunctions"]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _queue_url(own: Any, name: str) -> str:
    return str(own.stack.client("sqs").get_queue_url(QueueName=f"{own.settings.prefix}-{name}")["QueueUrl"])


def _put(own: Any, queue: str, event: dict[str, Any]) -> None:
    own.stack.client("sqs").send_message(QueueUrl=_queue_url(own, queue), MessageBody=json.dumps(event))


def _messages(own: Any) -> int:
    """In the stages' queues, including those in flight."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    sqs = own.stack.client("sqs")
    urls = [_queue_url(own, name) for name in ("uploads", "units", "given-up")]
    answers = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"] for url in urls]
    return sum(int(answer[name]) for answer in answers for name in names)


def _machine(own: Any, name: str) -> str:
    machines = own.stack.client("stepfunctions").list_state_machines()["stateMachines"]
    (arn,) = [item["stateMachineArn"] for item in machines if item["name"] == f"{own.settings.prefix}-{name}"]
    return str(arn)


def _start(own: Any, key: str) -> None:
    own.stack.client("stepfunctions").start_execution(
        stateMachineArn=_machine(own, "start"), input=json.dumps(_event(own, key))
    )


def _executions(own: Any, name: str) -> list[dict[str, Any]]:
    client = own.stack.client("stepfunctions")
    return list(client.list_executions(stateMachineArn=_machine(own, name))["executions"])


@pytest.mark.parametrize("orchestration", ORCHESTRATIONS)
def test_an_upload_is_enough(own: Any, orchestration: str, odd_media: dict[str, Path]) -> None:
    """Each wired by its own events: a good media file, a bad one, and something else."""
    own.stack.redeploy(Orchestration=orchestration)
    own.upload(odd_media["text.mp4"], f"{orchestration}/notes.txt")
    good = own.upload(odd_media["both.mp4"], f"{orchestration}/good.mp4")
    bad = own.upload(odd_media["text.mp4"], f"{orchestration}/bad.mp4")
    results = own.results([good, bad])
    assert (results[good].status, results[bad].status) == ("complete", "failed")
    assert results[bad].error.code == "not_media"


def test_a_repeated_event_starts_nothing(own: Any, odd_media: dict[str, Path]) -> None:
    own.stack.redeploy(Orchestration="stepfunctions")
    key = own.upload(odd_media["both.mp4"], "twice.mp4")
    result = own.results([key])[key]
    before = len(_executions(own, "start"))
    for _ in range(3):
        _start(own, key)
    deadline = time.monotonic() + 300
    while [item["status"] for item in _executions(own, "start")].count("SUCCEEDED") < before + 3:
        assert time.monotonic() < deadline, _executions(own, "start")
        time.sleep(0.1)
    (execution,) = [item for item in _executions(own, "run") if item["name"].startswith(result.run)]
    assert execution["name"] == result.run
    assert execution["status"] == "SUCCEEDED"


def test_a_restored_sidecar_is_published_again(own: Any, odd_media: dict[str, Path]) -> None:
    own.stack.redeploy(Orchestration="stepfunctions")
    key = own.upload(odd_media["both.mp4"], "asked.mp4")
    plain = own.results([key])[key]
    own.store.put(own.settings.input_bucket, f"{key}.json", b'{"beam": 1}')
    assert own.results([key])[key].options.beam == 1
    own.stack.client("s3").delete_object(Bucket=own.settings.input_bucket, Key=f"{key}.json")
    assert own.results([key])[key].run == plain.run


@contextlib.contextmanager
def _killed(own: Any, function: str) -> Iterator[None]:
    """While it lasts, no process of a function lives long."""
    stop = threading.Event()

    def keep_killing() -> None:
        while not stop.wait(0.15):
            for pid in own.stack.host.pids(function):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()


def test_an_upload_that_exhausts_its_receives_has_a_result_and_can_be_run_again(
    own: Any, odd_media: dict[str, Path]
) -> None:
    """The function never answers, so the queue's own redrive policy gives the upload up."""
    own.stack.redeploy(Orchestration="queue")
    url = _queue_url(own, "uploads")
    sqs = own.stack.client("sqs")
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
    fewer = json.dumps({**policy, "maxReceiveCount": 3})
    own.stack.deployer("sqs").set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": fewer})
    with _killed(own, own.settings.splitter_function):
        key = own.upload(odd_media["both.mp4"], "never answered + ü.mp4")
        result = own.results([key])[key]
    assert (result.status, result.error.code) == ("failed", "retries_exhausted")
    assert "no function ever answered" in result.error.message
    _until(lambda: _messages(own) == 0)
    dead = queue_url(sqs, own.settings)
    (letter,) = [one for one in read_dead_letters(sqs, dead) if any(row[2] == key for row in one.objects())]
    assert redrive([letter], own.stack.client, dead, own.store, own.settings) == 1
    _until(lambda: bool((found := own.look(key).result) and found.status == "complete"))


def test_an_upload_that_the_machine_gives_up_has_a_result_and_can_be_run_again(own: Any, long_speech: Path) -> None:
    own.stack.redeploy(Orchestration="stepfunctions")
    with _killed(own, own.settings.analyser_function):
        key = own.upload(long_speech, "given up.mp4")
        result = own.results([key])[key]
    assert (result.status, result.error.code) in {("failed", "retries_exhausted"), ("partial", "retries_exhausted")}
    assert "audio-0000" in {failure.unit for failure in result.failures}
    sqs = own.stack.client("sqs")
    url = queue_url(sqs, own.settings)
    letters = read_dead_letters(sqs, url)
    names = {row[2].rpartition("/")[2] for letter in letters for row in letter.objects()}
    assert "0000.flac" in names
    assert redrive(letters, own.stack.client, url, own.store, own.settings) == len(letters)
    deadline = time.monotonic() + 300
    while own.look(key).result.status != "complete":
        assert time.monotonic() < deadline, own.look(key)
        time.sleep(0.2)
