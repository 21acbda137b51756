"""``castline people``: who is known by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from castline import keys
from castline import people as gallery
from castline.archive.place import names_left
from castline.cli.connect import (
    Connection,
    answer,
    connect,
    console,
    friendly_errors,
    print_json,
    say_left_out,
    say_on_stderr,
    tell,
)
from castline.cli.plain import AsJson, Commands, Endpoint, Media, Yes
from castline.cli.render import clock
from castline.cli.shown import below, escape, wrapped
from castline.display import counted
from castline.engines.process import Engines
from castline.errors import GalleryError, ModelError
from castline.gallery.load import PhotoEmbedder, load_gallery
from castline.operations.forget import forget_person
from castline.recognition.photo import embed_photo
from castline.runs.common import read_result

app = Commands(
    no_args_is_help=True,
    help="Add, name, list, rename, merge, split and forget people; and undo.",
)

_SHOWN = 20  # traces printed of each kind


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The person's name: free text, any script.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos or videos of this one person, or folders of photos.")],
    person: Annotated[int | None, typer.Option(min=1, help="Which of the people in a video is meant.")] = None,
    basis: Annotated[str, typer.Option(help="Why this person may be known: consent of …, contract of ….")] = "",
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol a person by photos or videos, and bind the name in existing results.

    The best five views of a video are kept. Nothing is enrolled unless everything given shows one person; if a video
    shows several, their pictures are written to files, so that one can be chosen with --person.

    Example: castline people add "Ada King" ada.jpg more/photos
    """
    with friendly_errors():
        keys.check_person_name(name)
        files = gallery.photos_in(photos)
        if person and sum(path.suffix.lower() in keys.VIDEO_SUFFIXES for path in files) != 1:
            raise GalleryError("--person chooses among the people in one video: give one video")
        there = connect(endpoint_url, make=True)
        engines, embed = _models(there)
        say_left_out(gallery.left_out(photos))
        pictures: list[gallery.Picture] = []
        for path in files:
            if path.suffix.lower() in keys.VIDEO_SUFFIXES:
                pictures += _pictures_in_video(path, person, there, engines, embed)
            else:
                pictures.append(gallery.picture_of(path, embed))
        gallery.enrol(name, pictures, there.store, there.settings)
        if basis:
            gallery.set_basis(name, basis, there.store, there.settings)
        for picture in pictures:
            remark = f": [yellow]{picture.remark}[/]" if picture.remark else ""
            below(console, f"enrolled {escape(picture.label)}{remark}")
        _tell_results(there, embed)
        # Even without results: everybody's photos are analysed, so that `list` can say which are useless.
        load_gallery(there.store, there.settings.gallery_bucket, embed(pictures[0].body).model, embed)


