"""Shows a load to people: on the terminal, and as a page."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console
from rich.table import Table

from castline.cli.shown import escape
from castline.display import counted
from castline.workload_generator.load import Load

#: Most rows shown that are not ok; the JSON has all of them.
_SHOWN = 20
_CLOCKS = {
    "local": "upload to result seen (local clock)",
    "server": "object to object (store's clock, ±1 s)",
}


def show(console: Console, load: Load) -> None:
    total, counts, rate = len(load.rows), load.counts, f" at {load.pattern.rate:g}/s"
    console.print(
        f"{counted(total, 'upload')} to [bold]{escape(load.target.input_bucket)}[/] "
        f"({escape(load.target.where)}), {load.target.profile} profile, {load.pattern.name}"
        f"{'' if load.pattern.name == 'burst' else rate}, {load.concurrency} at a time",
        soft_wrap=True,
    )
    failures = [row for row in load.rows if row.status != "ok"]
    for row in failures[:_SHOWN]:
        console.print(f"[red]{row.status}[/] {escape(row.key)}: {escape(row.why or '')}", soft_wrap=True)
    if len(failures) > _SHOWN:
        console.print(f"[red]… and {len(failures) - _SHOWN} more[/]")
    table = Table("latency, s", box=box.SIMPLE, pad_edge=False)
    for clock, seconds in load.latencies.items():
        if seconds and not table.row_count:
            for name in seconds:
                table.add_column(name, justify="right")
        if seconds:
            table.add_row(_CLOCKS[clock], *(f"{value:.2f}" for value in seconds.values()))
    if table.row_count:
        console.print(table)
    ended = ", interrupted" if load.interrupted else ""
    console.print(
        f"results     {counts['ok']} of {total} good, {counts['failed']} failed, {counts['timeout']} timed out{ended}; "
        f"{load.duration_s:.1f} s",
        soft_wrap=True,
    )
    if (per_s := load.throughput_per_s) is not None:
        console.print(f"throughput  {per_s:.2f} results/s ({per_s * 60:.1f} a minute)", soft_wrap=True)
    if load.failed_looks:
        why = f"{len(load.failed_looks)} looks for results failed; the last one: {escape(load.failed_looks[-1])}"
        console.print(f"[yellow]warning[/]     {why}", soft_wrap=True)


def as_page(load: Load) -> bytes:
    """The same as one self-contained HTML file."""
    console = Console(record=True, file=io.StringIO(), width=120, highlight=False)
    show(console, load)
    return console.export_html().encode()
