"""Shows a load to people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from castline.cli.shown import escape
from castline.display import counted
from castline.workload_generator.load import Load

#: Most rows shown that are not ok; the JSON has all of them.
_SHOWN = 20


def show(console: Console, load: Load) -> None:
    rate = "" if load.pattern.name == "burst" else f" at {load.pattern.rate:g}/s"
    failures = [row for row in load.rows if row.status != "ok"]
    lines = [
        f"{counted(len(load.rows), 'upload')} to [bold]{escape(load.target.input_bucket)}[/] "
        f"({escape(load.target.where)}), {load.target.profile} profile, {load.pattern.name}{rate}, "
        f"{load.concurrency} at a time",
        *(f"[red]{row.status}[/] {escape(row.key)}: {escape(row.why or '')}" for row in failures[:_SHOWN]),
    ]
    if len(failures) > _SHOWN:
        lines.append(f"[red]… and {len(failures) - _SHOWN} more[/]")
    console.print("\n".join(lines), soft_wrap=True)
    if seconds := load.latency_s:
        table = Table("latency, s", *seconds, box=box.SIMPLE, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row("upload to result seen", *(f"{value:.2f}" for value in seconds.values()))
        console.print(table)
    counts = load.counts
    lines = [
        f"results     {counts['ok']} of {len(load.rows)} good, {counts['failed']} failed, {counts['timeout']} timed out"
        f"{', interrupted' if load.interrupted else ''}; {load.duration_s:.1f} s"
    ]
    if (per_s := load.throughput_per_s) is not None:
        lines.append(f"throughput  {per_s:.2f} results/s ({per_s * 60:.1f} a minute)")
    if looks := load.failed_looks:
        lines.append(f"[yellow]warning[/]     {len(looks)} looks for results failed; the last one: {escape(looks[-1])}")
    console.print("\n".join(lines), soft_wrap=True)
