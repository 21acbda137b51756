"""The local stack's event source mappings, against SQS over HTTP and real runtimes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from castline.gate.credentials import Credentials, Keyring
from castline.local.access import aws_client
from castline.local.engine import Engine
from castline.local.functions import FunctionSpec
from castline.local.lambda_host import LambdaHost
from castline.local.queue_reader import QueueMapping
from castline.local.watchdog import Watchdog

#: Records when each message began and ended, and does what the message says.
CODE = """
import json, os, pathlib, signal, time

def handler(event, context):
    folder = pathlib.Path(os.environ["NOTES"])
    failed = []
    for record in event["Records"]:
        do = json.loads(record["body"])
        count = record["attributes"]["ApproximateReceiveCount"]
        note = folder / f"{do['name']} {count}"
        begun = time.time()
        if do.get("die", 0) >= int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        if do.get("wait"):
            while not (folder / do["wait"]).exists():
                time.sleep(0.01)
        time.sleep(do.get("seconds", 0))
        note.write_text(json.dumps([begun, time.time(), len(event["Records"]), record]))
        if do.get("fail", 0) >= int(count):
            failed.append({"itemIdentifier": record["messageId"]})
    if event["Records"] and do.get("raise"):
        raise ValueError("no")
    return {"batchItemFailures": failed}
