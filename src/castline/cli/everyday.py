"""Everyday commands: run, up, down, upload, status, results, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from castline import keys
from castline.cli.asked import Flags, sidecars, takes_options
from castline.cli.connect import (
    Connection,
    answer,
    connect,
    console,
    errors,
    friendly_errors,
    local_session,
    print_json,
    refuse_classic,
    say_on_stderr,
    tell,
)
from castline.cli.index import write_index
from castline.cli.inputs import inputs, refuse_others
from castline.cli.plain import AsJson, Endpoint
from castline.cli.render import (
    print_result,
    problem_of,
    progress_table,
    relative,
    show_left_out,
    transfer_bar,
    watch,
)
from castline.cli.run import Asked, run_media
from castline.cli.shown import escape, wrapped
from castline.cli.transfer import (
    check_names,
    download_media,
    download_proxy,
    download_result,
    download_results,
    place_of,
    upload,
    write_marker,
)
from castline.display import counted
from castline.errors import KeyLayoutError, UnreadableObject
from castline.operations.progress import Lookout, MediaProgress, progress_of
from castline.runs.common import read_result, why_no_result
from castline.runs.request import uploaded_media, uploads_left_out
from castline.runs.written import as_shown
from castline.settings import settings

As = Annotated[
    str,
    typer.Option("--as", metavar="KEY", help="Key instead of the file's name; for a folder, what its keys begin with."),
]
Output = Annotated[Path, typer.Option(metavar="DIR", help="Where results are put.")]
Slots = Annotated[int, typer.Option(min=1, help="Worker processes for each function.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace another recording of the same name.")]


@takes_options
def run(
    what: Annotated[
        str, typer.Argument(metavar="PATH", help="A media file, a folder, or an http(s):// or s3:// address.")
    ],
    output: Output = Path("results"),
    slots: Slots = 2,
    gallery: Annotated[
        Path | None, typer.Option(metavar="DIR", help="People to know: in it, a folder of photos per name.")
    ] = None,
    name: As = "",
    replace: Replace = False,
    again: Annotated[bool, typer.Option("--again", help="Also process files that already have a result.")] = False,
    as_json: AsJson = False,
    *,
    flags: Flags,
) -> None:
    """Process media files on this machine and show who is on screen and what is said.

    Exit status 1: not every file ended complete.

    Example: castline run talk.mp4 --gallery people --language en
    """
    with friendly_errors():
        if as_json:
            say_on_stderr()
        raise typer.Exit(run_media(Asked(what, output, slots, gallery, name, replace, again, as_json, flags)))


def up(slots: Slots = 2) -> None:
    """Start the local stack and leave it running; it finishes what a crash left undone."""
    with friendly_errors():
        config = settings()
        with console.status("starting the local stack"):
            _, session = local_session(config, slots, keep="always")
        stack = session.stack
        if not session.started:
            console.print(f"[green]up[/]  {stack.endpoint_url} was running already")
            return
        console.print(f"[green]up[/]  {stack.endpoint_url}  (upload to s3://{config.input_bucket})")
        console.print("its keys, for the AWS tools and the course's (castline's own commands find them):")
        for name, value in stack.environment.items():
            answer.print(f"export {name}={value}", markup=False, soft_wrap=True)


def down() -> None:
    """Stop the local stack; objects stay on disk. One that a command is using stops when that ends."""
    with friendly_errors():
        from castline.local.session import stop_unless_used
        from castline.local.stack import running_stack

        config = settings()
        if not running_stack(config):
            console.print(f"no stack is running in {config.state_dir}", soft_wrap=True)
        elif stop_unless_used(config):
            console.print("[green]down[/]")
        else:
            console.print("another command is using it; it stops when that ends")


@takes_options
def upload_command(
    what: Annotated[
        str, typer.Argument(metavar="PATH", help="A media file, a folder whose tree becomes the keys, or an address.")
    ],
    endpoint_url: Endpoint = None,
    name: As = "",
    replace: Replace = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Write the marker last, which starts all of them (BatchMarker).")
    ] = False,
    pattern: Annotated[
        str,
        typer.Option(
            metavar="REGEX", help=r"A pattern that every key must match, such as week\d+/.+\.mp4, or nothing is sent."
        ),
    ] = "",
    *,
    flags: Flags,
) -> None:
    """Upload media files to the input bucket. A <media>.json beside a file, with its options, goes with it.

    Example: castline upload lectures --as week1 --language de
    """
    with (
        friendly_errors(),
        transfer_bar(console, "fetching") as fetched,
        inputs(what, name, None, settings(), fetched) as given,
    ):
        check_names([key for _, key in given.files], pattern)
        asked = sidecars(given.files, flags, settings())
        there = connect(endpoint_url, work=True, make=True)
        if not replace:
            refuse_others(given.files, there.store, there.settings)
        console.print(f"to {there.where}", markup=False)
        with transfer_bar(console, "uploading", sum(file.stat().st_size for file, _ in given.files)) as arrived:
            sent = skipped = 0
            for key, was_sent in upload(given.files, asked, there.store, there.settings, arrived):
                sent, skipped = sent + was_sent, skipped + (not was_sent)
                already = "" if was_sent else "  (already there)"
                console.print(f"  s3://{there.settings.input_bucket}/{escape(key)}{already}", soft_wrap=True)
        console.print(f"{sent} uploaded, {skipped} already there")
        show_left_out(console, given.left_out)
        if batch:
            console.print(f"  {write_marker(there.store, there.settings)}  starts them", soft_wrap=True)


def status(
    endpoint_url: Endpoint = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show progress until everything is finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the progress of every media file; with --wait, progress bars until all are finished."""
    with friendly_errors():
        if as_json:
            say_on_stderr()
        there = connect(endpoint_url, read=not wait)
        refuse_classic(there.settings)
        sources = list(uploaded_media(there.store, there.settings))
        look = Lookout(sources, there.store, there.settings)
        shown = watch(console, look) if wait else [progress_of(each, there.store, there.settings) for each in sources]
        show_left_out(console, uploads_left_out(there.store, there.settings))
        if as_json:
            print_json([_as_json(item) for item in shown])
        elif shown:
            answer.print(progress_table(shown))
        else:
            console.print(f"no media in s3://{there.settings.input_bucket}")


