"""Commands of the everyday: run, up, down, upload, status, results, doctor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from castline import keys
from castline.cli.asked import Flags, takes_options
from castline.cli.connect import Connection, connect, console, friendly_errors, refuse_classic, tell
from castline.cli.render import STATE_STYLE, print_result, relative, show_left_out, transfer_bar, watch
from castline.cli.run import run_media
from castline.cli.shown import escape
from castline.cli.transfer import (
    check_names,
    download_media,
    download_result,
    download_results,
    left_out,
    media_files,
    place_of,
    upload,
    write_marker,
)
from castline.errors import KeyLayoutError, UnreadableObject
from castline.operations.progress import Lookout, progress_of
from castline.runs.common import read_result
from castline.runs.request import uploaded_media, uploads_left_out
from castline.settings import settings

Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="S3 endpoint; default: AWS_ENDPOINT_URL, the local stack, or AWS.")
]


@takes_options
def run(
    path: Annotated[Path, typer.Argument(help="A video, a voice note, or a folder of them.")],
    output: Annotated[Path, typer.Option(help="Where results are put.")] = Path("results"),
    slots: Annotated[int, typer.Option(min=1, help="Processes per function.")] = 2,
    gallery: Annotated[Path | None, typer.Option(help="People to know: a folder of photos per name.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Process also what has a result already.")] = False,
    *,
    flags: Flags,
) -> None:
    """Start the stack, process PATH, show the timeline, stop the stack."""
    with friendly_errors():
        raise typer.Exit(run_media(path, output, slots, gallery, flags, again=again))


def up(slots: Annotated[int, typer.Option(min=1, help="Processes per function.")] = 2) -> None:
    """Start the local stack and leave it running; it finishes what a crash left undone."""
    with friendly_errors():
        from castline.local.stack import running_stack, start_detached

        config = settings()
        if running := running_stack(config):
            console.print(f"[green]up[/]  {running.endpoint_url} already")
            return
        with console.status("starting the local stack"):
            stack = start_detached(config, slots)
        console.print(f"[green]up[/]  {stack.endpoint_url}  (upload to s3://{config.input_bucket})")
        console.print("its keys, for the AWS tools and the course's (castline's own commands find them):")
        for name, value in stack.environment.items():
            console.print(f"export {name}={value}", markup=False, soft_wrap=True)


def down() -> None:
    """Stop the local stack; objects stay on disk."""
    with friendly_errors():
        from castline.local.stack import running_stack

        if running := running_stack(settings()):
            running.stop()
            console.print("[green]down[/]")
        else:
            console.print(f"no stack is running in {settings().state_dir}", soft_wrap=True)


@takes_options
def upload_command(
    path: Annotated[Path, typer.Argument(help="A media file, or a folder whose tree becomes the keys.")],
    endpoint_url: Endpoint = None,
    batch: Annotated[bool, typer.Option("--batch", help="Write the marker last: it starts all (BatchMarker).")] = False,
    pattern: Annotated[
        str, typer.Option(help=r"What every key must match, as week\d+/lesson\d+/video\d+\.mp4, or nothing is sent.")
    ] = "",
    *,
    flags: Flags,
) -> None:
    """Upload media files to the input bucket. A <media>.json beside one goes with it: its options."""
    with friendly_errors():
        files = media_files(path)
        check_names([key for _, key in files], pattern)
        there = connect(endpoint_url)
        console.print(f"to {there.where}", markup=False)
        with transfer_bar(console, sum(file.stat().st_size for file, _ in files)) as (bar, task):
            arrived = partial(bar.update, task)
            sent = skipped = 0
            for key, was_sent in upload(files, flags, there.store, there.settings, lambda size: arrived(advance=size)):
                sent, skipped = sent + was_sent, skipped + (not was_sent)
                already = "" if was_sent else "  (already there)"
                bar.console.print(f"  s3://{there.settings.input_bucket}/{escape(key)}{already}", soft_wrap=True)
        console.print(f"{sent} uploaded, {skipped} already there")
        show_left_out(console, left_out(path))
        if batch:
            console.print(f"  {write_marker(there.store, there.settings)}  starts them", soft_wrap=True)


def status(
    endpoint_url: Endpoint = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until everything is finished.")] = True,
) -> None:
    """Every media file and how far it is; progress bars while work goes on."""
    with friendly_errors():
        there = connect(endpoint_url)
        refuse_classic(there.settings)
        sources = list(uploaded_media(there.store, there.settings))
        look = Lookout(sources, there.store, there.settings)
        shown = watch(console, look) if wait else [progress_of(each, there.store, there.settings) for each in sources]
        show_left_out(console, uploads_left_out(there.store, there.settings))
        if not shown:
            console.print(f"no media in s3://{there.settings.input_bucket}")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("media", "state", "frames", "audio", ""):
            table.add_column(heading, overflow="fold")
        for item in shown:
            style = STATE_STYLE.get(item.state, "cyan")
            why = item.result.error.message if item.result and item.result.error else item.problem
            counts = [f"{done}/{made}" if made else "" for done, made in (item.frames, item.audio)]
            table.add_row(escape(item.media), f"[{style}]{item.state}[/]", *counts, escape(why))
        console.print(table)


def results(
    media: Annotated[str, typer.Argument(help="Key of the media file; with --all, a prefix of keys.")] = "",
    output: Annotated[Path, typer.Option(help="Where results are put.")] = Path("results"),
    everything: Annotated[bool, typer.Option("--all", help="All media below the prefix.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Only download: all below the prefix, side by side.")] = False,
    with_media: Annotated[
        bool, typer.Option("--media", help="Download the media file too: the report plays it.")
    ] = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Show a result and download its files."""
    with friendly_errors():
        there = connect(endpoint_url)
        refuse_classic(there.settings)
        wanted = [media]
        if tree:
            _download_tree(media, output, there)
            return
        if everything:
            wanted = [each.key for each in uploaded_media(there.store, there.settings) if each.key.startswith(media)]
        shown = 0
        for key in wanted:
            result = read_result(key, there.store, there.settings) if key else None
            if result is None:
                continue
            shown += 1
            print_result(console, result)
            try:
                download_result(key, output, there.store, there.settings)
                if with_media:
                    download_media(key, output, there.store, there.settings)
            except (KeyLayoutError, UnreadableObject) as error:
                tell(f"{key}: {error.message}")
                continue
            console.print(f"  report: {escape(relative(place_of(key, output) / keys.REPORT))}", soft_wrap=True)
        if not shown:
            if not (media or everything or tree):
                _list_results(there)
                return
            console.print(f"no result for {escape(media) or 'anything'} yet; see: castline status")
            raise typer.Exit(1)


