"""How results and progress look in a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from castline.cli.shown import below, escape
from castline.display import counted, some
from castline.operations.progress import MediaProgress
from castline.records import Person, Result, SpokenSegment

STATE_STYLE = {"complete": "green", "partial": "yellow", "failed": "red"}
IDENTITY_STYLE = {"known": "bold green", "ambiguous": "yellow", "unknown": "cyan"}
_POLL_S = 0.4
_SHOWN_MEDIA = 6
_SHOWN_RANGES = 6
_SHOWN_LEFT_OUT = 8
_SHOWN_LINES = 6
_SHOWN_PEOPLE = 8


def clock(seconds: float) -> str:
    """``75.5`` -> ``1:15.5``."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def who(person: Person) -> str:
    """The name as markup, with its certainty."""
    name = f"[{IDENTITY_STYLE[person.identity]}]{escape(person.name)}[/]"
    if person.identity == "ambiguous" and person.candidates:
        return f"{name} [yellow](maybe {escape(person.candidates[0].name)}?)[/]"
    return name


def print_result(console: Console, result: Result) -> None:
    """Print the timeline: people with their ranges, then what is said, by whom, and who is on screen."""
    _print_result(console, result, most=None, rest="")


def print_summary(
    console: Console, result: Result, place: Path, *, brief: bool = False, but: Container[str] = ()
) -> None:
    """Print a result in a few lines, and where the rest of it is.

    Args:
        place: folder of its files.
        but: warnings to leave out.
        brief: for one of many results: only who is on screen, or else the first words.
    """
    if brief:
        _print_heading(console, result, but)
        if people := [who(person) for person in result.people]:
            below(console, some(people, _SHOWN_PEOPLE))
        elif spoken := [segment for segment in result.transcript.segments if not segment.suspect]:
            more = f" … and {counted(len(spoken) - 1, 'more line')}" if len(spoken) > 1 else ""
            below(console, f"{escape(spoken[0].text)}[dim]{more}[/]")
    else:
        _print_result(console, result, most=_SHOWN_LINES, rest=relative(place / "transcript.txt"))


def _print_heading(console: Console, result: Result, but: Container[str] = ()) -> None:
    style = STATE_STYLE[result.status]
    length = f"  {clock(result.duration_s)}" if result.duration_s else ""
    console.print(f"\n[bold]{escape(result.media)}[/]{length}  [{style}]{result.status}[/]")
    if result.error:
        below(console, f"[{style}]{result.error.code}[/]: {escape(result.error.message)}")
    for warning in result.warnings:
        if warning.message not in but:
            below(console, f"[yellow]warning[/]: {escape(warning.message)}")


def _print_result(console: Console, result: Result, most: int | None, rest: str) -> None:
    _print_heading(console, result)
    if result.status == "failed":
        return
    # Who is in unanalysed pictures is unknown.
    missing = {failure.unit.partition("-")[0] for failure in result.failures}
    if result.people:
        console.print(_people(result.people[:most] if most else result.people))
        if most and len(result.people) > most:
            console.print(f"[dim]… and {counted(len(result.people) - most, 'more person', 'more people')}[/]")
    elif result.probe and result.probe.video and "frames" not in missing:
        console.print("  [dim]nobody is on screen[/]")
    spoken = [segment for segment in result.transcript.segments if not segment.suspect]
    if spoken:
        console.print(_words(spoken[:most] if most else spoken))
        if most and len(spoken) > most:
            console.print(f"[dim]… and {counted(len(spoken) - most, 'more line')}: {escape(rest)}[/]", soft_wrap=True)
    elif result.probe and result.probe.audio and "audio" not in missing:
        console.print("  [dim]nothing is said[/]")
    _print_used(console, result)


def _people(people: Sequence[Person]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="who is on screen", title_justify="left", title_style="dim")
    table.add_column("", overflow="fold", min_width=8)
    table.add_column("confidence", style="dim", no_wrap=True)
    table.add_column("on screen", no_wrap=True)
    table.add_column("when", overflow="fold")
    for person in people:
        ranges = [f"{clock(item.start_s)}-{clock(item.end_s)}" for item in person.ranges]
        more = f" … and {len(ranges) - _SHOWN_RANGES} more" if len(ranges) > _SHOWN_RANGES else ""
        when = ", ".join(ranges[:_SHOWN_RANGES]) + more
        table.add_row(who(person), f"{person.confidence:.2f}", f"{person.on_screen_s:.1f} s", when)
    return table


def _words(spoken: Sequence[SpokenSegment]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="what is said", title_justify="left", title_style="dim")
    table.add_column("", no_wrap=True, style="dim")
    table.add_column("", overflow="fold", ratio=3)
    table.add_column("alone on screen", style="dim", overflow="fold", min_width=14)
    told_apart = any(segment.speaker for segment in spoken)
    for segment in spoken:
        times = f"{clock(segment.start_s)}-{clock(segment.end_s)}"
        text = f"{_says(segment)}: {escape(segment.text)}" if told_apart else escape(segment.text)
        table.add_row(times, text, escape(segment.visible or ""))
    return table


