"""``castline run``: the whole pipeline on this machine, from upload to report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castline.cli import transfer
from castline.cli.connect import check_installed, check_writable, console, refuse_classic, say_left_out, tell
from castline.cli.render import print_result, relative, show_left_out, watch
from castline.cli.shown import escape
from castline.cli.transfer import download_result, media_files, place_media, place_of, upload
from castline.engines.process import Engines
from castline.engines.report import prepare
from castline.errors import GalleryError, LocalStackError
from castline.keys import is_storable, result_key, sidecar_key
from castline.operations.outdated import outdated
from castline.operations.progress import Lookout
from castline.operations.rerun import rerun
from castline.people import enrol, left_out, photos_in, picture_of
from castline.recognition.photo import embed_photo
from castline.records import Result, Source
from castline.runs.request import read_source
from castline.runs.sets import finished
from castline.settings import Settings, settings
from castline.storage import S3Store

DEMO_GALLERY = "gallery"  # beside the demo video


@dataclass(frozen=True, slots=True)
class _Local:
    store: S3Store
    settings: Settings
    client: Callable[[str], Any]


def run_media(
    path: Path, output: Path, slots: int, gallery: Path | None, flags: Mapping[str, Any], *, again: bool = False
) -> int:
    """Process a file or folder; print and download the results.

    Args:
        flags: options for all of them, as a sidecar names them.
        again: process also what has a result already.

    Returns:
        Exit status: 0 when every file ended ``complete``, 1 otherwise.
    """
    check_installed("onnxruntime", "cv2", "ministack", "hypercorn")
    config = settings()
    refuse_classic(config)
    files = media_files(path)
    check_writable(output)
    show_left_out(console, transfer.left_out(path))
    console.print(f"[bold]Castline[/]  {len(files)} file(s), engines on this machine:")
    with console.status("preparing models (the first time makes the face nets)") as status:
        lines = prepare(config, lambda done, _: status.update(f"fetching a model: {done / 1e6:.0f} MB"))
    for line in lines:
        console.print(f"  {escape(line)}", soft_wrap=True)
    with _stack(config, slots) as local:
        _enrol(gallery or _demo_gallery(path), local)
        with console.status(f"uploading {len(files)} file(s)"):
            changed = _forget_flags(files, flags, local)
            keys = [key for key, _ in upload(files, flags, local.store, config)]
        sources = _uploaded(keys, local)
        _make_afresh(sources, changed, local, again=again)
        processed = watch(console, Lookout(sources, local.store, config))
        for (source, key), item in zip(files, processed, strict=True):
            if item.result is None:
                tell(f"{key}: {item.problem}")
                continue
            download_result(key, output, local.store, config)
            place_media(source, key, output)
            _show(item.result, output)
    complete = sum(item.state == "complete" for item in processed)
    if len(processed) > 1:
        console.print(f"\n{complete} of {len(processed)} complete")
    return 0 if complete == len(processed) else 1


@contextlib.contextmanager
def _stack(config: Settings, slots: int) -> Iterator[_Local]:
    """The stack that already runs here, or one for the time of this command."""
    from castline.local.stack import LocalStack
    from castline.operations import reconcile

    try:
        running = LocalStack.attach(config)
        console.print(f"  stack: {running.endpoint_url} (already running)")
        yield _Local(S3Store(running.client("s3")), config, running.client)
        return
    except LocalStackError:
        stack = LocalStack(config, slots, prewarm=True)
    with console.status("starting the local stack"):
        stack.start()
    try:
        console.print(f"  stack: {stack.endpoint_url}, {slots} processes per function")
        store = S3Store(stack.client("s3"))
        reconcile(stack.client, store, config)
        yield _Local(store, config, stack.client)
    finally:
        with console.status("stopping the local stack"):
            stack.stop()


def _forget_flags(files: list[tuple[Path, str]], flags: Mapping[str, Any], local: _Local) -> set[str]:
    """Take away the sidecars that the flags of an earlier run left, where now there are none; whose they were."""
    changed = set()
    for path, key in files:
        name = sidecar_key(key)
        if not flags and not path.with_name(sidecar_key(path.name)).is_file() and is_storable(name):
            if local.store.head(local.settings.input_bucket, name) is None:
                continue
            local.store.delete(local.settings.input_bucket, [name])
            changed.add(key)
            console.print(f"  {escape(key)}: the options of an earlier run do not count any more", soft_wrap=True)
    return changed


def _make_afresh(sources: list[Source], changed: set[str], local: _Local, *, again: bool) -> None:
    """Have everything processed again whose result is not what would be made now.

    Args:
        changed: keys whose sidecar went: nobody is told of that by the emulator.
    """
    for source in sources:
        if source.key in changed:
            rerun(source.key, local.client, local.store, local.settings)
            continue
        result = finished(source, local.store, local.settings)
        if result is None:
            continue
        why = "as asked" if again else outdated(result, source, local.store, local.settings)
        name = escape(source.key)
        if why:
            console.print(f"  {name}: processed again, {escape(why)}", soft_wrap=True)
            local.store.delete(local.settings.output_bucket, [result_key(source.key)])
            rerun(source.key, local.client, local.store, local.settings)
        else:
            console.print(f"  {name}: has its result already; --again makes it anew", soft_wrap=True)


def _uploaded(keys: list[str], local: _Local) -> list[Source]:
    found = []
    for key in keys:
        source = read_source(local.settings.input_bucket, key, local.store)
        if source is None:
            raise LocalStackError(f"s3://{local.settings.input_bucket}/{key} vanished while it was processed")
        found.append(source)
    return found


def _demo_gallery(path: Path) -> Path | None:
    """The demo brings its people along."""
    beside = path.parent / DEMO_GALLERY
    return beside if path.name == "demo.mp4" and beside.is_dir() else None


def _enrol(gallery: Path | None, local: _Local) -> None:
    if gallery is None:
        return
    if not gallery.is_dir():
        raise GalleryError(f"{gallery} is not a folder")
    people = sorted(folder for folder in gallery.iterdir() if folder.is_dir())
    if not people:
        raise GalleryError(f"no people in {gallery}: put one folder of photos per name there")
    engines = Engines(local.settings)
    with console.status("enrolling people"):
        for folder in people:
            pictures = [picture_of(path, lambda body: embed_photo(body, engines)) for path in photos_in([folder])]
            enrol(folder.name, pictures, local.store, local.settings)
            say_left_out(left_out([folder]))
    console.print(f"  people known: {escape(', '.join(folder.name for folder in people))}")


def _show(result: Result, output: Path) -> None:
    print_result(console, result)
    console.print(
        f"  [bold]report[/]: {escape(relative(place_of(result.media, output) / 'report.html'))}", soft_wrap=True
    )
