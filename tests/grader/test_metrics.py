"""CloudWatch's numbers: shown, waited for, and never a reason to fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castline.grader.base import Context
from castline.grader.metrics import read_metrics
from tests.grader.conftest import Deployment, refusal

#: What CloudWatch would have for each function after a run.
_VALUES = {"video-splitting": (100.0, 300.0), "face-recognition": (1000.0, 2000.0)}


class CloudWatch:
    """Answers like AWS."""

    def __init__(self, *, late: int = 0) -> None:
        self.late = late
        self.calls = 0

    def get_metric_statistics(self, **query: Any) -> dict[str, Any]:
        self.calls += 1
        assert query["Period"] % 60 == 0
        if self.calls <= self.late:
            return {"Datapoints": []}
        values = _VALUES[query["Dimensions"][0]["Value"]]
        if query["MetricName"] == "ConcurrentExecutions":
            return {"Datapoints": [{"Maximum": 2.0}]}
        # As if a run fell into two periods.
        return {"Datapoints": [{"Average": value, "SampleCount": 1.0} for value in values]}


def _context(deployment: Deployment, cloudwatch: Any, answered: int = 2) -> Context:
    from dataclasses import replace

    now = datetime.now(UTC)
    return Context(replace(deployment.target, cloudwatch=cloudwatch), load=(now - timedelta(minutes=3), now, answered))


def test_averages_and_concurrency_of_both_functions(classic: Deployment) -> None:
    found, over = read_metrics(_context(classic, CloudWatch()), wait_s=0)
    assert [str(item) for item in found] == [
        "video-splitting: 2 invocations, average 200 ms, at most 2 at once",
        "face-recognition: 2 invocations, average 1500 ms, at most 2 at once",
    ]
    assert over.endswith("UTC")


def test_delayed_numbers_are_waited_for(classic: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.grader.metrics.time.sleep", lambda seconds: None)
    found, _ = read_metrics(_context(classic, CloudWatch(late=4)), wait_s=30)
    assert [item.invocations for item in found] == [2, 2]


def test_missing_data_points_are_reported(classic: Deployment) -> None:
    found, over = read_metrics(Context(classic.target), wait_s=0)  # moto's CloudWatch, empty
    assert [str(item) for item in found] == [
        "video-splitting: no data points",
        "face-recognition: no data points",
    ]
    assert over.endswith("the last hour")


def test_the_local_stack_s_metrics_are_read(classic: Deployment) -> None:
    dimensions = [{"Name": "FunctionName", "Value": "video-splitting"}]
    now = datetime.now(UTC)
    for name, value in (("Duration", 120.0), ("Duration", 180.0), ("ConcurrentExecutions", 2.0)):
        data = {"MetricName": name, "Dimensions": dimensions, "Timestamp": now, "Value": value}
        classic.target.cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=[data])
    found, _ = read_metrics(Context(classic.target), wait_s=0)
    assert (found[0].invocations, found[0].average_ms, found[0].concurrency) == (2, 150.0, 2)


def test_cloudwatch_s_error_is_quoted(classic: Deployment) -> None:
    class Denied:
        def get_metric_statistics(self, **_: Any) -> None:
            raise refusal("AccessDenied", "GetMetricStatistics")

    found, _ = read_metrics(_context(classic, Denied()), wait_s=30)
    assert found[0].note == (
        "cannot be read: ClientError: An error occurred (AccessDenied) when calling the GetMetricStatistics operation: "
        "AccessDenied it is"
    )
