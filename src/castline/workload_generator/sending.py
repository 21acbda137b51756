"""Uploads at their planned times, from a few threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from castline.errors import CastlineError, StorageError
from castline.storage import ObjectStore
from castline.workload_generator.skew import SkewMeter


@dataclass(frozen=True, slots=True)
class Job:
    """One upload to be: this file under this key."""

    key: str
    path: Path


class Stored(NamedTuple):
    """An upload as the store saw it.

    Attributes:
        done_s: seconds of the load's clock when it was there.
        version: None in a bucket without versions.
    """

    done_s: float
    etag: str
    version: str | None
    modified: datetime


@dataclass(slots=True)
class Upload:
    """What became of a job. Written by one sender, which ends with ``stored`` or ``error``.

    Attributes:
        planned_s, sent_s: seconds of the load's clock.
        size: bytes.
    """

    job: Job
    planned_s: float
    sent_s: float | None = None
    size: int | None = None
    stored: Stored | None = None
    error: str | None = None


class Sender:
    """Sends a load.

    Args:
        uploads: in the order of their planned times.
        started: ``time.monotonic()`` of the load's zero.
    """

    def __init__(
        self, store: ObjectStore, bucket: str, uploads: Sequence[Upload], started: float, skew: SkewMeter
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._started = started
        self._skew = skew
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[Upload] = queue.SimpleQueue()
        for upload in uploads:
            self._queue.put(upload)

    def start(self, concurrency: int) -> None:
        """Begin; at most so many uploads are under way at a time."""
        for number in range(min(concurrency, self._queue.qsize())):
            # Daemons, because an upload that hangs must not keep the program from ending.
            threading.Thread(target=self._work, name=f"sender-{number}", daemon=True).start()

    def stop(self) -> None:
        """Start no further upload."""
        self._stop.set()

    def _work(self) -> None:
        while True:
            try:
                upload = self._queue.get_nowait()
            except queue.Empty:
                return
            if self._stop.wait(max(0.0, upload.planned_s - self._now())):
                return
            try:
                self._send(upload)
            except (CastlineError, OSError) as error:
                upload.error = reason(error)
            except Exception as error:  # anything else is a failure of this upload too, and not of the load
                upload.error = f"{type(error).__name__}: {reason(error)}"

    def _send(self, upload: Upload) -> None:
        key, sent_at = upload.job.key, time.time()
        upload.sent_s = self._now()
        upload.size = upload.job.path.stat().st_size
        self._store.put(self._bucket, key, upload.job.path)
        stored_at, done_s = time.time(), self._now()
        found = self._store.head(self._bucket, key)
        if found is None or found.last_modified is None:
            raise StorageError("it is gone again")
        self._skew.add(found.last_modified, sent_at, stored_at)
        upload.stored = Stored(done_s, found.etag, found.version, found.last_modified)

    def _now(self) -> float:
        return time.monotonic() - self._started


def reason(error: Exception) -> str:
    """One line of what S3 or the system said."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
