"""A load test: uploads files according to a pattern, and watches them until their results arrive."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic_core import to_json

from castline import keys
from castline.cli.transfer import inside
from castline.errors import OptionsError, StorageError
from castline.records import ObjectInfo
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.rows import Row, Status, percentiles
from castline.workload_generator.target import Profile, Target

#: Least seconds between two looks for results; looking takes no more than a tenth of the time.
_LOOK_S = 0.25
_REST = 9
#: The fields of the report as JSON, besides those of the target.
_REPORTED = (
    "pattern", "concurrency", "timeout_s", "started_at", "duration_s", "interrupted", "failed_looks", "counts",
    "latency_s", "throughput_per_s", "rows",
)  # fmt: skip
#: LastModified is truncated to whole seconds.
_RESOLUTION_S = 1.0


class Job(NamedTuple):
    """A planned upload: this file under this key."""

    key: str
    path: Path


def result_key(profile: Profile, media: str) -> str:
    """Where the result of a media file appears in the output bucket."""
    return keys.classic_answer_key(media) if profile == "classic" else keys.result_key(media)


def plan(folder: Path, count: int | None, profile: Profile) -> list[Job]:
    """Plan what to upload, in the order of the names.

    Args:
        folder: searched with its subfolders; hidden files and folders are left out.
        count: default: every media file once; if there are fewer files, they are repeated.

    Returns:
        One job per upload. Keys are flat in the classic profile, where also only videos count:
        the files' names, or ``test_00`` … when there are fewer files than uploads. In the full
        profile they keep the tree below the folder, and the second round is ``copy-01/…``.

    Raises:
        OptionsError: no such folder, no media in it, or two files for one result.
        KeyLayoutError: a name that cannot be a key.
    """
    if not folder.is_dir():
        raise OptionsError(f"there is no folder {folder}")
    suffixes = keys.VIDEO_SUFFIXES if profile == "classic" else keys.MEDIA_SUFFIXES
    files = [path for path in inside(folder, None) if path.suffix.lower() in suffixes and path.name[0] != "."]
    if not files:
        raise OptionsError(
            f"no {'video' if profile == 'classic' else 'media'} in {folder}: {' '.join(sorted(suffixes))}"
        )
    count = count or len(files)
    jobs = []
    for index in range(count):
        path = files[index % len(files)]
        if profile == "full":
            again = index // len(files)
            key = (f"copy-{again:02d}/" if again else "") + path.relative_to(folder).as_posix()
        else:
            key = path.name if count <= len(files) else f"test_{index:02d}{path.suffix.lower()}"
        jobs.append(Job(keys.check_media_key(key), path))
    ((shared, times),) = Counter(result_key(profile, job.key) for job in jobs).most_common(1)
    if times > 1:
        raise OptionsError(f"{times} files of {folder} would share one result, {shared}")
    return jobs


def run_load(
    target: Target,
    jobs: Sequence[Job],
    pattern: Pattern,
    concurrency: int,
    timeout_s: float,
    on_progress: Callable[[Load], None] = lambda load: None,
    within_s: float = math.inf,
) -> Load:
    """Upload everything and wait for the results. Ctrl-C ends it with the results so far.

    Args:
        concurrency: most concurrent uploads; further ones are sent later than planned.
        timeout_s: time for each media file, from the beginning of its upload to its result.
        on_progress: called in this thread after every look.
        within_s: time for all of them, from the beginning of the first upload.

    Raises:
        NoBucket, StorageError: as ``Target.check``.
    """
    target.check(target.input_bucket, target.output_bucket)
    load = Load(target, jobs, pattern, concurrency, timeout_s, within_s)
    try:
        load.run(on_progress)
    except KeyboardInterrupt:
        load.interrupted = True
    load.end()
    return load


class Load:
    """A load test, in progress or finished.

    Attributes:
        timeout_s, within_s: time for each media file, and for all of them.
        rows: one per job; written by its sender until it is stored, and then by the thread that waits for its result.
        started_at: by this machine's clock.
        duration_s: from the start until the last result, or until waiting ended; while running, until now.
        interrupted: whether it was ended early; rows that were open then are ``failed``.
        failed_looks: the reason for each time that the store could not be queried for results.
    """

    def __init__(
        self,
        target: Target,
        jobs: Sequence[Job],
        pattern: Pattern,
        concurrency: int,
        timeout_s: float,
        within_s: float = math.inf,
    ) -> None:
        self.target, self.pattern, self.concurrency = target, pattern, concurrency
        self.timeout_s, self.within_s = timeout_s, within_s
        times = pattern.arrivals(len(jobs))
        self.rows = [Row(key, path, planned_s) for (key, path), planned_s in zip(jobs, times, strict=True)]
        self.started_at = datetime.now(UTC)
        self.duration_s = 0.0
        self.interrupted = False
        self.failed_looks: list[str] = []
        self._begin = time.monotonic()
        self._turns = iter(self.rows)
        self._over = threading.Event()

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row.status == "ok"]

    @property
    def passed(self) -> bool:
        """Whether every upload had a good result in time."""
        return len(self.good) == len(self.rows) and not self.interrupted

    @property
    def counts(self) -> dict[Status, int]:
        """Rows of each status."""
        return {status: sum(row.status == status for row in self.rows) for status in ("ok", "failed", "timeout")}

    @property
    def latency_s(self) -> dict[str, float]:
        """Percentiles over the good results; empty if there are none."""
        return percentiles([row.latency_s for row in self.good])

    @property
    def throughput_per_s(self) -> float | None:
        """Good results per second, from the first upload to the last good result; None if there are none."""
        seen = [row.seen_s for row in self.good if row.seen_s is not None]
        sent = [row.sent_s for row in self.rows if row.sent_s is not None]
        return len(seen) / (max(seen) - min(sent)) if seen and max(seen) > min(sent) else None

    def __str__(self) -> str:
        sent = sum(row.stored_s is not None for row in self.rows)
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        return f"{sent} of {len(self.rows)} uploaded, results: {counts}; {self.duration_s:.0f} s"

    def to_json(self) -> bytes:
        of_target = {"profile": self.target.profile, "where": self.target.where}
        return to_json(of_target | {name: getattr(self, name) for name in _REPORTED}, indent=2)

    def run(self, on_progress: Callable[[Load], None]) -> None:
        self._let_the_second_pass()
        self._begin, self.started_at = time.monotonic(), datetime.now(UTC)
        for number in range(min(self.concurrency, len(self.rows))):
            # Daemons, because a hanging upload must not keep the program from ending.
            threading.Thread(target=self._send_in_turn, name=f"sender-{number}", daemon=True).start()
        try:
            while True:
                cost_s = self._look()
                self._give_up_late_ones()
                self.duration_s = self._now()
                on_progress(self)
                if not self._open():
                    return
                time.sleep(max(_LOOK_S, cost_s * _REST))
        finally:
            self._over.set()

    def end(self) -> None:
        """Record the outcome of every upload without a result."""
        for row in self._open():
            row.end("failed", "interrupted before its result")
        self.rows = [replace(row) for row in self.rows]  # a hanging upload may still write to the old ones
        with suppress(StorageError):
            for row in self.rows:
                if row.stored_s is not None and row.seen_s is None:
                    row.why = f"{row.why}; {self._how_far(row)}"

    def _now(self) -> float:
        return time.monotonic() - self._begin

    def _open(self) -> list[Row]:
        return [row for row in self.rows if row.status == "open"]

    def _let_the_second_pass(self) -> None:
        """If results exist already, make sure that all uploads fall into a later second of the store's clock.

        LastModified shows whole seconds only; this way no old result can be mistaken for one of this load.
        """
        wanted = {result_key(self.target.profile, row.key) for row in self.rows}
        if any(info.key in wanted for info in self._listed(wanted)):
            time.sleep(_RESOLUTION_S)

    def _send_in_turn(self) -> None:
        for row in self._turns:  # all senders share it
            if self._over.wait(max(0.0, row.planned_s - self._now())):
                return
            try:
                self._send(row)
            except Exception as error:  # whatever it is, it is a failure of this upload, not of the load
                row.end("failed", f"upload: {_reason(error)}")

    def _send(self, row: Row) -> None:
        store, bucket = self.target.store, self.target.input_bucket
        row.sent_s = self._now()
        row.bytes = row.file.stat().st_size
        store.put(bucket, row.key, row.file)
        stored_s = self._now()
        found = store.head(bucket, row.key)
        if found is None:
            raise StorageError("it was uploaded, but is gone")
        row.etag, row.version, row.input_modified = found.etag, found.version, found.last_modified
        row.stored_s = stored_s  # last: from here on, its result is searched for

    def _listed(self, wanted: Iterable[str]) -> list[ObjectInfo]:
        """The output bucket's objects below the common prefix of all wanted keys."""
        prefix = os.path.commonprefix(list(wanted))  # noqa: RUF071 - keys are strings, and not paths
        return list(self.target.store.find(self.target.output_bucket, prefix))

    def _look(self) -> float:
        """Find the existing results, with one listing for all; returns the seconds this took."""
        begin_s = self._now()
        waiting = {result_key(self.target.profile, row.key): row for row in self._open() if row.stored_s is not None}
        try:
            listed = self._listed(waiting) if waiting else []
            seen_s = self._now()
            for info in listed:
                row = waiting.get(info.key)
                if row and row.may_have_caused(info) and seen_s <= self.within_s:
                    self._take(row, info, seen_s)
        except StorageError as error:
            self.failed_looks.append(_reason(error))
        return self._now() - begin_s

    def _take(self, row: Row, info: ObjectInfo, seen_s: float) -> None:
        """Record a listed result, if it belongs to the upload."""
        problem: str | None = ""
        if self.target.profile == "full":
            problem = _problem(self.target.store.read(self.target.output_bucket, info, 0, info.size) or b"", row)
        if problem is None:
            return
        row.seen_s, row.latency_s = seen_s, seen_s - (row.sent_s or 0.0)
        row.end("failed" if problem else "ok", problem or None)

    def _give_up_late_ones(self) -> None:
        now_s = self._now()
        moved_s = max(row.stored_s or 0.0 for row in self.rows)
        for row in self._open():
            # Uploads that could not be sent yet wait for earlier ones, unless those hang.
            since_s = max(row.planned_s, moved_s) if row.sent_s is None else row.sent_s
            if now_s >= self.within_s:
                row.end("timeout", "no answer in time")
            elif now_s - since_s >= self.timeout_s:
                what = "still not uploaded" if row.stored_s is None else "no result"
                row.end("timeout", f"{what} within {self.timeout_s:g} s")

    def _how_far(self, row: Row) -> str:
        """How far an upload without a result has come: whether the splitter has written anything for it."""
        bucket = self.target.stage1_bucket
        prefix = keys.classic_frame_key(row.key) if self.target.profile == "classic" else f"{row.key}/"
        written = any(map(row.may_have_caused, self.target.store.find(bucket, prefix)))
        return f"{bucket} has it" if written else f"nothing in {bucket} either"


def _problem(body: bytes, row: Row) -> str | None:
    """The error in a ``result.json`` of any version of Castline; None if it does not belong to this upload."""
    try:
        result = json.loads(body)
        source, status = result["source"], result["status"]
        ours = source["version"] == row.version if row.version else source["etag"].strip('"') == row.etag
        if not ours:
            return None
        why = (result["error"] or {}).get("message") or f"units failed: {len(result['failures'])}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return "" if status == "complete" else f"{status}: {why}"


def _reason(error: Exception) -> str:
    """The first line of an error of S3 or the system."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
