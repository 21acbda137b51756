"""Lambda's CloudWatch metrics, which the emulator does not produce for proxied functions."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.local.pool import Observation

logger = logging.getLogger(__name__)

_NAMESPACE = "AWS/Lambda"
#: CloudWatch's limit on values in one PutMetricData call.
_BATCH = 1000
_PERIOD_S = 1.0
#: If they cannot be delivered, the oldest are dropped: four values per invocation.
_KEEP = 40_000


class MetricsPublisher:
    """Collects observations and sends them in the background, never while an invocation waits."""

    def __init__(self) -> None:
        self._data: deque[dict[str, Any]] = deque(maxlen=_KEEP)
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None

    def observe(self, observation: Observation) -> None:
        """Record one finished invocation. Costs microseconds."""
        now = datetime.now(UTC)
        for name, value, unit in (
            ("Invocations", 1.0, "Count"),
            ("Errors", float(observation.error), "Count"),
            ("Duration", observation.duration_s * 1000, "Milliseconds"),
            ("ConcurrentExecutions", float(observation.concurrent), "Count"),
        ):
            self._data.append(
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "FunctionName", "Value": observation.function}],
                    "Timestamp": now,
                    "Value": value,
                    "Unit": unit,
                }
            )

    def start(self, client: Any) -> None:
        """Send to this CloudWatch client from now on. Call in the host's event loop."""
        self._client = client
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what is left, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self.flush()

    async def flush(self) -> None:
        """Send everything collected so far; values that are refused or cannot be delivered are sent the next time."""
        while self._data and self._client is not None:
            batch = [self._data.popleft() for _ in range(min(_BATCH, len(self._data)))]
            try:
                await asyncio.to_thread(self._client.put_metric_data, Namespace=_NAMESPACE, MetricData=batch)
            except (BotoCoreError, ClientError) as error:
                logger.debug("metrics were not accepted: %s", error)
                room = _KEEP - len(self._data)
                self._data.extendleft(reversed(batch[max(0, len(batch) - room) :]))
                return

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self.flush()