def _with_results(prefix: str, there: Connection) -> list[str]:
    """Keys of the media files below a prefix that have a result."""
    suffix = f"/{keys.RESULT}"
    listed = there.store.find(there.settings.output_bucket, prefix)
    return [info.key.removesuffix(suffix) for info in listed if info.key.endswith(suffix)]


def _list_results(there: Connection) -> None:
    """Which results there are, where none is named."""
    found = _with_results("", there)
    if not found:
        console.print("no result for anything yet; see: castline status")
        raise typer.Exit(1)
    for key in found:
        console.print(f"  {escape(key)}", soft_wrap=True)
    console.print(f"{len(found)} result(s); castline results KEY shows one, --all downloads all")


def _download_tree(prefix: str, output: Path, there: Connection) -> None:
    keys_found = _with_results(prefix, there)
    if not keys_found:
        console.print(f"no result below {escape(prefix) or 'the bucket'} yet; see: castline status")
        raise typer.Exit(1)
    with Progress(TextColumn("results"), BarColumn(), MofNCompleteColumn(), console=console) as bar:
        task = bar.add_task("", total=len(keys_found))
        files = download_results(keys_found, output, there.store, there.settings, lambda: bar.advance(task), tell)
    console.print(f"{len(files)} results, {sum(files.values())} files in {escape(relative(output))}", soft_wrap=True)


def doctor() -> None:
    """Check this machine: programs, models, disk, the local stack and its wiring."""
    from castline.cli.doctor import examine

    with friendly_errors():
        raise typer.Exit(0 if examine(console) else 1)
