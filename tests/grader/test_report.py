"""The report: sums, exit status, terminal, JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from castline.grader.report import CheckResult, FunctionMetrics, Report, Status, show, to_json

_POINTS: dict[Status, float] = {"passed": 20, "partial": 13.3, "failed": 0, "error": 0}


def _report(*statuses: Status, lines: tuple[str, ...] = ("a line",)) -> Report:
    return Report(
        profile="classic",
        where="[bold]moto[/]",
        started="2026-01-02T03:04:05+00:00",
        seconds=1.5,
        checks=tuple(
            CheckResult(number=n, title=f"check {n}", status=status, points=_POINTS[status], out_of=20, lines=lines)
            for n, status in enumerate(statuses, 1)
        ),
        metrics=(FunctionMetrics(function="video-splitting", note="no data points"),),
        metrics_over="the last hour",
    )


@pytest.mark.parametrize(
    ("statuses", "exit_status", "score"),
    [
        (["passed", "passed"], 0, "40 / 40"),
        (["passed", "partial"], 1, "33.3 / 40"),
        (["failed"], 1, "0 / 20"),
        (["failed", "error", "passed"], 2, "20 / 60"),
        ([], 2, "0 / 0"),
    ],
)
def test_sums_and_exit_status(statuses: list[Status], exit_status: int, score: str) -> None:
    report = _report(*statuses)
    assert (report.exit_status, report.score) == (exit_status, score)


def test_json_has_the_sums_and_the_findings_unchanged() -> None:
    lines = ("Жанна\ufffd [red] & <x>",)
    found = json.loads(to_json(_report("passed", "partial", "error", lines=lines)))
    assert found["score"] == {"points": 33.3, "out_of": 60, "exit_status": 2}
    assert [(check["status"], tuple(check["lines"])) for check in found["checks"]] == [
        ("passed", lines), ("partial", lines), ("error", lines)]  # fmt: skip


def test_the_terminal_shows_names_unchanged() -> None:
    out = io.StringIO()
    show(Console(file=out, width=100), _report("passed", "partial", lines=("[/red] [link=x]Ada",)))
    text = out.getvalue()
    assert "[/red] [link=x]Ada" in text
    assert "[bold]moto[/]" in text
    assert "13.3 / 20" in text
    assert "video-splitting: no data points" in text
    assert text.rstrip().endswith("score: 33.3 / 40")