@app.command("add-voice")
def add_voice(
    name: Annotated[str, typer.Argument(help="The person's name: free text, any script.")],
    source: Annotated[str, typer.Argument(help="A recording of this person alone, or the key of a processed one.")],
    speaker: Annotated[
        str | None, typer.Option(help='For a processed recording, the voice: "Speaker 2", or an id such as speaker-2.')
    ] = None,
    basis: Annotated[str, typer.Option(help="Why this person may be known: consent of …, contract of ….")] = "",
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol a voice, and name it in existing results that were made with --speakers.

    Only a description of the voice, 256 numbers, is kept, not the sound. Forgetting the person covers it.

    Example: castline people add-voice "Ada King" talk.mp4 --speaker "Speaker 2"
    """
    with friendly_errors():
        keys.check_person_name(name)
        if not (speaker or Path(source).is_file()):
            raise GalleryError(f"{source} is not a file here; for a processed recording, name the voice with --speaker")
        there = connect(endpoint_url, make=speaker is None)
        engines, embed = _models(there)
        if speaker:
            voice = gallery.voice_in_recording(source, speaker, there.store, there.settings)
        else:
            with console.status(f"listening to {escape(Path(source).name)}"):
                voice = gallery.voice_in_file(Path(source), there.settings, engines)
        gallery.enrol_voice(name, voice, there.store, there.settings)
        if basis:
            gallery.set_basis(name, basis, there.store, there.settings)
        below(console, f"{voice.voice_s:.1f} s of speech enrolled as the voice of {escape(name)}")
        _tell_results(there, embed)


def _pictures_in_video(
    path: Path, person: int | None, there: Connection, engines: Engines, embed: PhotoEmbedder
) -> list[gallery.Picture]:
    """Pictures of the one person, or of the chosen one.

    Raises:
        GalleryError: there are several people; their pictures are written to files, whose names are printed.
    """
    try:
        with console.status(f"looking for the person in {escape(path.name)}"):
            return gallery.pictures_in_video(path, there.settings, engines, embed, person)
    except gallery.SeveralPeople as several:
        folder = there.settings.state_dir / "people" / path.name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seen in enumerate(several.people, 1):
            picture = folder / f"person-{number}.jpg"
            picture.write_bytes(seen.picture)
            when = f"{clock(seen.start_s)} to {clock(seen.end_s)}"
            below(console, f"--person {number}: {when}, {escape(str(picture))}")
        raise GalleryError(f"{several.message}, or say which of them with --person") from several


@app.command("name")
def name_(
    media: Media,
    person: Annotated[str, typer.Argument(help='Somebody in that result: "Person 2", or an id such as person-2.')],
    name: Annotated[str, typer.Argument(help="The new name.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Enrol somebody by the pictures in a result, and bind the name there and in all other results.

    Example: castline people name talk.mp4 "Person 2" "Ada King"
    """
    with friendly_errors():
        keys.check_person_name(name)
        there = connect(endpoint_url)
        _, embed = _models(there)
        photos = gallery.name_person(media, person, name, there.store, there.settings, embed)
        console.print(f"  {counted(len(photos), 'picture')} of {escape(person)} enrolled as {escape(name)}")
        _tell_results(there, embed)
        result = read_result(media, there.store, there.settings)
        wanted = keys.check_person_name(name)
        if not any(item.name == wanted and item.identity == "known" for item in (result.people if result else ())):
            raise GalleryError(
                f"{wanted!r} is enrolled, but nobody in {media} looks enough like it to be given the name: add clearer "
                "photos (castline people add), or say who it is in this recording alone (castline correct person)"
            )


@app.command("list")
def list_(
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Show who is known, with how many photos, and when the newest was added."""
    with friendly_errors():
        if as_json:
            say_on_stderr()
        there = connect(endpoint_url)
        known = gallery.known_people(there.store, there.settings)
        remarks = _remarks(there)
        if as_json:
            print_json([_as_json(person, remarks) for person in known])
            return
        if not known and not remarks:
            console.print("nobody is known yet; see: castline people add --help")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("name", overflow="fold")
        table.add_column("photos", justify="right")
        table.add_column("newest")
        if voices := any(person.voices for person in known):
            table.add_column("voices", justify="right")
        if bases := any(person.basis for person in known):
            table.add_column("basis", overflow="fold")
        for person in known:
            newest = f"{person.newest:%Y-%m-%d}" if person.newest else "–"
            more = [
                *([str(len(person.voices))] if voices else []),
                *([escape(keys.shown(person.basis))] if bases else []),
            ]
            table.add_row(escape(keys.shown(person.name)), str(len(person.photos)), newest, *more)
        answer.print(table)
        for photo, remark in remarks.items():
            wrapped(console, f"[yellow]{escape(keys.shown(photo))}[/]: {escape(remark)}")


def _as_json(person: gallery.KnownPerson, remarks: Mapping[str, str]) -> dict[str, object]:
    return {
        "name": person.name,
        "photos": [{"key": photo, "remark": remarks.get(photo, "")} for photo in person.photos],
        "newest": person.newest.isoformat() if person.newest else None,
        "basis": person.basis,
        "voices": list(person.voices),
    }


def _remarks(there: Connection) -> dict[str, str]:
    """Remarks about photos, by key; photos that no model has seen yet are analysed first."""
    found = gallery.photo_remarks(there.store, there.settings)
    if gallery.NOT_SEEN in found.values():
        engines, embed = _models(there)
        try:
            with console.status("looking at new photos"):
                load_gallery(there.store, there.settings.gallery_bucket, engines.embedder.info.id, embed)
        except ModelError:  # there is no model here to do it
            return found
        found = gallery.photo_remarks(there.store, there.settings)
    return found


@app.command()
def rename(
    old: Annotated[str, typer.Argument(help="The name until now.")],
    new: Annotated[str, typer.Argument(help="The name from now on.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Give a person a new name, which nobody has yet, in the gallery and in all results."""
    with friendly_errors():
        keys.check_person_name(new)
        there = connect(endpoint_url)
        count = gallery.rename(old, new, there.store, there.settings)
        console.print(f"  renamed to {escape(new)}, with {counted(count, 'photo')}")
        _tell_results(there, _models(there)[1])


@app.command()
def merge(
    into: Annotated[str, typer.Argument(help="The name that stays.")],
    others: Annotated[list[str], typer.Argument(help="Names of the same person to remove.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Merge names of one person, in the gallery and in all results; `castline people undo` separates them again."""
    with friendly_errors():
        keys.check_person_name(into)
        there = connect(endpoint_url)
        count = gallery.merge(into, others, there.store, there.settings)
        console.print(f"  {counted(count, 'photo')} given to {escape(into)}")
        _tell_results(there, _models(there)[1])


@app.command()
def split(
    name: Annotated[str, typer.Argument(help="The person who has photos of somebody else.")],
    into: Annotated[str, typer.Argument(help="The person they show: a new or an existing name.")],
    photos: Annotated[
        list[str],
        typer.Argument(help="The photos: keys as in castline people list --json, or file names."),
    ],
    endpoint_url: Endpoint = None,
) -> None:
    """Give photos of one person to another, in the gallery and in all results, to correct a wrong merge."""
    with friendly_errors():
        keys.check_person_name(into)
        there = connect(endpoint_url)
        name = gallery.called(name, there.store, there.settings)
        theirs = gallery.list_people(there.store, there.settings).get(name, [])
        by_name = {each: key for key in theirs for each in (key, key.rpartition("/")[2])}
        if missing := [photo for photo in photos if photo not in by_name]:
            raise GalleryError(f"{keys.shown(missing[0])} is not a photo of {keys.shown(name)}")
        chosen = [by_name[photo] for photo in photos]
        count = gallery.split(name, chosen, into, there.store, there.settings)
        console.print(f"  {counted(count, 'photo')} of {escape(name)} given to {escape(into)}")
        _tell_results(there, _models(there)[1])


@app.command()
def undo(yes: Yes = False, endpoint_url: Endpoint = None) -> None:
    """Undo the last change to people's photos: adding, naming, renaming, merging, splitting. Run again to undo the
    one before.

    Photos go back to the names they had, or are removed, and results are updated. Forgetting cannot be undone.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        change = gallery.last_change(there.store, there.settings)
        if change is None:
            raise GalleryError("there is nothing to undo")
        if not yes:
            typer.confirm(f"Undo: {change}?", abort=True)
        gallery.undo(there.store, there.settings)
        below(console, f"undone: {escape(str(change))}")
        _tell_results(there, _models(there)[1])


@app.command()
def forget(
    name: Annotated[str, typer.Argument(help="The person's name, as castline people list has it.")],
    yes: Yes = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Remove a person's photos and embeddings, and the name from all results; then prove it.

    Afterwards every key of the gallery and output buckets is listed and everything published is read.
    Exit status 1: the name still occurs somewhere.

    What stays: recordings that show or mention the person, their frames in stage 1 until these expire, and faces that
    are only possible matches, without a name. The removal is recorded below .audit/ in the output bucket, as digests.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        name = gallery.called(name, there.store, there.settings)
        if not yes:
            typer.confirm(f"Forget {keys.shown(name)}: photos, embeddings and the name in every result?", abort=True)
        with console.status("forgetting, and looking for the name"):
            done = forget_person(name, there.store, there.settings, _models(there)[1], who=there.who(), tell=tell)
        faces = f"{counted(done.faces, 'face')} in {counted(done.parts, 'part')}"
        console.print(f"  {counted(done.photos, 'photo')} removed, and {faces}")
        if done.windows:
            console.print(f"  {counted(done.windows, 'moment')} of the voice removed from parts")
        console.print(f"  {counted(done.updated, 'result')} brought up to date")
        if done.unnamed:
            console.print(f"  {counted(done.unnamed, 'result')} whose parts have expired lost the name")
        proof = done.proof
        _print_proof(name, proof, there)
        found = names_left(name, there.place, there.store, there.settings)
        if found:
            console.print(f"  [red]still there[/]: the search index has the name in {counted(found, 'recording')}")
        if proof.left or found:
            raise typer.Exit(1)


def _print_proof(name: str, proof: gallery.Proof, there: Connection) -> None:
    where = f"{there.settings.gallery_bucket} and {there.settings.output_bucket}"
    below(console, f"checked {counted(proof.objects, 'key')} and {counted(proof.files, 'file')} in {where}")
    for title, traces in (
        ("[yellow]spoken or part of a key, left alone[/]", proof.alone),
        ("[red]still there[/]", proof.left),
    ):
        for why, same in groupby(sorted(traces, key=lambda trace: trace.why), key=lambda trace: trace.why):
            places = [trace.where for trace in same]
            console.print(f"  {title} ({why}):")
            for place in places[:_SHOWN]:
                below(console, f"  {escape(keys.shown(place))}")
            if len(places) > _SHOWN:
                console.print(f"    and {len(places) - _SHOWN} more")
    if not proof.left:
        console.print(f"  [green]forgotten[/]: nobody is called {escape(keys.shown(name))} any more")


def _models(there: Connection) -> tuple[Engines, PhotoEmbedder]:
    """The engines, not loaded yet; and a function from photo bytes to embedding, which embeds each photo once."""
    engines = Engines(there.settings)
    return engines, cache(lambda body: embed_photo(body, engines))


def _tell_results(there: Connection, embed: PhotoEmbedder, *, everything: bool = False) -> None:
    with console.status("re-assembling results"):
        written = list(gallery.reassemble(there.store, there.settings, embed, everything=everything, tell=tell))
    console.print(f"  {counted(len(written), 'result')} brought up to date")
