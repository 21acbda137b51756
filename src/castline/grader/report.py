"""The report of a grading: records, JSON, and the table on a terminal."""

from __future__ import annotations

import json
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from castline.cli.shown import escape
from castline.records import Record

Status = Literal["passed", "partial", "failed", "error"]

_STYLE: dict[Status, str] = {"passed": "green", "partial": "yellow", "failed": "red", "error": "magenta"}


class CheckResult(Record):
    """The result of one check.

    Attributes:
        status: ``error`` if the check could not be made; it then has no points.
        points: 0 to ``out_of``.
        seconds: wall time of the check.
        lines: what was checked and what is wrong, for people; printable, one line each.
    """

    number: int
    title: str
    status: Status
    points: float
    out_of: int
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


class FunctionMetrics(Record):
    """CloudWatch's view of one function; information, not points.

    Attributes:
        invocations: samples of ``Duration``.
        average_ms: of ``Duration``, milliseconds; None without data points.
        concurrency: maximum of ``ConcurrentExecutions``; None without data points.
        note: why something is missing; empty if nothing is.
    """

    function: str
    invocations: int = 0
    average_ms: float | None = None
    concurrency: int | None = None
    note: str = ""

    def __str__(self) -> str:
        """``video-splitting: 100 invocations, average 812 ms, at most 2 at once``."""
        parts = []
        if self.average_ms is not None:
            parts = [f"{self.invocations} invocations", f"average {self.average_ms:.0f} ms"]
        if self.concurrency is not None:
            parts.append(f"at most {self.concurrency} at once")
        if self.note:
            parts.append(self.note)
        return f"{self.function}: {', '.join(parts)}"


class Report(Record):
    """One grading.

    Attributes:
        where: the deployment, for people.
        started: UTC, ISO 8601.
        seconds: wall time of all checks.
        metrics_over: the time the metrics cover, for people.
    """

    profile: Literal["classic", "full"]
    where: str
    started: str
    seconds: float
    checks: tuple[CheckResult, ...]
    metrics: tuple[FunctionMetrics, ...] = ()
    metrics_over: str = ""

    @property
    def points(self) -> float:
        return round(sum(check.points for check in self.checks), 1)

    @property
    def out_of(self) -> int:
        """100 if every check was requested."""
        return sum(check.out_of for check in self.checks)

    @property
    def score(self) -> str:
        """``87 / 100``."""
        return f"{self.points:g} / {self.out_of}"

    @property
    def exit_status(self) -> int:
        """0 all passed; 1 something is wrong; 2 something could not be checked, or nothing was."""
        if not self.checks or any(check.status == "error" for check in self.checks):
            return 2
        return int(any(check.status != "passed" for check in self.checks))


def to_json(report: Report) -> bytes:
    """Indented JSON: the record, preceded by its sums."""
    score = {"points": report.points, "out_of": report.out_of, "exit_status": report.exit_status}
    return json.dumps({"score": score, **report.model_dump(mode="json")}, indent=2, ensure_ascii=False).encode() + b"\n"


def show(console: Console, report: Report) -> None:
    """The table of checks, the metrics, and the score."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title=escape(f"{report.profile} profile, {report.where}"))
    table.add_column("", justify="right")
    table.add_column("check", overflow="fold", ratio=1)
    table.add_column("status")
    table.add_column("points", justify="right", no_wrap=True)
    for check in report.checks:
        cell = "\n".join([f"[bold]{check.title}[/]", *(f"[dim]{escape(line)}[/]" for line in check.lines)])
        status = f"[{_STYLE[check.status]}]{check.status}[/]"
        table.add_row(str(check.number), cell, status, f"{check.points:g} / {check.out_of}")
    console.print(table)
    for item in report.metrics:
        console.print(escape(str(item)), soft_wrap=True)
    if report.metrics:
        console.print(f"[dim]CloudWatch, {report.metrics_over}[/]", soft_wrap=True)
    console.print(f"[bold]score: {report.score}[/]")
