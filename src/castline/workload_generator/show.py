"""What a person sees on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from castline.cli.shown import escape
from castline.workload_generator.clear import Contents
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.report import Latency, LoadReport
from castline.workload_generator.running import Progress as LoadProgress
from castline.workload_generator.sending import Job
from castline.workload_generator.target import Target

console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)

#: Rows that are not ok, shown at most; the report has all of them.
_SHOWN = 20
#: Without a terminal: a line when something happened, but not more often than this, and a sign of life.
_LINE_S, _ALIVE_S = 2.0, 15.0


def beginning(target: Target, jobs: Sequence[Job], pattern: Pattern, concurrency: int) -> None:
    pace = "" if pattern.name == "burst" else f" at {pattern.rate:g}/s"
    console.print(
        f"{count(len(jobs), 'upload')} to [bold]{escape(target.input_bucket)}[/] ({escape(target.where)}), "
        f"{target.profile} profile, {pattern.name}{pace}, {concurrency} at a time",
        soft_wrap=True,
    )


@contextmanager
def progress(total: int) -> Iterator[Callable[[LoadProgress], None]]:
    """A callback for ``run_load``: a bar on a terminal, now and then a line elsewhere."""
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("results", total=total, words="")
        yield lambda state: bar.update(task, completed=state.ok + state.failed, words=_words(state))


class _Lines:
    def __init__(self) -> None:
        self._last: LoadProgress | None = None
        self._printed = time.monotonic()

    def __call__(self, state: LoadProgress) -> None:
        quiet_s = time.monotonic() - self._printed
        news = self._last is None or self._last[:-1] != state[:-1]
        over = state.ok + state.failed == state.total
        if (news and (over or quiet_s >= _LINE_S)) or quiet_s >= _ALIVE_S:
            console.print(f"{state.elapsed_s:.0f} s: {_words(state)}", soft_wrap=True)
            self._last, self._printed = state, time.monotonic()


def report(found: LoadReport) -> None:
    """The outcome, for people."""
    failures = [row for row in found.rows if row.status != "ok"]
    for row in failures[:_SHOWN]:
        console.print(f"[red]{row.status}[/] {escape(row.key)}: {escape(row.why or '')}", soft_wrap=True)
    if len(failures) > _SHOWN:
        console.print(f"[red]… and {len(failures) - _SHOWN} more[/]")
    table = Table("latency, s", box=box.SIMPLE, pad_edge=False)
    for name in ("min", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="right")
    for title, latency in (("upload to result seen (local clock)", found.local),
                           ("object to object (store's clock, ±1 s)", found.server)):  # fmt: skip
        if latency:
            table.add_row(title, *(f"{value:.2f}" for value in numbers(latency)))
    if table.row_count:
        console.print(table)
    for name, words in facts(found):
        console.print(f"{name:<11} {escape(words)}", soft_wrap=True)
    for warning in found.warnings:
        console.print(f"[yellow]warning[/]     {escape(warning)}", soft_wrap=True)


def numbers(latency: Latency) -> tuple[float, ...]:
    """min, p50, p90, p99, max in seconds."""
    return latency.min, latency.p50, latency.p90, latency.p99, latency.max


def facts(found: LoadReport) -> Iterator[tuple[str, str]]:
    """(name, words) of everything about a load but its latencies."""
    ended = ", interrupted" if found.interrupted else ""
    yield (
        "results",
        (
            f"{found.ok} of {found.total} good, {found.failed} failed, {found.timed_out} timed out{ended}; "
            f"{found.duration_s:.1f} s"
        ),
    )
    if found.throughput_per_s is not None:
        yield "throughput", f"{found.throughput_per_s:.2f} results/s ({found.throughput_per_s * 60:.1f} a minute)"
    if found.skew:
        yield (
            "clock skew",
            (
                f"store {found.skew.seconds:+.2f} s ± {found.skew.uncertainty_s:.2f} s against this machine "
                f"({count(found.skew.samples, 'answer')})"
            ),
        )


def contents(target: Target, found: Sequence[Contents]) -> None:
    console.print(f"to be cleared ({escape(target.where)}):", soft_wrap=True)
    for bucket in found:
        console.print(f"  {escape(str(bucket))}", soft_wrap=True)


def cleared(versions: int) -> None:
    console.print(f"cleared {count(versions, 'version')}")


def error(message: str) -> None:
    _errors.print(f"[red]error[/] {escape(message)}", soft_wrap=True)


def _words(state: LoadProgress) -> str:
    failed = f", {state.failed} failed" if state.failed else ""
    return f"{state.sent} of {state.total} uploaded, {count(state.ok, 'result')}{failed}"


def count(number: int, noun: str) -> str:
    """``1 upload``, ``2 uploads``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
