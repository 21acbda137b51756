"""What earlier runs left in the library of what is asked for now, and what becomes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from castline.cli.connect import Connection, console
from castline.cli.inputs import is_another, refuse_others
from castline.cli.render import transfer_bar
from castline.cli.shown import below, escape
from castline.cli.transfer import upload
from castline.errors import LocalStackError
from castline.keys import is_storable, result_key, sidecar_key
from castline.operations.outdated import Made, made_before, outdated
from castline.operations.pending import missing
from castline.operations.reconcile import Sender
from castline.operations.rerun import forget_run
from castline.records import Source
from castline.runs.request import Request, override, read_source
from castline.runs.sets import run_of

Files = Sequence[tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class _Earlier:
    """Attributes:
    identity: the upload and the sidecar that it is of.
    made: what is kept of it; None if it was discarded.
    """

    identity: str
    made: Made | None


def send(
    files: Files, options: Sequence[bytes | None], local: Connection, *, replace: bool, again: bool
) -> list[Source]:
    """Upload the files, and process those that have no up-to-date result and are not being processed.

    Args:
        options: the sidecar of each file; None for none.
        replace: whether another recording of the same name is replaced.
        again: whether what exists is made again.

    Returns:
        The uploads, in the order of the files.

    Raises:
        OptionsError: another recording has the name of one of them.
        LocalStackError: one is gone again.
    """
    store, config = local.store, local.settings
    if not replace:
        refuse_others(files, store, config)
    # Before anything is sent: with its event, an earlier run of the same options would be published again as it is.
    earlier = [
        None if replace and is_another(path, key, store, config) else _look(key, sidecar, local, again=again)
        for (path, key), sidecar in zip(files, options, strict=True)
    ]
    changed = _forget_flags(files, options, local)
    with transfer_bar(console, "uploading", sum(path.stat().st_size for path, _ in files)) as arrived:
        sent = dict(upload(files, options, store, config, arrived))
    changed |= {key for key, was_sent in sent.items() if was_sent}
    sources = [_source(key, local) for key in sent]
    for source, found in zip(sources, earlier, strict=True):
        _go_on(source, found, local, changed=source.key in changed)
    return sources


def _look(key: str, sidecar: bytes | None, local: Connection, *, again: bool) -> _Earlier | None:
    """Find what was made of an upload with this sidecar, and discard it if it is to be made again."""
    store, config = local.store, local.settings
    there = read_source(config.input_bucket, key, store)
    if there is None:
        return None
    etag = None if sidecar is None else hashlib.md5(sidecar, usedforsecurity=False).hexdigest()
    defaults = config.options()
    asked = defaults if sidecar is None else override(defaults, sidecar, sidecar_key(key))
    request = Request(there.model_copy(update={"sidecar": etag}), asked)
    made = made_before(request, store, config)
    why = "" if made is None else "as asked" if again else outdated(made, request, config)
    if made is None or not why:
        return _Earlier(request.source.identity, made) if made else None
    below(console, f"{escape(key)}: processed again, {escape(why)}")
    runs = {run_of(request, store, config)[0]}
    if made.result:
        runs.add(made.result.run)
        store.delete(config.output_bucket, [result_key(key)])
    for run in runs:
        forget_run(key, run, store, config)
    return _Earlier(request.source.identity, None)


def _forget_flags(files: Files, options: Sequence[bytes | None], local: Connection) -> set[str]:
    """Remove the sidecars that an earlier run's flags left, where this run has no options; returns their media keys.

    A sidecar that goes is announced as one that comes: its media file is processed without it.
    """
    changed = set()
    for (_, key), sidecar in zip(files, options, strict=True):
        name = sidecar_key(key)
        if sidecar is None and is_storable(name) and local.store.head(local.settings.input_bucket, name):
            local.store.delete(local.settings.input_bucket, [name])
            changed.add(key)
            below(console, f"{escape(key)}: the options of an earlier run no longer apply")
    return changed


def _go_on(source: Source, earlier: _Earlier | None, local: Connection, *, changed: bool) -> None:
    """Say what is kept, and send what S3's own events do not begin.

    Args:
        changed: whether something was sent or removed, so that an event is under way.
    """
    found = earlier if earlier and earlier.identity == source.identity else None
    made, name = found.made if found else None, escape(source.key)
    if made and made.result:
        failed = made.result.status == "failed"
        had = "failed before" if failed else "already has its result"
        below(console, f"{name}: {had}; --again {'tries' if failed else 'makes'} it again")
    elif made and made.ended and changed:
        below(console, f"{name}: what an earlier run made with these options is kept; --again makes it again")
    elif made or not changed:
        if made or not found:
            below(console, f"{name}: an earlier run did not finish it; this one continues from there")
        post = Sender(local.client, local.settings)
        for function, event in missing(source, local.store, local.settings):
            post(function, event)


def _source(key: str, local: Connection) -> Source:
    source = read_source(local.settings.input_bucket, key, local.store)
    if source is None:
        raise LocalStackError(f"s3://{local.settings.input_bucket}/{key} vanished while it was being processed")
    return source
