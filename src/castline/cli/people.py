"""``castline people``: who is known by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from castline import keys
from castline import people as gallery
from castline.cli.connect import Connection, connect, console, friendly_errors, tell
from castline.cli.shown import escape
from castline.errors import GalleryError
from castline.gallery import PhotoEmbedder
from castline.stages.analyse import Engines, embed_photo
from castline.stages.common import read_result

app = typer.Typer(no_args_is_help=True, help="Add, name, list, rename, merge and forget people.")

Endpoint = Annotated[str | None, typer.Option("--endpoint-url", help="S3 endpoint.")]
_SHOWN = 20  # traces printed of each kind


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Free text, any script.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos or videos of this one person, or folders of photos.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol a person by photos or videos, and bind the name in existing results.

    Of a video the best five views are kept. Nothing is enrolled unless all that is given shows one person.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        keys.check_person_name(name)
        engines, embed = _models(there)
        pictures: list[gallery.Picture] = []
        for path in gallery.photos_in(photos):
            if path.suffix.lower() in keys.VIDEO_SUFFIXES:
                with console.status(f"looking for the person in {escape(path.name)}"):
                    pictures += gallery.pictures_in_video(path, there.settings, engines, embed)
            else:
                pictures.append(gallery.picture_of(path, embed))
        gallery.enrol(name, pictures, there.store, there.settings)
        for picture in pictures:
            console.print(f"  enrolled {escape(picture.label)}")
        _tell_results(there, embed)


@app.command("name")
def name_(
    media: Annotated[str, typer.Argument(help="Key of a media that has a result.")],
    person: Annotated[str, typer.Argument(help='Somebody in that result: "Person 2", or an id such as person-2.')],
    name: Annotated[str, typer.Argument(help="The name from now on.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol somebody by the pictures in a result, and bind the name there and in all other results."""
    with friendly_errors():
        there = connect(endpoint_url)
        _, embed = _models(there)
        photos = gallery.name_person(media, person, name, there.store, there.settings, embed)
        console.print(f"  {len(photos)} picture(s) of {escape(person)} enrolled as {escape(name)}")
        _tell_results(there, embed)
        result = read_result(media, there.store, there.settings)
        wanted = keys.check_person_name(name)
        if not any(item.name == wanted and item.identity == "known" for item in (result.people if result else ())):
            raise GalleryError(
                f"{wanted!r} is enrolled, but nobody in {media} could be given the name for sure; add clearer photos"
            )


@app.command("list")
def list_(endpoint_url: Endpoint = None) -> None:
    """Who is known, by how many photos, and since when the newest is there."""
    with friendly_errors():
        there = connect(endpoint_url)
        known = gallery.known_people(there.store, there.settings)
        if not known:
            console.print("nobody is known yet; see: castline people add --help")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("name")
        table.add_column("photos", justify="right")
        table.add_column("newest")
        for person in known:
            newest = f"{person.newest:%Y-%m-%d}" if person.newest else "–"
            table.add_row(escape(person.name), str(len(person.photos)), newest)
        console.print(table)


@app.command()
def rename(old: str, new: str, endpoint_url: Endpoint = None) -> None:
    """Give a person another name, in the gallery and in all results."""
    with friendly_errors():
        there = connect(endpoint_url)
        count = gallery.rename(old, new, there.store, there.settings)
        console.print(f"  {count} photo(s) are now of {escape(new)}")
        _tell_results(there, _models(there)[1])


@app.command()
def merge(
    into: Annotated[str, typer.Argument(help="The name that stays.")],
    others: Annotated[list[str], typer.Argument(help="Names of the same person that go.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Join people who are one person, in the gallery and in all results."""
    with friendly_errors():
        there = connect(endpoint_url)
        count = gallery.merge(into, others, there.store, there.settings)
        console.print(f"  {count} photo(s) are now of {escape(into)}")
        _tell_results(there, _models(there)[1])


@app.command()
def forget(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Remove a person's photos and embeddings, and the name from all results; then prove it.

    Afterwards every key of the gallery and output buckets is listed and everything published is read.
    Exit status 1: the name is still somewhere.

    What stays: media that show or mention the person, the face in their results as "Person n", and the
    parts of their runs, which hold the embeddings of everybody who was seen, without names.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        if not yes:
            typer.confirm(f"Forget {name}: photos, embeddings and the name in every result?", abort=True)
        try:
            count = gallery.forget(name, there.store, there.settings)
        except GalleryError:
            # Somebody was interrupted: the photos are gone, and results may still have the name.
            if not gallery.prove_forgotten(name, there.store, there.settings).left:
                raise
            count = 0
        console.print(f"  {count} photo(s) removed")
        _tell_results(there, _models(there)[1], everything=True)
        with console.status("looking for the name"):
            proof = gallery.prove_forgotten(name, there.store, there.settings)
        _print_proof(name, proof, there)
        if proof.left:
            raise typer.Exit(1)


def _print_proof(name: str, proof: gallery.Proof, there: Connection) -> None:
    where = f"{there.settings.gallery_bucket} and {there.settings.output_bucket}"
    console.print(f"  checked {proof.objects} key(s) and {proof.files} file(s) in {where}", soft_wrap=True)
    for title, traces in (
        ("[yellow]spoken or part of a key, left alone[/]", proof.alone),
        ("[red]still there[/]", proof.left),
    ):
        for trace in traces[:_SHOWN]:
            console.print(f"  {title}: {escape(trace.where)} ({trace.why})", soft_wrap=True)
        if len(traces) > _SHOWN:
            console.print(f"  {title}: {len(traces) - _SHOWN} more")
    if not proof.left:
        console.print(f"  [green]forgotten[/]: nobody is called {escape(name)} any more")


def _models(there: Connection) -> tuple[Engines, PhotoEmbedder]:
    """The engines, not loaded yet; and photo bytes to embedding, each photo once."""
    engines = Engines(there.settings)
    return engines, cache(lambda body: embed_photo(body, engines))


def _tell_results(there: Connection, embed: PhotoEmbedder, *, everything: bool = False) -> None:
    with console.status("re-assembling results"):
        written = list(gallery.reassemble(there.store, there.settings, embed, everything=everything, tell=tell))
    console.print(f"  {len(written)} result(s) brought up to date")
