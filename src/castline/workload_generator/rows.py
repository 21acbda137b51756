"""One upload of a load test, and the percentiles of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from castline.records import ObjectInfo

Status = Literal["open", "ok", "failed", "timeout"]


@dataclass(slots=True)
class Row:
    """One upload and its result. Seconds ending in ``_s`` count from the load's start, except for latencies.

    Attributes:
        status: ``ok``: a good result in time. ``failed``: the upload was refused, or its result says
            that the run failed. ``timeout``: no result of this upload in time. ``open`` until one of these is known.
        why: what went wrong; None if nothing did.
        bytes: size of the file; None if it could not be read.
        etag, version, input_modified: those of the upload in the store; no version in a bucket without versions.
        sent_s, stored_s, seen_s: when the upload began, when it was stored, and when its result was first seen.
        latency_s: ``seen_s - sent_s``, by this machine's clock; late by up to one look.
    """

    key: str
    file: Path
    planned_s: float
    status: Status = "open"
    why: str | None = None
    bytes: int | None = None
    etag: str = ""
    version: str | None = None
    input_modified: datetime | None = None
    sent_s: float | None = None
    stored_s: float | None = None
    seen_s: float | None = None
    latency_s: float | None = None

    def end(self, status: Status, why: str | None) -> None:
        """Record how it ended; the first ending counts."""
        if self.status == "open":
            self.why = why
            self.status = status

    def may_have_caused(self, found: ObjectInfo) -> bool:
        """Whether the store wrote an object in the second of this upload, or later."""
        since, written = self.input_modified, found.last_modified
        return since is not None and written is not None and int(written.timestamp()) >= int(since.timestamp())


def percentiles(seconds: Sequence[float | None]) -> dict[str, float]:
    """``min``, ``p50`` … ``max`` by nearest rank, so that each is a measured value. Empty without measurements."""
    known = [value for value in seconds if value is not None]
    if not known:
        return {}
    found = np.percentile(known, [0, 50, 90, 99, 100], method="inverted_cdf")
    return dict(zip(("min", "p50", "p90", "p99", "max"), map(float, found), strict=True))
