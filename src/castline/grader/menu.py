"""A grading in progress: its checks, their results so far, and a menu."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from castline.grader.base import Context, perform
from castline.grader.checks import CHECKS
from castline.grader.metrics import read_metrics
from castline.grader.report import CheckResult, Report, show

_ALL, _SCORE, _QUIT = "a", "s", "q"


class Session:
    """Makes checks and keeps their latest results.

    Args:
        notes: shows what it waits for, if it is a terminal.
        metrics_wait_s: how long to wait for CloudWatch's numbers.
    """

    def __init__(self, context: Context, notes: Console, metrics_wait_s: float = 0.0) -> None:
        self.checks = CHECKS[context.target.profile]
        self._context = context
        self._notes = notes
        self._metrics_wait_s = metrics_wait_s
        self._started, self._begin = datetime.now(UTC), time.monotonic()
        self._results: dict[int, CheckResult] = {}

    def run(self, numbers: Iterable[int]) -> None:
        """Make these checks, in the order of their numbers. After Ctrl-C, the remaining ones count as errors."""
        asked = set(numbers)
        wanted = [check for check in self.checks if check.number in asked]
        self._results |= {check.number: check.result("error", 0, ["interrupted"]) for check in wanted}
        try:
            for check in wanted:
                with self._notes.status(check.title) as status:
                    self._context.on_progress = lambda load: status.update(str(load))
                    self._results[check.number] = perform(check, self._context)
        except KeyboardInterrupt:
            self._notes.print("interrupted")

    def report(self) -> Report:
        """The results so far, with the functions' metrics."""
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


def run_menu(session: Session, console: Console) -> None:
    """Prompt, check and show, until the user quits or the input ends."""
    numbers = [str(check.number) for check in session.checks]
    for check in session.checks:
        console.print(Text(f"{check.number}  {check.title} ({check.points} points)"))
    console.print(f"{_ALL}  all of them\n{_SCORE}  the score so far\n{_QUIT}  quit", markup=False)
    while True:
        try:
            choice = Prompt.ask("check", console=console, choices=[*numbers, _ALL, _SCORE, _QUIT], default=_SCORE)
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if choice == _QUIT:
            return
        if choice != _SCORE:
            session.run(map(int, numbers) if choice == _ALL else [int(choice)])
        show(console, session.report())
