"""CloudWatch's metrics of the functions: additional information, never a reason to fail."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.grader.base import Context, reason
from castline.grader.report import FunctionMetrics

#: CloudWatch's finest period for Lambda's own metrics, seconds; periods are multiples of it.
_PERIOD_S = 60
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
    # One period over everything, which may still be split in two. AWS rounds the start down to its minute, so the
    # period is a minute longer than the run.
    period = (math.ceil((end - begin).total_seconds() / _PERIOD_S) + 1) * _PERIOD_S
    query = {
        "Namespace": "AWS/Lambda",
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
        "StartTime": begin,
        "EndTime": begin + timedelta(seconds=period),
        "Period": period,
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