def _says(segment: SpokenSegment) -> str:
    """Who says it, as markup: the name, or what is known of who it is."""
    by = segment.said_by
    if by and by.outcome == "says":
        return f"[{IDENTITY_STYLE['known']}]{escape(by.name or '')}[/]"
    name = f"[{IDENTITY_STYLE['unknown']}]{escape(segment.speaker or 'Unknown')}[/]"
    if by and by.outcome == "maybe":
        return f"{name} [{IDENTITY_STYLE['ambiguous']}](maybe {escape(by.name or '')}?)[/]"
    return f"{name} [dim](off screen)[/]" if by and by.outcome == "off_screen" else name


def _print_used(console: Console, result: Result) -> None:
    """Print the engines that made it, and what it cost."""
    used = ", ".join(f"{role} {name}" for role, name in result.engines.items())
    timings = ", ".join(f"{item.stage} {item.seconds:.1f} s" for item in result.processing.timings)
    cost = result.processing.cost
    if used:
        below(console, f"[dim]made by: {escape(used)}[/]")
    below(
        console,
        f"[dim]run {result.run}; {timings}; on AWS about ${cost.usd:.4f} (prices of {cost.prices_as_of})[/]",
    )


def progress_table(shown: Sequence[MediaProgress]) -> Table:
    """A table of each media file's progress."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("media", overflow="fold", min_width=16)
    for heading in ("state", "frames", "audio"):
        table.add_column(heading, no_wrap=True)
    table.add_column("", overflow="fold")
    for item in shown:
        style = STATE_STYLE.get(item.state, "cyan")
        counts = [f"{done}/{made}" if made else "" for done, made in (item.frames, item.audio)]
        table.add_row(escape(item.media), f"[{style}]{item.state}[/]", *counts, escape(problem_of(item)))
    return table


def problem_of(item: MediaProgress) -> str:
    """Why a media file failed, or what is wrong with it; mostly empty."""
    return item.result.error.message if item.result and item.result.error else item.problem


def watch(
    console: Console,
    look: Callable[[], Sequence[MediaProgress]],
    *,
    timeout_s: float | None = None,
) -> list[MediaProgress]:
    """Show progress bars until everything is finished; if there is no terminal, print a line for each finished file.

    Returns:
        The last state; some files are unfinished if the time ran out.
    """
    overall = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        console=console,
    )
    detail = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    from rich.live import Live

    started = time.monotonic()
    rows: dict[str, TaskID] = {}
    told: set[str] = set()
    with (
        Live(Group(overall, detail), console=console, refresh_per_second=8, transient=True)
        if console.is_terminal
        else contextlib.nullcontext()
    ):
        total = overall.add_task("", total=None)
        while True:
            shown = list(look())
            finished = sum(item.finished for item in shown)
            known = [1.0 if item.finished else item.fraction or 0.0 for item in shown]
            overall.update(
                total,
                completed=sum(known),
                total=len(shown) if any(known) else None,
                description=f"{finished} of {len(shown)} media",
            )
            _show(detail, rows, [item for item in shown if not item.finished][:_SHOWN_MEDIA])
            if not console.is_terminal:
                _tell_finished(console, shown, told, time.monotonic() - started)
            if finished == len(shown) or (timeout_s is not None and time.monotonic() - started > timeout_s):
                return shown
            time.sleep(_POLL_S)


def _tell_finished(console: Console, shown: Sequence[MediaProgress], told: set[str], after_s: float) -> None:
    for item in shown:
        if item.finished and item.media not in told:
            told.add(item.media)
            state = item.state if item.result else "failed"
            below(console, f"{escape(item.media)}: {state} after {after_s:.1f} s")


@contextlib.contextmanager
def transfer_bar(console: Console, what: str = "", total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar of bytes, speed and time left, shown from the first bytes on; yields a function to call as bytes arrive.

    That function takes the number of new bytes, and the total, if it was not known before.
    """
    columns = (
        TextColumn(what),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(what, total=total)

    def arrived(size: int, all_of_it: int | None = total) -> None:
        if console.is_interactive:  # a terminal that cannot erase a line would keep an empty one
            bar.start()
        bar.update(task, advance=size, total=all_of_it)

    try:
        yield arrived
    finally:
        if bar.live.is_started:
            bar.stop()


def _show(detail: Progress, rows: dict[str, TaskID], active: Sequence[MediaProgress]) -> None:
    for gone in rows.keys() - {item.media for item in active}:
        detail.remove_task(rows.pop(gone))
    for item in active:
        if item.media not in rows:
            rows[item.media] = detail.add_task(escape(item.media[-28:]), total=None, note="")
        made = "+" if item.state == "splitting" else ""
        note = (
            f"{item.state}: frames {item.frames[0]}/{item.frames[1]}{made}, audio {item.audio[0]}/{item.audio[1]}{made}"
        )
        fraction = item.fraction
        detail.update(rows[item.media], completed=fraction or 0, total=1 if fraction is not None else None, note=note)


def show_left_out(console: Console, names: Sequence[str]) -> None:
    """Print a line about uploads whose suffix is not that of media, if there are any."""
    if names:
        shown = some([escape(name) for name in names], _SHOWN_LEFT_OUT)
        console.print(f"[yellow]left out[/] (not a media suffix): {shown}", soft_wrap=True)


def relative(path: Path) -> str:
    """A path as a person would type it from the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
