"""``castline eval voices``: measures how well voices are told apart, and whether strangers get names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from castline.cli.connect import answer, check_installed, console, friendly_errors
from castline.cli.measured import progress, table_of, write
from castline.cli.shown import escape
from castline.engines.choose import choices
from castline.engines.plugins import find_engine
from castline.evaluation.strangers import Trials, looks_of, parted, trials
from castline.evaluation.voices import Told, conversations, read_people, told_apart
from castline.records import Record
from castline.settings import settings

_AROUND = (-0.08, -0.06, -0.04, -0.02, 0.0, 0.02)  # offsets from the engine's own threshold
_LIMIT = 0.7


class VoicesReport(Record):
    """Attributes:
    chosen: the threshold with the lowest DER on the half of the people it is chosen on.
    told: error rates by half (``choose``, ``report``), for thresholds around the engine's.
    strangers: those of the half ``report``, at the engine's thresholds.
    """

    engine: str
    people: int
    chosen: float
    told: Mapping[str, tuple[Told, ...]]
    strangers: tuple[Trials, ...]


def voices(
    path: Annotated[Path, typer.Argument(help="A folder with a folder of recordings (wav, flac, ogg) per person.")],
    voice_encoder: Annotated[
        str | None,
        typer.Option(help=f"As CASTLINE_VOICE_ENCODER: {', '.join(choices('voice_encoder'))}; default: settings."),
    ] = None,
    count: Annotated[int, typer.Option("--trials", min=100, help="Impostor trials, at least.")] = 10_000,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")] = None,
) -> None:
    """Measure how well voices are told apart in conversations mixed from recordings, and whether strangers get names.

    The threshold is chosen on every second person, in order of names; the results are those of the others.
    """
    from castline.engines.choose import load_voice_encoder

    with friendly_errors():
        check_installed("onnxruntime", "pyannote.metrics")
        people = read_people(path)
        encoder = load_voice_encoder(
            settings().model_copy(update={"voice_encoder": voice_encoder} if voice_encoder else {})
        )
        engine = find_engine(encoder.info.id)
        limits = [(engine.same_voice or _LIMIT) + more for more in _AROUND]
        choose, report = parted(people)
        with progress("voices") as bar:
            task = bar.add_task("", total=sum(map(len, people.values())))
            looks = looks_of(people, encoder, lambda: bar.advance(task))
        with console.status("telling voices apart"):
            told = {
                half: tuple(told_apart(conversations({name: people[name] for name in names}), encoder, limits))
                for half, names in (("choose", choose), ("report", report))
                if len(names) > 1
            }
        asked = engine.voice_thresholds
        found = trials(looks, report, asked, count=count) if asked else ()
        chosen = min(told["choose"], key=lambda row: row.der).same_voice if "choose" in told else limits[0]
        _print(path.name, len(people), encoder.info.title, chosen, told, found)
        if json:
            done = VoicesReport(engine=encoder.info.id, people=len(people), chosen=chosen, told=told, strangers=found)
            write(json, done)


def _print(
    name: str,
    people: int,
    title: str,
    chosen: float,
    told: Mapping[str, tuple[Told, ...]],
    found: tuple[Trials, ...],
) -> None:
    answer.print(f"[bold]{escape(name)}[/]  {people} people; {escape(title)}\n")
    table = table_of("voices told apart", "threshold", "DER", "JER", "right number of voices")
    for half, rows in told.items():
        for row in rows:
            style = "bold" if row.same_voice == chosen else ""
            table.add_row(half, f"{row.same_voice:.2f}", f"{row.der:.1%}", f"{row.jer:.1%}",
                          f"{row.right} of {row.conversations}", style=style)  # fmt: skip
    answer.print(table)
    if found:
        answer.print()
        table = table_of("strangers' voices", "trials", "named", "maybe", "highest", "right person", "no name")
        for each in found:
            missed = "" if each.frr is None else f"{each.frr:.1%}"
            table.add_row(each.way, str(each.strangers), str(each.named), str(each.maybe), f"{each.highest:.3f}",
                          str(each.own), missed)  # fmt: skip
        answer.print(table)
