"""``castline search``: when did Ada say "budget"?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from castline.archive.exports import DEFAULT_RATE, export, gather
from castline.archive.index import Index
from castline.archive.moments import Answer, Moment
from castline.archive.place import open_index
from castline.archive.refresh import refresh
from castline.archive.search import PAGE
from castline.cli.connect import Connection, answer, connect, console, errors, friendly_errors, refuse_classic
from castline.cli.plain import Endpoint
from castline.cli.render import clock
from castline.cli.shown import below, escape, wrapped
from castline.display import counted

_MOST = 10_000


def search_command(
    query: Annotated[
        list[str],
        typer.Argument(
            help='Words, "phrases", and person: with: said-by: before: after: file: language: with a value.'
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, max=_MOST, help=f"How many moments; {PAGE}, or all that a --format takes.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Continue after this, which the previous page named.")] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="csv|edl|otio", help="Write a table, or a list of cuts for editing software."),
    ] = "",
    rate: Annotated[str, typer.Option(help="Frames per second of edl and otio: 24, 25, 29.97df, ….")] = DEFAULT_RATE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where --format writes; default: standard output."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON, as GET /search of castline serve does.")
    ] = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Find the moments in all recordings in which something is said, or somebody is on screen.

    More in docs/ARCHIVE.md. Example: castline search 'budget "next year" person:Ada after:2026-03'
    """
    with friendly_errors():
        there = connect(endpoint_url, read=True)
        refuse_classic(there.settings)
        index = fresh_index(there)
        if form:
            _write(export(index, " ".join(query), form, rate, limit), output)
            return
        found = gather(index, " ".join(query), limit or PAGE, after)
        if as_json:
            typer.echo(found.to_json())
            return
        _print(found)


def _write(body: bytes, output: Path | None) -> None:
    if output:
        output.write_bytes(body)
    else:
        typer.echo(body, nl=False)


def fresh_index(there: Connection) -> Index:
    """The index of a deployment, brought up to date with what is published."""
    index = open_index(there.place, there.settings)
    with errors.status("looking for new results") as status:
        refresh(
            index,
            there.store,
            there.settings,
            lambda done, of: status.update(f"reading {counted(of, 'new result')}: {done}"),
        )
    return index


def _print(found: Answer) -> None:
    for note in found.notes:
        wrapped(answer, escape(note))
    for hit in found.hits:
        who = ", ".join(person.name for person in hit.people)
        wrapped(answer, f"[bold]{escape(hit.media)}[/] {clock(hit.start_s)}  [dim]{escape(who)}[/]")
        if hit.text:
            below(answer, _marked(hit))
    if not found.hits and not found.notes:
        console.print("nothing was found")
    if found.next is not None:
        console.print(f"there are more: --after {found.next}")


def _marked(hit: Moment) -> str:
    pieces, at = [], 0
    for start, end in hit.marks:
        pieces += [escape(hit.text[at:start]), f"[bold yellow]{escape(hit.text[start:end])}[/]"]
        at = end
    return "".join([*pieces, escape(hit.text[at:])])
