"""How far the store's clock is from ours, from what its answers say.

An answer that carries a time D (a ``Date`` header, or the LastModified of our own upload) was made
between our sending at t0 and our receiving at t1. S3 cuts its times to whole seconds, so its clock showed
something in [D, D + 1): its lead over ours lies between D - t1 and D + 1 - t0. Every answer gives such an
interval; what all of them allow is the estimate, and it gets narrower with every answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Any

from castline.records import Record

#: S3's times are cut to whole seconds.
RESOLUTION_S = 1.0


class Skew(Record):
    """The store's clock against ours.

    Attributes:
        seconds: what the store's clock is ahead of ours; negative when it is behind.
        uncertainty_s: the truth is within this of ``seconds``, if ``consistent``.
        samples: answers it was estimated from.
        consistent: whether one constant skew explains all answers; otherwise a clock was set during the
            run, or the store's ``Date`` lags, and the estimate is their median with their whole range.
    """

    seconds: float
    uncertainty_s: float
    samples: int
    consistent: bool


class SkewMeter:
    """Collects answers, from any thread."""

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, s3: Any) -> Iterator[None]:
        """Note every answer that a boto3 client gets meanwhile."""
        events, asked, answered = s3.meta.events, "before-call.s3", "after-call.s3"
        events.register(asked, self._asked)
        events.register(answered, self._answered)
        try:
            yield
        finally:
            events.unregister(asked, self._asked)
            events.unregister(answered, self._answered)

    @staticmethod
    def _asked(context: dict[str, Any], **_: object) -> None:
        context["castline_sent_at"] = time.time()

    def _answered(self, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: object) -> None:
        if (sent_at := context.get("castline_sent_at")) is not None:
            self.add_response(parsed, sent_at, time.time())

    def add(self, server: datetime, sent_at: float, received_at: float) -> None:
        """Note one answer.

        Args:
            server: the time it carries, with its zone.
            sent_at, received_at: our wall clock, seconds since the epoch.
        """
        stamp = server.timestamp() // RESOLUTION_S * RESOLUTION_S
        with self._lock:
            self._intervals.append((stamp - received_at, stamp + RESOLUTION_S - sent_at))

    def add_response(self, response: Mapping[str, Any], sent_at: float, received_at: float) -> None:
        """Note the ``Date`` header of a boto3 response, if it has one that can be read."""
        if server := response_date(response):
            self.add(server, sent_at, received_at)

    def estimate(self) -> Skew | None:
        """None without any answer."""
        with self._lock:
            intervals = list(self._intervals)
        if not intervals:
            return None
        low, high = max(low for low, _ in intervals), min(high for _, high in intervals)
        if low <= high:
            return Skew(
                seconds=(low + high) / 2, uncertainty_s=(high - low) / 2, samples=len(intervals), consistent=True
            )
        middle = median((low + high) / 2 for low, high in intervals)
        reach = max(max(high for _, high in intervals) - middle, middle - min(low for low, _ in intervals))
        return Skew(seconds=middle, uncertainty_s=reach, samples=len(intervals), consistent=False)


def response_date(response: Mapping[str, Any]) -> datetime | None:
    """The ``Date`` header of a boto3 response; None without one, or when it is no date with a zone."""
    header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo else None
