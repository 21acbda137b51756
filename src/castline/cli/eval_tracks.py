"""``castline eval tracks``: measures whether people in cut footage get their own names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from castline.cli.connect import answer, friendly_errors
from castline.cli.measured import progress, table_of, write
from castline.cli.shown import escape
from castline.errors import EvaluationError
from castline.evaluation import PhotoFolder, read_dataset
from castline.evaluation.sequences import KINDS, TracksCount
from castline.evaluation.tracks import TracksReport, measure_tracks, read_clips, show, watch
from castline.settings import settings


def tracks(
    path: Annotated[Path, typer.Argument(help="A folder with a folder of photos per person.")],
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A tab-separated table with the columns file and people; paths relative to it."
        ),
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="As CASTLINE_EMBEDDER, e.g. dlib-resnet-v1 or arcface:FILE; default: settings.")
    ] = None,
    orders: Annotated[int, typer.Option(min=1, help="Orders of the photos; each is a sequence.")] = 20,
    enrol: Annotated[int, typer.Option(min=1, help="Photos enrolled of each known person; the others are shown.")] = 5,
    degraded: Annotated[bool, typer.Option(help="Also with small, blurred, compressed and dark photos.")] = True,
    enrolled_as: Annotated[
        str, typer.Option(help="Condition of the enrolled photos: clean, small, blur 3, jpeg 5, dark …")
    ] = "clean",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")] = None,
) -> None:
    """Measure strangers named, wrong names and mixed tracks on cut sequences of labelled photos."""
    from castline.engines.choose import load_detector, load_embedder
    from castline.evaluation.conditions import CONDITIONS

    with friendly_errors():
        data = read_dataset(path)
        if not isinstance(data, PhotoFolder):
            raise EvaluationError("tracks need a folder with a folder of photos per person; pairs name nobody")
        listed = read_clips(clips) if clips else []
        config = settings().model_copy(update={"embedder": embedder} if embedder else {})
        detector, engine = load_detector(config), load_embedder(config)
        conditions = list(CONDITIONS) if degraded else ["clean", "moved"]
        with progress("faces") as bar:
            task = bar.add_task("", total=len(data.photos) * len(conditions) + len(listed))
            shown = show(data, detector, engine, conditions, lambda: bar.advance(task))
            watched = []
            for clip, people in listed:
                watched.append(watch(clip, people, detector, engine, config))
                bar.advance(task)
        with progress("sequences") as bar:
            task = bar.add_task("", total=len(KINDS) * len(shown))
            report = measure_tracks(
                shown,
                engine.info.id,
                detector.info.id,
                orders=orders,
                enrol=enrol,
                enrolled_as=enrolled_as,
                clips=watched,
                done=lambda: bar.advance(task),
            )
        _print(path.name, report)
        if json:
            write(json, report)


def _print(name: str, report: TracksReport) -> None:
    answer.print(
        f"[bold]{escape(name)}[/]  {report.photos} photos of {report.people} people, {report.orders} orders, "
        f"{report.enrol} photos enrolled of each known person; {escape(report.model)}\n",
        soft_wrap=True,
    )
    table = table_of("sequence", "strangers named", "wrong names", "right names", "mixed tracks", "IDSW", "IDF1",
                     "broken", "people", padding=1)  # fmt: skip
    for row in report.counts:
        table.add_row(f"{row.kind} {row.condition}", *_cells(row))
    table.add_row("total", *_cells(report.total), style="bold")
    answer.print(table)
    answer.print(
        "[dim]Each number is out of so many sightings or tracks. Identity switches and IDF1: motmetrics; "
        "broken: shots in two tracks; people: listed, and truly there.[/]"
    )
    if report.clips:
        table = table_of("clip", "sightings", "tracks", "people", "truly")
        for clip in report.clips:
            table.add_row(escape(clip.file), str(clip.sightings), str(clip.tracks), str(clip.people_found),
                          str(clip.people_true))  # fmt: skip
        answer.print()
        answer.print(table)
    if report.not_found:
        lost = ", ".join(f"{condition} {number}" for condition, number in report.not_found.items())
        answer.print(f"\n[dim]photos without a face that dominates, not shown: {lost}[/]", soft_wrap=True)


def _cells(row: TracksCount) -> list[str]:
    right = f"{row.named_right / row.known:.1%}" if row.known else "–"
    return [
        _bad(row.strangers_named, row.strangers),
        _bad(row.wrong_names, row.known),
        right,
        _bad(row.mixed_tracks, row.tracks),
        str(row.identity_switches),
        f"{row.idf1:.1%}",
        str(row.broken_tracks),
        f"{row.people_found}/{row.people_true}",
    ]


def _bad(count: int, total: int) -> str:
    text = f"{count}/{total}"
    return f"[red]{text}[/]" if count else text
