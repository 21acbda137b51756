"""How results and progress look in a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from castline.cli.shown import escape
from castline.operations.progress import MediaProgress
from castline.records import Person, Result

STATE_STYLE = {"complete": "green", "partial": "yellow", "failed": "red"}
IDENTITY_STYLE = {"known": "bold green", "ambiguous": "yellow", "unknown": "cyan"}
_POLL_S = 0.4
_SHOWN_MEDIA = 6
_SHOWN_RANGES = 6
_SHOWN_LEFT_OUT = 8


def clock(seconds: float) -> str:
    """``75.5`` -> ``1:15.5``."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def who(person: Person) -> str:
    """Name as markup, with what it is worth."""
    name = f"[{IDENTITY_STYLE[person.identity]}]{escape(person.name)}[/]"
    if person.identity == "ambiguous" and person.candidates:
        return f"{name} [yellow](maybe {escape(person.candidates[0].name)}?)[/]"
    return name


def print_result(console: Console, result: Result) -> None:
    """The timeline: people with their ranges, then what is said and who is seen meanwhile."""
    style = STATE_STYLE[result.status]
    length = f"  {clock(result.duration_s)}" if result.duration_s else ""
    console.print(f"\n[bold]{escape(result.media)}[/]{length}  [{style}]{result.status}[/]")
    if result.error:
        console.print(f"  [{style}]{result.error.code}[/]: {escape(result.error.message)}", soft_wrap=True)
    for warning in result.warnings:
        console.print(f"  [yellow]warning[/]: {escape(warning.message)}", soft_wrap=True)
    if result.status == "failed":
        return
    # Of what was not analysed nobody knows whether anybody is in it.
    missing = {failure.unit.partition("-")[0] for failure in result.failures}
    if result.people:
        table = Table(box=None, padding=(0, 2, 0, 0), title="who is on screen", title_justify="left", title_style="dim")
        for heading in ("", "confidence", "on screen", "when"):
            table.add_column(heading, style="dim" if heading == "confidence" else None)
        for person in result.people:
            ranges = [f"{clock(item.start_s)}-{clock(item.end_s)}" for item in person.ranges]
            more = f" … and {len(ranges) - _SHOWN_RANGES} more" if len(ranges) > _SHOWN_RANGES else ""
            when = ", ".join(ranges[:_SHOWN_RANGES]) + more
            table.add_row(who(person), f"{person.confidence:.2f}", f"{person.on_screen_s:.1f} s", when)
        console.print(table)
    elif result.probe and result.probe.video and "frames" not in missing:
        console.print("  [dim]nobody is on screen[/]")
    spoken = [segment for segment in result.transcript.segments if not segment.suspect]
    if spoken:
        table = Table(box=None, padding=(0, 2, 0, 0), title="what is said", title_justify="left", title_style="dim")
        table.add_column("", no_wrap=True, style="dim")
        table.add_column("")
        table.add_column("seen meanwhile", style="dim")
        for segment in spoken:
            times = f"{clock(segment.start_s)}-{clock(segment.end_s)}"
            table.add_row(times, escape(segment.text), escape(segment.visible or ""))
        console.print(table)
    elif result.probe and result.probe.audio and "audio" not in missing:
        console.print("  [dim]nothing is said[/]")
    cost = result.processing.cost
    console.print(
        f"  [dim]run {result.run}; on AWS about ${cost.usd:.4f} (prices of {cost.prices_as_of}); "
        + ", ".join(f"{item.stage} {item.seconds:.1f} s" for item in result.processing.timings)
        + "[/]"
    )


def watch(
    console: Console,
    look: Callable[[], Sequence[MediaProgress]],
    *,
    timeout_s: float | None = None,
) -> list[MediaProgress]:
    """Progress bars until everything is finished.

    Returns:
        The last look; some files are unfinished if the time ran out.
    """
    overall = Progress(
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    detail = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    from rich.live import Live

    started = time.monotonic()
    rows: dict[str, TaskID] = {}
    with Live(Group(overall, detail), console=console, refresh_per_second=8, transient=True):
        shown: list[MediaProgress] = []
        total = overall.add_task("media", total=None)
        while True:
            shown = list(look())
            finished = sum(item.finished for item in shown)
            overall.update(total, completed=finished, total=len(shown))
            _show(detail, rows, [item for item in shown if not item.finished][:_SHOWN_MEDIA])
            if finished == len(shown) or (timeout_s is not None and time.monotonic() - started > timeout_s):
                return shown
            time.sleep(_POLL_S)


@contextlib.contextmanager
def transfer_bar(console: Console, total: int) -> Iterator[tuple[Progress, TaskID]]:
    """A bar of bytes, speed and time left."""
    columns = (
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield bar, bar.add_task("", total=total)


def _show(detail: Progress, rows: dict[str, TaskID], active: Sequence[MediaProgress]) -> None:
    for gone in rows.keys() - {item.media for item in active}:
        detail.remove_task(rows.pop(gone))
    for item in active:
        if item.media not in rows:
            rows[item.media] = detail.add_task(escape(item.media[-48:]), total=None, note="")
        note = f"{item.state}: frames {item.frames[0]}/{item.frames[1]}, audio {item.audio[0]}/{item.audio[1]}"
        more = "+" if item.state == "splitting" else ""
        total = item.units if item.state == "analysing" else None
        detail.update(rows[item.media], completed=item.done, total=total, note=note + more)


def show_left_out(console: Console, names: Sequence[str]) -> None:
    """One line about uploads that are no media by their suffix; nothing where there are none."""
    if names:
        more = f" and {len(names) - _SHOWN_LEFT_OUT} more" if len(names) > _SHOWN_LEFT_OUT else ""
        shown = ", ".join(map(escape, names[:_SHOWN_LEFT_OUT]))
        console.print(f"[yellow]left out[/], by their suffix no media: {shown}{more}", soft_wrap=True)


def relative(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
