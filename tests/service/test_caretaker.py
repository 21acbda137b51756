"""What is reported to AWS: a working task is protected, and the backlog is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from castline.service import caretaker
from castline.service.caretaker import Caretaker
from castline.service.settings import ServiceSettings
from tests.answering import QuietHandler, answering


class Counted:
    """Jobs that wait, and workers that work; no other method is called."""

    def __init__(self) -> None:
        self.jobs, self.busy = 0, 0

    def waiting(self) -> int:
        return self.jobs

    def requeue_abandoned(self) -> None:
        pass

    def vanish(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(caretaker.time, "monotonic", lambda: now.at)
    return now


@pytest.fixture
def agent() -> Iterator[SimpleNamespace]:
    """ECS's agent: its requests, and its answers."""
    found = SimpleNamespace(asked=[], status=200, url="")

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append((self.path, self.headers["Content-Type"], body))
            self.send_response(found.status)
            self.end_headers()

    with answering(Handler) as found.url:
        yield found


def caretaking(folder: Path, both: Counted, **settings: Any) -> Caretaker:
    return Caretaker(ServiceSettings(folder=folder, **settings), both, both)  # type: ignore[arg-type]


ON = ("/task-protection/v1/state", "application/json", {"ProtectionEnabled": True, "ExpiresInMinutes": 60})
OFF = ("/task-protection/v1/state", "application/json", {"ProtectionEnabled": False})


def test_a_task_is_protected_while_it_works(tmp_path: Path, agent: SimpleNamespace, clock: SimpleNamespace) -> None:
    pool = Counted()
    care = caretaking(tmp_path, pool, ecs_agent=agent.url)
    care.tidy()
    assert agent.asked == [], "a new task is not protected"
    pool.busy = 1
    for _ in range(3):
        care.tidy()
    assert agent.asked == [ON], "only once"
    clock.at += 601  # long before it would expire
    care.tidy()
    assert agent.asked == [ON, ON]
    pool.busy = 0
    for _ in range(2):
        care.tidy()
    assert agent.asked == [ON, ON, OFF]


def test_an_agent_that_refuses_is_asked_again(tmp_path: Path, agent: SimpleNamespace, clock: SimpleNamespace) -> None:
    pool = Counted()
    care = caretaking(tmp_path, pool, ecs_agent=agent.url)
    pool.busy, agent.status = 1, 500
    with pytest.raises(OSError, match="500"):
        care.tidy()
    agent.status = 200
    care.tidy()
    assert agent.asked == [ON, ON]


def test_the_backlog_is_waiting_and_running_jobs(
    tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autoscaling divides it by the number of tasks; published once a minute."""
    cloudwatch = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(caretaker, "client", {"cloudwatch": cloudwatch}.__getitem__)
    both = Counted()
    both.jobs, both.busy = 7, 2
    care = caretaking(tmp_path, both, metrics_namespace="Castline/x")
    with Stubber(cloudwatch) as stubber:
        for value in (9, 3):
            data = [{"MetricName": "Backlog", "Value": value, "Unit": "Count"}]
            stubber.add_response("put_metric_data", {}, {"Namespace": "Castline/x", "MetricData": data})
        care.tidy()
        clock.at += 59
        care.tidy()
        both.jobs, both.busy = 3, 0
        clock.at += 2
        care.tidy()
        stubber.assert_no_pending_responses()
    caretaking(tmp_path, both).tidy()  # without a namespace, nothing is published