"""
NAME = "reader"


@pytest.fixture(scope="module")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """SQS of an emulator without a stack."""
    deployer = Credentials.random()
    with Watchdog() as watchdog:
        engine = Engine(tmp_path_factory.mktemp("emulator"), 0, Keyring(Credentials.random(), deployer), watchdog)
        engine.start({})
        client = aws_client(engine.url, "sqs", deployer)
        yield client
        client.close()
        engine.stop()


class Bench:
    """A queue with its dead-letter queue, and a host that reads it."""

    def __init__(self, sqs: Any, folder: Path, watchdog: Watchdog, receives: int = 3) -> None:
        self.sqs = sqs
        name = f"q-{time.monotonic_ns()}"
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self._attribute(self.dead, "QueueArn")
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        self.url = self.sqs.create_queue(
            QueueName=name, Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "5400"}
        )["QueueUrl"]
        self.arn = self._attribute(self.url, "QueueArn")
        self.notes = folder / "notes"
        (folder / "code").mkdir(parents=True)
        self.notes.mkdir()
        (folder / "code" / "app.py").write_text(CODE)
        self._spec = FunctionSpec(
            name=NAME,
            handler="app.handler",
            task_root=folder / "code",
            timeout_s=3600,  # longer than any test waits: nothing may depend on it
            memory_mb=256,
            environment={"NOTES": str(self.notes)},
            slots=3,
        )
        self.host = LambdaHost(folder / "state", watchdog)
        self.host.start()

    def read(self, batch: int = 1, at_once: int = 0, *others: QueueMapping) -> None:
        self.host.configure(
            [self._spec],
            endpoint_url="http://127.0.0.1:9",
            credentials=Credentials("key", "secret"),
            mappings=[QueueMapping(self.arn, NAME, batch, at_once), *others],
            sqs=self.sqs,
            retry_s=0,
        )

    def put(self, **do: object) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=json.dumps(do))

    def left(self, url: str = "") -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        # In one answer: a message may move from one count to the other in between.
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return sum(int(answer[name]) for name in names)

    def received(self) -> int:
        """How many messages are hidden, because somebody works on them."""
        return int(self._attribute(self.url, "ApproximateNumberOfMessagesNotVisible"))

    def note(self, name: str) -> list[Any]:
        found: list[Any] = json.loads((self.notes / name).read_text())
        return found

    def names(self) -> set[str]:
        return {path.name for path in self.notes.iterdir()}

    def _attribute(self, url: str, name: str) -> str:
        return str(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


@pytest.fixture
def bench(sqs: Any, tmp_path: Path) -> Iterator[Bench]:
    with Watchdog() as watchdog:
        made = Bench(sqs, tmp_path, watchdog)
        yield made
        made.host.stop()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_message_reaches_the_function_as_on_lambda_and_is_deleted(bench: Bench) -> None:
    bench.put(name="a")
    bench.read()
    _until(lambda: bench.left() == 0)
    record = bench.note("a 1")[3]
    assert record["eventSourceARN"] == bench.arn
    assert (record["eventSource"], record["awsRegion"]) == ("aws:sqs", "us-east-1")
    assert record["attributes"]["ApproximateFirstReceiveTimestamp"]
    assert {"messageId", "receiptHandle", "md5OfBody", "messageAttributes"} <= record.keys()


def test_no_more_run_at_once_than_the_mapping_allows(bench: Bench) -> None:
    for number in range(6):
        bench.put(name=str(number), seconds=0.1)
    bench.read(at_once=2)
    _until(lambda: bench.left() == 0)
    times = [bench.note(f"{number} 1")[:2] for number in range(6)]
    most = max(sum(begun <= at < ended for begun, ended in times) for at, _ in times)
    assert most <= 2


def test_another_queue_of_the_function_does_not_wait_until_the_first_is_empty(bench: Bench) -> None:
    """As ranges of a recording do not wait for new uploads."""
    for number in range(4):
        bench.put(name=str(number), wait="go")
    url = bench.sqs.create_queue(QueueName="ranges")["QueueUrl"]
    arn = bench.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bench.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"name": "range"}))
    bench.read(1, 2, QueueMapping(arn, NAME, 1, 2))
    _until(lambda: bench.left(url) == 0)
    assert "range 1" in bench.names()
    assert bench.left() == 4
    (bench.notes / "go").touch()
    _until(lambda: bench.left() == 0)


def test_only_the_failed_messages_of_a_batch_come_again(bench: Bench) -> None:
    # What is only reported waits until it is no longer hidden.
    bench.sqs.set_queue_attributes(QueueUrl=bench.url, Attributes={"VisibilityTimeout": "2"})
    for number in range(4):
        bench.put(name=str(number), fail=number == 2)
    bench.read(batch=10)
    _until(lambda: bench.left() == 0)
    assert bench.names() == {"0 1", "1 1", "2 1", "2 2", "3 1"}
    assert bench.left(bench.dead) == 0


def test_a_message_that_raises_or_loses_its_process_comes_again(bench: Bench) -> None:
    bench.put(name="dies", die=2)
    bench.read()
    _until(lambda: bench.left() == 0)
    assert bench.names() == {"dies 3"}


def test_an_outcome_is_reported_to_an_emulator_that_was_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    away = EndpointConnectionError(endpoint_url=bench.url)
    for name in ("delete_message", "change_message_visibility"):
        answers = iter([away, away])
        work = getattr(bench.sqs, name)

        def call(answers: Iterator[Exception] = answers, work: Callable[..., Any] = work, **given: Any) -> Any:
            for problem in answers:
                raise problem
            return work(**given)

        monkeypatch.setattr(bench.sqs, name, call)
    bench.put(name="dies", die=1)
    bench.read()
    _until(lambda: bench.left() == 0)  # otherwise it would be hidden for 5 400 s
    assert bench.names() == {"dies 2"}


def test_a_message_out_of_receives_goes_where_the_queue_says(bench: Bench) -> None:
    bench.put(name="raises", **{"raise": True})
    bench.put(name="dies", die=99)
    bench.read()
    _until(lambda: bench.left(bench.dead) == 2)
    assert bench.left() == 0
    assert bench.names() == {"raises 1", "raises 2", "raises 3"}


def test_work_interrupted_by_replacing_functions_is_repeated(bench: Bench) -> None:
    for number in range(3):
        bench.put(name=str(number), wait="go")
    bench.read()
    _until(lambda: bench.received() == 3)  # by all processes: none is free
    bench.read()  # ends the processes
    (bench.notes / "go").touch()
    _until(lambda: bench.left() == 0)
    assert {name.split()[0] for name in bench.names()} == {"0", "1", "2", "go"}


def test_a_stopped_host_leaves_messages_in_the_queue(bench: Bench) -> None:
    for number in range(5):
        bench.put(name=str(number), wait="never")
    bench.read()
    _until(lambda: bench.received() == 3)  # by all processes: none is free
    bench.host.stop()
    assert bench.left() == 5
    visible = bench.sqs.receive_message(QueueUrl=bench.url, MaxNumberOfMessages=10)["Messages"]
    assert len(visible) == 5, "and others can receive them at once"


def test_mappings_are_as_the_template_says() -> None:
    arn = "arn:aws:sqs:us-east-1:1:q"
    found = QueueMapping.of(
        {
            "EventSourceArn": arn,
            "FunctionName": "f",
            "BatchSize": 1,
            "ScalingConfig": {"MaximumConcurrency": "6"},
        }
    )
    assert found == QueueMapping(arn, "f", 1, 6)
    assert QueueMapping.of({"EventSourceArn": arn, "FunctionName": "f"}) == QueueMapping(arn, "f", 10, 0)
