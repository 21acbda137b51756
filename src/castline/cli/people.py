"""``castline people``: who is known by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from castline import people as gallery
from castline.cli.connect import Connection, connect, console, friendly_errors
from castline.stages.analyse import Engines, embed_photo

app = typer.Typer(no_args_is_help=True, help="Add, list, rename and forget people.")

Endpoint = Annotated[str | None, typer.Option("--endpoint-url", help="S3 endpoint.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Free text, any script.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos showing this one person, or folders of them.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol photos of a person, and bind the name in existing results."""
    with friendly_errors():
        there = connect(endpoint_url)
        engines = Engines(there.settings)
        files = gallery.photos_in(photos)
        for path in files:
            gallery.add_photo(name, path, there.store, there.settings, lambda body: embed_photo(body, engines))
            console.print(f"  enrolled {escape(path.name)}")
        _tell_results(there)


@app.command("list")
def list_(endpoint_url: Endpoint = None) -> None:
    """Who is known, and by how many photos."""
    with friendly_errors():
        there = connect(endpoint_url)
        known = gallery.list_people(there.store, there.settings)
        if not known:
            console.print("nobody is known yet; see: castline people add --help")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("name")
        table.add_column("photos", justify="right")
        for name, photos in known.items():
            table.add_row(escape(name), str(len(photos)))
        console.print(table)


@app.command()
def rename(old: str, new: str, endpoint_url: Endpoint = None) -> None:
    """Give a person another name, in the gallery and in all results."""
    with friendly_errors():
        there = connect(endpoint_url)
        count = gallery.rename(old, new, there.store, there.settings)
        console.print(f"  {count} photo(s) are now of {escape(new)}")
        _tell_results(there)


@app.command()
def forget(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Remove a person's photos and embeddings, and the name from all results."""
    with friendly_errors():
        there = connect(endpoint_url)
        if not yes:
            typer.confirm(f"Forget {name}: photos, embeddings and the name in every result?", abort=True)
        count = gallery.forget(name, there.store, there.settings)
        console.print(f"  {count} photo(s) removed")
        _tell_results(there)


def _tell_results(there: Connection) -> None:
    engines = Engines(there.settings)
    with console.status("re-assembling results"):
        count = sum(1 for _ in gallery.reassemble(there.store, there.settings, lambda body: embed_photo(body, engines)))
    console.print(f"  {count} result(s) brought up to date")
