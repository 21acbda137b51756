"""CloudWatch's numbers about the functions: information beside the points, never a reason to fail."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.grader.base import Context, reason
from castline.grader.report import FunctionMetrics

_NAMESPACE = "AWS/Lambda"
#: CloudWatch's finest period for Lambda's own metrics, seconds; periods are multiples of it.
_PERIOD_S = 60
#: Without a load of its own the grader looks this far back.
_BACK = timedelta(hours=1)
_NO_DATA = "no data points"


def read_metrics(context: Context, wait_s: float) -> tuple[tuple[FunctionMetrics, ...], str]:
    """Both functions' metrics over the time of the load, or over the last hour when there was none.

    Args:
        wait_s: how long to wait for numbers that are still on their way. CloudWatch shows Lambda's
            numbers within some minutes, the local stack within seconds.

    Returns:
        The metrics, and what time they are from, for people.
    """
    begin, end, answered = context.load or (datetime.now(UTC) - _BACK, datetime.now(UTC), 0)
    over = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC" + ("" if context.load else ", the last hour")
    deadline = time.monotonic() + wait_s
    while True:
        found = tuple(
            _function(context, name, begin, end) for name in (context.target.splitter, context.target.analyser)
        )
        on_their_way = any(item.invocations < answered and item.note in ("", _NO_DATA) for item in found)
        if not on_their_way or time.monotonic() >= deadline:
            return found, over
        time.sleep(1)


def _function(context: Context, name: str, begin: datetime, end: datetime) -> FunctionMetrics:
    try:
        return _read(context.target.cloudwatch, name, begin, end)
    except (ClientError, BotoCoreError) as error:
        return FunctionMetrics(function=name, note=f"cannot be read: {reason(error, context.secrets)}")


def _read(cloudwatch: Any, name: str, begin: datetime, end: datetime) -> FunctionMetrics:
    # One period over everything, as a percentile of percentiles is none; it may still fall into two.
    # AWS rounds the start down to its minute, so the period is a minute longer than the run.
    period = (math.ceil((end - begin).total_seconds() / _PERIOD_S) + 1) * _PERIOD_S
    query = {
        "Namespace": _NAMESPACE,
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
        "StartTime": begin,
        "EndTime": begin + timedelta(seconds=period),
        "Period": period,
    }
    durations = _points(cloudwatch, query, "Duration", Statistics=["Average", "SampleCount"])
    count = sum(point["SampleCount"] for point in durations)
    if not count:
        return FunctionMetrics(function=name, note=_NO_DATA)
    concurrent = _points(cloudwatch, query, "ConcurrentExecutions", Statistics=["Maximum"])
    return FunctionMetrics(
        function=name,
        invocations=int(count),
        average_ms=sum(point["Average"] * point["SampleCount"] for point in durations) / count,
        p95_ms=_p95(cloudwatch, query),
        concurrency=max((int(point["Maximum"]) for point in concurrent), default=None),
        note="" if concurrent else "no data points of ConcurrentExecutions",
    )


def _p95(cloudwatch: Any, query: dict[str, Any]) -> float | None:
    """Of ``Duration``, ms; None where CloudWatch, or an emulator of it, does not tell."""
    try:
        points = _points(cloudwatch, query, "Duration", ExtendedStatistics=["p95"])
    except (ClientError, BotoCoreError):
        return None
    return max((point["ExtendedStatistics"]["p95"] for point in points if "ExtendedStatistics" in point), default=None)


def _points(cloudwatch: Any, query: dict[str, Any], metric: str, **statistics: list[str]) -> list[dict[str, Any]]:
    found = cloudwatch.get_metric_statistics(MetricName=metric, **query, **statistics)
    return list(found["Datapoints"])
