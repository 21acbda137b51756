"""What a load test found, as a record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from castline.records import Record
from castline.workload_generator.patterns import Name
from castline.workload_generator.skew import RESOLUTION_S, Skew
from castline.workload_generator.target import Profile

Status = Literal["ok", "failed", "timeout"]


class Row(Record):
    """One upload and its result. Seconds ending ``_s`` without "latency" count from the load's start.

    Attributes:
        status: ``ok``: a good result in time. ``failed``: the upload was refused, or its result says
            that the run failed. ``timeout``: no result of this upload in time.
        why: of everything but ``ok``.
        bytes: size of the file; None when it could not even be read.
        sent_s, stored_s, seen_s: when the upload began, was there, and its result was first seen.
        local_latency_s: ``seen_s - sent_s``, by this machine's clock; late by up to one look (0.2 to 2 s).
        server_latency_s: from LastModified to LastModified, by the store's clock alone, which shows
            whole seconds: within a second of the truth.
        input_modified, output_modified: those two, as the store says them.
    """

    key: str
    status: Status
    why: str | None
    bytes: int | None
    planned_s: float
    sent_s: float | None
    stored_s: float | None
    seen_s: float | None
    local_latency_s: float | None
    server_latency_s: float | None
    input_modified: datetime | None
    output_modified: datetime | None


class Latency(Record):
    """Seconds. Percentiles are nearest-rank: each of them was really measured."""

    count: int
    min: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """None of nothing."""
        if not seconds:
            return None
        found = sorted(seconds)
        p50, p90, p99 = (percentile(found, percent) for percent in (50, 90, 99))
        return cls(count=len(found), min=found[0], p50=p50, p90=p90, p99=p99, max=found[-1])


class LoadReport(Record):
    """A load test.

    Attributes:
        where, input_bucket, output_bucket: what was tested.
        timeout_s: what a media file was given, from the beginning of its upload.
        started_at: of this machine's clock.
        duration_s: from the start until the last result, or until waiting ended.
        interrupted: whether somebody ended it early; what was open then is ``failed``.
        local, server: over the rows that are ``ok``.
        throughput_per_s: good results per second, from the first upload to the last good result.
        skew: the store's clock against ours. No latency mixes the two clocks.
        warnings: what makes these numbers worth less than they look.
    """

    profile: Profile
    where: str
    input_bucket: str
    output_bucket: str
    pattern: Name
    rate: float
    concurrency: int
    timeout_s: float
    started_at: datetime
    duration_s: float
    interrupted: bool
    total: int
    ok: int
    failed: int
    timed_out: int
    local: Latency | None
    server: Latency | None
    throughput_per_s: float | None
    skew: Skew | None
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every upload had a good result in time."""
        return self.ok == self.total and not self.interrupted

    def write_json(self, path: Path) -> None:
        """Write it as indented JSON; the folder is made.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile: the smallest value that at least ``percent`` of all do not exceed.

    Args:
        ascending: sorted, not empty.
        percent: in (0, 100].
    """
    return ascending[max(1, math.ceil(len(ascending) * percent / 100)) - 1]


def throughput(rows: Sequence[Row]) -> float | None:
    """Good results per second, from the first upload to the last good result; None without any."""
    seen = [row.seen_s for row in rows if row.status == "ok" and row.seen_s is not None]
    sent = [row.sent_s for row in rows if row.sent_s is not None]
    return len(seen) / (max(seen) - min(sent)) if seen and max(seen) > min(sent) else None


def doubts(rows: Sequence[Row], skew: Skew | None) -> list[str]:
    """What makes the numbers worth less than they look, in words."""
    found = []
    negative = [row.server_latency_s for row in rows if row.server_latency_s is not None and row.server_latency_s < 0]
    if negative:
        found.append(
            f"negative server latencies: {len(negative)} (down to {min(negative):.1f} s); "
            "the store's clock is not one clock, or was set back"
        )
    if skew and not skew.consistent:
        found.append("no single difference of clocks explains the store's times: one was set, or answers are cached")
    elif skew and abs(skew.seconds) > skew.uncertainty_s + RESOLUTION_S:
        way = "ahead of" if skew.seconds > 0 else "behind"
        found.append(f"the store's clock is {abs(skew.seconds):.1f} s {way} this machine's; no latency mixes the two")
    return found
