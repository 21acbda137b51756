"""Periodic tasks: leases, lifetimes, notifications, and reports to ECS."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from typing import Any

from castline.aws import client
from castline.errors import CastlineError
from castline.service.asked import view
from castline.service.jobs import Jobs
from castline.service.pool import Pool
from castline.service.settings import ServiceSettings
from castline.service.wire import Rules, put

logger = logging.getLogger(__name__)

_BEAT_S = 1.0
_METRICS_S = 60.0
_TELL_S = 15.0  # others' notifications wait meanwhile
_PROTECT_S, _PROTECTED_MIN = 600.0, 60


class Caretaker:
    """Two threads: one for the database, one for other people's servers, which may be slow."""

    def __init__(self, service: ServiceSettings, jobs: Jobs, pool: Pool) -> None:
        self._service, self._jobs, self._pool = service, jobs, pool
        self._rules = Rules.of(service)
        self._over = threading.Event()
        self._protected_at: float | None = None
        self._measured_at = 0.0
        self._threads = [
            threading.Thread(target=self._repeat, args=(beat,), daemon=True, name=beat.__name__)
            for beat in (self.tidy, self.tell)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        self._threads[0].join()

    def _repeat(self, beat: Any) -> None:
        while not self._over.wait(_BEAT_S):
            try:
                beat()
            except Exception:  # most likely the database; it is tried again at the next beat
                logger.exception("%s failed", beat.__name__)

    def tidy(self) -> None:
        self._jobs.requeue_abandoned()
        self._jobs.vanish()
        self._protect()
        self._measure()

    def tell(self) -> None:
        """PUT ended jobs to their notification URLs; only 200 counts."""
        for job in self._jobs.to_notify():
            url = json.loads(job.request)["notification_url"]
            body = view(job).model_copy(update={"url_notified": True}).model_dump_json().encode()
            try:
                if put(url, body, self._rules, content_type="application/json", seconds=_TELL_S) == 200:
                    self._jobs.notified(job)
            except CastlineError as error:
                logger.info("notification of job %s failed: %s", job.id, error.message)

    def _protect(self) -> None:
        """On ECS, protect a working task from being scaled in."""
        agent = self._service.ecs_agent
        if not agent:
            return
        now, busy = time.monotonic(), self._pool.busy > 0
        fresh = self._protected_at is not None and now - self._protected_at < _PROTECT_S
        if busy == (self._protected_at is not None) and (fresh or not busy):
            return
        wanted = (
            {"ProtectionEnabled": True, "ExpiresInMinutes": _PROTECTED_MIN} if busy else {"ProtectionEnabled": False}
        )
        request = urllib.request.Request(  # noqa: S310 - the agent's own address
            f"{agent}/task-protection/v1/state",
            data=json.dumps(wanted).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            self._protected_at = now if busy else None

    def _measure(self) -> None:
        """Publish the backlog, for autoscaling."""
        now = time.monotonic()
        if not self._service.metrics_namespace or now - self._measured_at < _METRICS_S:
            return
        self._measured_at = now
        data = [{"MetricName": "Backlog", "Value": self._jobs.waiting() + self._pool.busy, "Unit": "Count"}]
        client("cloudwatch").put_metric_data(Namespace=self._service.metrics_namespace, MetricData=data)
