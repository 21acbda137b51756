"""A grading in progress: which checks were made, and what they found so far."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console

from castline.grader.base import Check, Context, perform
from castline.grader.checks import CHECKS
from castline.grader.metrics import read_metrics
from castline.grader.report import CheckResult, Report
from castline.workload_generator.load import Progress


class Session:
    """Makes checks and keeps their latest results.

    Args:
        console: shows what is being waited for, if it is a terminal.
        metrics_wait_s: how long to wait for numbers of CloudWatch that are still on their way.
    """

    def __init__(self, context: Context, console: Console, metrics_wait_s: float = 0.0) -> None:
        self.checks = CHECKS[context.target.profile]
        self._context = context
        self._console = console
        self._metrics_wait_s = metrics_wait_s
        self._started = datetime.now(UTC)
        self._begin = time.monotonic()
        self._results: dict[int, CheckResult] = {}

    def run(self, numbers: Iterable[int]) -> None:
        """Make these checks, in the order of their numbers. Ctrl-C leaves those that are not made yet as errors."""
        asked = set(numbers)
        wanted = [check for check in self.checks if check.number in asked]
        self._results |= {check.number: _unmade(check) for check in wanted}
        try:
            for check in wanted:
                self._results[check.number] = self._perform(check)
        except KeyboardInterrupt:
            self._console.print("interrupted")

    def report(self) -> Report:
        """What is found so far, with the functions' metrics."""
        metrics, over = read_metrics(self._context, self._metrics_wait_s)
        return Report(
            profile=self._context.target.profile,
            where=self._context.target.where,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._begin, 3),
            checks=tuple(self._results[number] for number in sorted(self._results)),
            metrics=metrics,
            metrics_over=over,
        )

    def _perform(self, check: Check) -> CheckResult:
        doing = f"{check.number}. {check.title}"
        with self._console.status(doing) as status:

            def show(progress: Progress) -> None:
                counts = f"{progress.sent} sent, {progress.ok} answered, {progress.failed} failed"
                status.update(f"{doing}: {counts} of {progress.total}, {progress.elapsed_s:.0f} s")

            self._context.on_progress = show
            return perform(check, self._context)


def _unmade(check: Check) -> CheckResult:
    return CheckResult(
        number=check.number, title=check.title, status="error", points=0, out_of=check.points, lines=("interrupted",)
    )
