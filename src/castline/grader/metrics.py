"""CloudWatch's metrics of the functions: additional information, never a reason to fail."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.grader.base import Context, reason
from castline.grader.report import FunctionMetrics

#: Without a load of its own, the grader looks this far back.
_BACK = timedelta(hours=1)
_NO_DATA = "no data points"


def read_metrics(context: Context, wait_s: float) -> tuple[tuple[FunctionMetrics, ...], str]:
    """Both functions' metrics over the time of the load, or over the last hour if there was none.

    Args:
        wait_s: how long to wait for numbers. CloudWatch shows Lambda's within some minutes, the local stack within
            seconds.

    Returns:
        The metrics, and the time they cover, for people.
    """
    begin, end, answered = context.load or (datetime.now(UTC) - _BACK, datetime.now(UTC), 0)
    over = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC" + ("" if context.load else ", the last hour")
    deadline = time.monotonic() + wait_s
    while True:
        names = (context.target.splitter, context.target.analyser)
        found = tuple(_read(context.target.cloudwatch, name, begin, end) for name in names)
        on_their_way = any(item.invocations < answered and item.note in ("", _NO_DATA) for item in found)
        if not on_their_way or time.monotonic() >= deadline:
            return found, over
        time.sleep(1)


def _read(cloudwatch: Any, name: str, begin: datetime, end: datetime) -> FunctionMetrics:
    query = {
        "Namespace": "AWS/Lambda",
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
        "StartTime": begin,
        "EndTime": end + timedelta(minutes=1),
        "Period": 60,  # seconds; the finest of Lambda's own metrics
        "Statistics": ["Average", "SampleCount", "Maximum"],
    }
    try:
        durations = cloudwatch.get_metric_statistics(MetricName="Duration", **query)["Datapoints"]
        concurrent = cloudwatch.get_metric_statistics(MetricName="ConcurrentExecutions", **query)["Datapoints"]
    except (ClientError, BotoCoreError) as error:
        return FunctionMetrics(function=name, note=f"cannot be read: {reason(error)}")
    count = sum(point["SampleCount"] for point in durations)
    if not count:
        return FunctionMetrics(function=name, note=_NO_DATA)
    return FunctionMetrics(
        function=name,
        invocations=int(count),
        average_ms=sum(point["Average"] * point["SampleCount"] for point in durations) / count,
        concurrency=max((int(point["Maximum"]) for point in concurrent), default=None),
        note="" if concurrent else "no data points of ConcurrentExecutions",
    )
