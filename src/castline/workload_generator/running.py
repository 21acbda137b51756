"""One load test under way: what was sent, what was answered, and what is still open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from castline.errors import StorageError
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.report import Latency, LoadReport, Row, Status, doubts, throughput
from castline.workload_generator.sending import Job, Sender, Upload, reason
from castline.workload_generator.skew import RESOLUTION_S, SkewMeter
from castline.workload_generator.target import Target
from castline.workload_generator.watching import Answer, Watch, listing, modified, result_key

#: Between two looks: short while the youngest upload is young, so that waiting adds little to its latency.
_LOOK_S = (0.2, 2.0)
_LOOK_PER_AGE = 0.05
#: Looking takes at most a tenth of the time, however long a listing takes.
_LOOK_REST = 9


class Progress(NamedTuple):
    """How far a load is: counts of media."""

    total: int
    sent: int
    ok: int
    failed: int
    elapsed_s: float


class Load:
    """The state of one load test."""

    def __init__(
        self, target: Target, jobs: Sequence[Job], pattern: Pattern, concurrency: int, timeout_s: float
    ) -> None:
        self._target = target
        self._pattern = pattern
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._skew = SkewMeter()
        self._watch = Watch(target)
        self._uploads = {
            job.key: Upload(job, planned_s)
            for job, planned_s in zip(jobs, pattern.arrivals(len(jobs)), strict=True)
        }  # fmt: skip
        self._answers: dict[str, Answer] = {}
        self._late: dict[str, str] = {}
        self._looks_failed: list[str] = []
        self._started = time.monotonic()
        self._started_at = datetime.now(UTC)

    def run(self, on_progress: Callable[[Progress], None]) -> None:
        with self._skew.listening(self._target.s3):
            self._run(on_progress)

    def _run(self, on_progress: Callable[[Progress], None]) -> None:
        self._let_the_second_pass()
        self._started, self._started_at = time.monotonic(), datetime.now(UTC)
        uploads = list(self._uploads.values())
        sender = Sender(self._target.store, self._target.input_bucket, uploads, self._started, self._skew)
        sender.start(self._concurrency)
        try:
            while True:
                cost_s = self._look()
                on_progress(self._progress())
                if not self._open():
                    return
                time.sleep(self._pause(cost_s))
        finally:
            sender.stop()

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _open(self) -> list[Upload]:
        """Uploads of which nobody knows yet how they end."""
        ended = self._answers.keys() | self._late.keys()
        return [upload for key, upload in self._uploads.items() if key not in ended and upload.error is None]

    def _look(self) -> float:
        """Ask once for results, give up what is too late; returns the seconds that asking took."""
        at_s = self._now()
        waiting = {upload.job.key: upload.stored for upload in self._open() if upload.stored}
        try:
            found = self._watch.look(waiting) if waiting else {}
        except StorageError as error:
            found = {}
            self._looks_failed.append(reason(error))
        self._answers |= found
        moved_s = max((upload.stored.done_s for upload in self._uploads.values() if upload.stored), default=0.0)
        for upload in self._open():
            # What nobody could send yet waits for the uploads before it, unless those hang.
            since_s = upload.sent_s if upload.sent_s is not None else max(upload.planned_s, moved_s)
            if at_s - since_s >= self._timeout_s:
                self._late[upload.job.key] = "no result" if upload.stored else "still not uploaded"
        return self._now() - at_s

    def _pause(self, cost_s: float) -> float:
        """Seconds until the next look."""
        sent = [upload.sent_s for upload in self._open() if upload.stored and upload.sent_s is not None]
        youngest_s = self._now() - max(sent) if sent else 0.0
        return min(max(_LOOK_S[0], youngest_s * _LOOK_PER_AGE, cost_s * _LOOK_REST), _LOOK_S[1])

    def _progress(self) -> Progress:
        ok = sum(answer.error is None for answer in self._answers.values())
        refused = sum(upload.error is not None for upload in self._uploads.values())
        sent = sum(upload.stored is not None for upload in self._uploads.values())
        total = len(self._uploads)
        return Progress(total, sent, ok, len(self._answers) - ok + len(self._late) + refused, self._now())

    def _let_the_second_pass(self) -> None:
        """Wait until the store's clock shows a later second than any result that lies there already.

        Then, although it shows whole seconds only, none of those can pass for a result of this load.
        """
        wanted = {result_key(self._target.profile, key) for key in self._uploads}
        try:
            found = listing(self._target, self._target.output_bucket, list(wanted))
        except StorageError as error:
            self._looks_failed.append(reason(error))
            return
        newest = max((modified(each).timestamp() for each in found if each.key in wanted), default=0.0)
        skew = self._skew.estimate()
        ahead_s = skew.seconds - skew.uncertainty_s if skew else 0.0  # at least
        wait_s = int(newest) + RESOLUTION_S - (time.time() + ahead_s)
        time.sleep(min(max(0.0, wait_s), 3 * RESOLUTION_S))

    def report(self, interrupted: bool) -> LoadReport:
        ended_s = self._now()
        written, progress = self._refined()
        rows = [self._row(upload, written.get(key), progress.get(key)) for key, upload in self._uploads.items()]
        good = [row for row in rows if row.status == "ok"]
        skew = self._skew.estimate()
        warnings = doubts(rows, skew)
        if self._looks_failed:
            warnings.append(f"{len(self._looks_failed)} looks for results failed, at last: {self._looks_failed[-1]}")
        statuses = Counter(row.status for row in rows)
        return LoadReport(
            profile=self._target.profile,
            where=self._target.where,
            input_bucket=self._target.input_bucket,
            output_bucket=self._target.output_bucket,
            pattern=self._pattern.name,
            rate=self._pattern.rate,
            concurrency=self._concurrency,
            timeout_s=self._timeout_s,
            started_at=self._started_at,
            duration_s=ended_s,
            interrupted=interrupted,
            total=len(rows),
            ok=statuses["ok"],
            failed=statuses["failed"],
            timed_out=statuses["timeout"],
            local=Latency.of([row.local_latency_s for row in good if row.local_latency_s is not None]),
            server=Latency.of([row.server_latency_s for row in good if row.server_latency_s is not None]),
            throughput_per_s=throughput(rows),
            skew=skew,
            warnings=tuple(warnings),
            rows=tuple(rows),
        )

    def _refined(self) -> tuple[Mapping[str, datetime], Mapping[str, str]]:
        """Finer times of the uploads, where listings have them, and how far the late ones came."""
        written: dict[str, datetime] = {}
        progress: dict[str, str] = {}
        with suppress(StorageError):
            for listed in listing(self._target, self._target.input_bucket, list(self._uploads)):
                upload = self._uploads.get(listed.key)
                stored, at = upload.stored if upload else None, modified(listed)
                if stored and stored.etag == listed.etag and int(at.timestamp()) == int(stored.modified.timestamp()):
                    written[listed.key] = at
            late = {upload.job.key: upload.stored for upload in self._uploads.values()
                    if upload.stored and upload.job.key not in self._answers}  # fmt: skip
            if late:
                progress = self._watch.why_not(late)
        return written, progress

    def _row(self, upload: Upload, written: datetime | None, progress: str | None) -> Row:
        key, stored = upload.job.key, upload.stored
        answer = self._answers.get(key)
        status: Status = "failed"
        why: str | None
        if answer:
            why = answer.error
            status = "failed" if why else "ok"
        elif key in self._late:
            status, why = "timeout", f"{self._late[key]} within {self._timeout_s:g} s"
        else:
            why = f"upload: {upload.error}" if upload.error else "interrupted before its result"
        if progress:
            why = f"{why}; {progress}"
        seen_s = answer.seen - self._started if answer else None
        written = written or (stored.modified if stored else None)
        return Row(
            key=key,
            status=status,
            why=why,
            bytes=upload.size,
            planned_s=upload.planned_s,
            sent_s=upload.sent_s,
            stored_s=stored.done_s if stored else None,
            seen_s=seen_s,
            local_latency_s=seen_s - upload.sent_s if seen_s is not None and upload.sent_s is not None else None,
            server_latency_s=(answer.modified - written).total_seconds() if answer and written else None,
            input_modified=written,
            output_modified=answer.modified if answer else None,
        )
