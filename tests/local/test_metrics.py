"""Metrics of invocations, and an emulator that does not accept them at once."""

from __future__ import annotations

import asyncio
from typing import Any

from botocore.exceptions import EndpointConnectionError

from castline.local import metrics
from castline.local.metrics import MetricsPublisher
from castline.local.pool import Observation


class CloudWatch:
    def __init__(self, refuses: int) -> None:
        self.refuses = refuses
        self.taken: list[dict[str, Any]] = []

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.refuses:
            self.refuses -= 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        self.taken += MetricData


def test_refused_metrics_are_sent_with_the_next_ones(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "_PERIOD_S", 1e9)
    client = CloudWatch(refuses=1)

    async def run() -> None:
        publisher = MetricsPublisher()
        publisher.start(client)
        publisher.observe(Observation("face-recognition", 1.0, False, 1))
        await publisher.flush()
        assert client.taken == []
        publisher.observe(Observation("face-recognition", 2.0, True, 1))
        await publisher.stop()

    asyncio.run(run())
    assert [item["Value"] for item in client.taken if item["MetricName"] == "Duration"] == [1000.0, 2000.0]
    assert sum(item["Value"] for item in client.taken if item["MetricName"] == "Invocations") == 2


def test_metrics_that_stay_refused_are_bounded_and_the_newest_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "_PERIOD_S", 1e9)
    monkeypatch.setattr(metrics, "_BATCH", 8)
    monkeypatch.setattr(metrics, "_KEEP", 12)
    client = CloudWatch(refuses=100)

    async def run() -> None:
        publisher = MetricsPublisher()
        publisher.start(client)
        for seconds in range(20):
            publisher.observe(Observation("face-recognition", float(seconds), False, 1))
            await publisher.flush()
        client.refuses = 0
        await publisher.stop()

    asyncio.run(run())
    assert [item["Value"] for item in client.taken if item["MetricName"] == "Duration"] == [
        17_000.0,
        18_000.0,
        19_000.0,
    ]