def _as_json(item: MediaProgress) -> dict[str, object]:
    (frames, frames_made), (audio, audio_made) = item.frames, item.audio
    return {
        "media": item.media,
        "state": item.state,
        "frames": {"done": frames, "made": frames_made},
        "audio": {"done": audio, "made": audio_made},
        "problem": problem_of(item),
    }


def results(
    media: Annotated[
        str, typer.Argument(help="Key of the recording; with --all or --tree, what keys begin with.")
    ] = "",
    output: Output = Path("results"),
    everything: Annotated[bool, typer.Option("--all", help="Show and download all results.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Only download all results, several at a time.")] = False,
    with_media: Annotated[
        bool, typer.Option("--media", help="Download the media file too: the report plays it.")
    ] = False,
    as_json: AsJson = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Show a result and download its files; without a key, list the results.

    Example: castline results talk.mp4 --media
    """
    with friendly_errors():
        if as_json:
            say_on_stderr()
        there = connect(endpoint_url, read=True)
        refuse_classic(there.settings)
        one = bool(media) and not (everything or tree)
        wanted = [media] if one else _with_results(media, there)
        if not wanted and not as_json:
            below = f" below {escape(media)}" if media else ""
            console.print(f"no result{below} yet; see: castline status", soft_wrap=True)
            raise typer.Exit(1)
        if tree:
            _download_tree(wanted, output, there)
        elif one or everything:
            _show_results(wanted, output, there, with_media=with_media, as_json=as_json)
        elif as_json:
            print_json(wanted)
        else:
            _list_results(wanted)


def _show_results(wanted: list[str], output: Path, there: Connection, *, with_media: bool, as_json: bool) -> None:
    found = []
    for key in wanted:
        result = read_result(key, there.store, there.settings)
        if result is None:
            continue
        found.append(result)
        if not as_json:
            print_result(answer, as_shown(result, there.store, there.settings))
        try:
            download_result(key, output, there.store, there.settings)
            if with_media:
                download_media(key, output, there.store, there.settings)
                download_proxy(result, output, there.store, there.settings)
        except (KeyLayoutError, UnreadableObject) as error:
            tell(f"{key}: {error.message}")
            continue
        console.print(f"  report: {escape(relative(place_of(key, output) / keys.REPORT))}", soft_wrap=True)
    if found:
        write_index(output)
    if as_json:
        print_json([result.model_dump(mode="json") for result in found])
    if not found:
        for key in wanted[:1]:
            wrapped(errors, escape(why_no_result(key, there.store, there.settings)))
        raise typer.Exit(1)


def _with_results(prefix: str, there: Connection) -> list[str]:
    """Keys of the media files below a prefix that have a result."""
    suffix = f"/{keys.RESULT}"
    listed = there.store.find(there.settings.output_bucket, prefix)
    return [info.key.removesuffix(suffix) for info in listed if info.key.endswith(suffix)]


def _list_results(found: list[str]) -> None:
    """List the existing results, if none is named."""
    for key in found:
        answer.print(f"  {escape(key)}", soft_wrap=True)
    console.print(f"{counted(len(found), 'result')}; castline results KEY shows one, --all downloads all")


def _download_tree(found: list[str], output: Path, there: Connection) -> None:
    with Progress(TextColumn("results"), BarColumn(), MofNCompleteColumn(), console=console) as bar:
        task = bar.add_task("", total=len(found))
        files = download_results(found, output, there.store, there.settings, lambda: bar.advance(task), tell)
    write_index(output)
    console.print(
        f"{counted(len(files), 'result')}, {counted(sum(files.values()), 'file')} in {escape(relative(output))}",
        soft_wrap=True,
    )


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: programs, models, disk, the local stack and its wiring."""
    from castline.cli.doctor import checks, examine

    with friendly_errors():
        if as_json:
            found = list(checks())
            print_json([{"ok": good, "says": text} for good, text in found])
            raise typer.Exit(0 if all(good for good, _ in found) else 1)
        raise typer.Exit(0 if examine(answer) else 1)
