"""``castline search``: when did Ada say "budget"?"""

from __future__ import annotations

from typing import Annotated

import typer

from castline.archive.index import Index
from castline.archive.moments import Answer, Moment
from castline.archive.place import open_index
from castline.archive.refresh import refresh
from castline.archive.search import MAX_PAGE, PAGE, search
from castline.cli.connect import Connection, connect, console, errors, friendly_errors, refuse_classic
from castline.cli.render import clock
from castline.cli.shown import escape


def search_command(
    query: Annotated[
        list[str], typer.Argument(help='Words, "phrases", person: with: said-by: before: after: file: language:')
    ],
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="How many moments are shown.")] = PAGE,
    after: Annotated[str | None, typer.Option(help="Go on behind this: `next` of the page before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, like GET /search of castline serve.")] = False,
    endpoint_url: Annotated[str | None, typer.Option("--endpoint-url", help="S3 endpoint.")] = None,
) -> None:
    """Find the moments in all recordings in which something is said, or somebody is on screen (docs/ARCHIVE.md)."""
    with friendly_errors():
        there = connect(endpoint_url)
        refuse_classic(there.settings)
        index = fresh_index(there)
        answer = search(index, " ".join(query), limit=limit, after=after)
        if as_json:
            typer.echo(answer.to_json())
            return
        _print(answer)


def fresh_index(there: Connection) -> Index:
    """The index of a deployment, brought to what is published."""
    index = open_index(there.where, there.settings)
    with errors.status("looking for new results") as status:
        refresh(
            index,
            there.store,
            there.settings,
            lambda done, of: status.update(f"reading {of} new result(s): {done}"),
        )
    return index


def _print(answer: Answer) -> None:
    for note in answer.notes:
        console.print(escape(note), soft_wrap=True)
    for hit in answer.hits:
        who = ", ".join(person.name for person in hit.people)
        console.print(f"[bold]{escape(hit.media)}[/] {clock(hit.start_s)}  [dim]{escape(who)}[/]", soft_wrap=True)
        if hit.text:
            console.print(f"  {_marked(hit)}", soft_wrap=True)
    if not answer.hits and not answer.notes:
        console.print("nothing was found")
    if answer.next is not None:
        console.print(f"there are more: --after {answer.next}")


def _marked(hit: Moment) -> str:
    pieces, at = [], 0
    for start, end in hit.marks:
        pieces += [escape(hit.text[at:start]), f"[bold yellow]{escape(hit.text[start:end])}[/]"]
        at = end
    return "".join([*pieces, escape(hit.text[at:])])
