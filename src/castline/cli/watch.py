"""``castline watch``: uploads each new file in a folder once, when it is complete.

The folder is polled, because change notification (inotify) misses changes on network file systems and other hosts. A
file is complete when its size and its time have stayed the same for a while; one that changes later is sent again, as
it would be by hand. A journal records what was sent, so that a restart sends nothing twice, and a recording that was
deleted from the library does not come back. Nothing is ever removed from the library here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from castline import keys
from castline.cli.asked import sidecars
from castline.cli.connect import connect, console, friendly_errors, refuse_classic
from castline.cli.plain import Endpoint
from castline.cli.shown import escape
from castline.cli.transfer import download_result, inside, upload
from castline.errors import CastlineError, NotMedia, OptionsError, StorageError
from castline.gate.private import private_folder
from castline.records import Record
from castline.report import WRITERS
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = logging.getLogger(__name__)


class Sent(Record):
    """A journal entry for a file.

    Attributes:
        state: of the file and of its sidecar, when it was sent.
        before: ETag of the result that existed then.
        result: ETag of the result whose views were written beside it; empty if none were yet.
        beside: names of the files that were written beside it.
    """

    state: tuple[int, ...]
    before: str = ""
    result: str = ""
    beside: tuple[str, ...] = ()


#: What was sent, by key.
_JOURNAL = TypeAdapter(dict[str, Sent])


class Watch:
    """A watched folder.

    Args:
        journal: a file; an unreadable one is started again, and files that are already in the bucket are not sent
            again.
        settle_s: seconds that a file must stay unchanged before it counts as complete.
        beside: suffixes of the views that are written beside each file, such as ``srt``.
        results: folder below which all results are written as well.
        clock: returns seconds.
    """

    def __init__(
        self,
        folder: Path,
        store: ObjectStore,
        settings: Settings,
        journal: Path,
        *,
        settle_s: float = 10.0,
        beside: tuple[str, ...] = (),
        results: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._store, self._settings, self._path = folder, store, settings, journal
        self._settle_s, self._beside, self._results, self._clock = settle_s, beside, results, clock
        self._since: dict[str, tuple[tuple[int, ...], float]] = {}
        self._refused: dict[str, tuple[int, ...]] = {}
        self._sent = _read(journal)

    def look(self) -> Iterator[str]:
        """Look once; yields lines for people about what was done."""
        there = dict(self._files())
        for gone in self._since.keys() - there.keys():
            del self._since[gone]
        for key, path in there.items():
            state = _state(path)
            if state is None or self._is_done(key, state):
                continue
            seen, since = self._since.setdefault(key, (state, self._clock()))
            if seen != state:
                self._since[key] = state, self._clock()
            elif self._clock() - since >= self._settle_s:
                yield from self._send(key, path, state)
        yield from self._fetch(there)

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in inside(self._folder, self._results):
            if keys.is_media(path.name) and not path.name.startswith("."):
                yield path.relative_to(self._folder).as_posix(), path

    def _is_done(self, key: str, state: tuple[int, ...]) -> bool:
        sent = self._sent.get(key)
        return bool(sent and sent.state == state) or self._refused.get(key) == state

    def _send(self, key: str, path: Path, state: tuple[int, ...]) -> Iterator[str]:
        for old, sent in self._sent.items():
            if sent.state == state and not (self._folder / old).exists():
                self._sent[key] = self._sent.pop(old)
                self._write()
                yield f"{key}: was {old}, as which the library knows it"
                return
        before = self._store.head(self._settings.output_bucket, keys.result_key(key))
        try:
            keys.check_media_key(key)
            files = [(path, key)]
            ((_, was_sent),) = upload(files, sidecars(files, {}, self._settings), self._store, self._settings)
        except StorageError as error:
            self._since[key] = state, self._clock()
            yield f"{key}: {error.message}; it is tried again"
            return
        except FileNotFoundError:
            return  # it was removed while it was read
        except (CastlineError, OSError) as error:
            self._refused[key] = state
            reason = error.message if isinstance(error, CastlineError) else error.strerror
            yield f"{key}: {reason}"
            return
        if _state(path) != state:
            yield f"{key}: has changed while it was sent; it is sent again when it is whole"
            return
        self._sent[key] = Sent(state=state, before=before.etag if before and was_sent else "")
        self._write()
        yield f"{key}: {'uploaded' if was_sent else 'is already in the library'}"

    def _fetch(self, there: dict[str, Path]) -> Iterator[str]:
        """Fetch results of files that still exist."""
        if not self._beside and not self._results:
            return
        for key in there.keys() & self._sent.keys():
            sent = self._sent[key]
            if sent.result:
                continue
            try:
                found = self._store.head(self._settings.output_bucket, keys.result_key(key))
                if found is None or found.etag == sent.before:
                    continue
                names = tuple(self._put_beside(key, there[key], sent))
                if self._results:
                    download_result(key, self._results, self._store, self._settings)
            except (CastlineError, OSError) as error:
                yield f"{key}: {error.message if isinstance(error, CastlineError) else error}"
                continue
            self._sent[key] = sent.model_copy(update={"result": found.etag, "beside": names})
            self._write()
            where = f", in {', '.join(names)}" if names else ""
            yield f"{key}: has its result{where}"

    def _put_beside(self, key: str, path: Path, sent: Sent) -> Iterator[str]:
        """Write views beside a file, but never over a file of the user's."""
        for kind in self._beside:
            body = self._store.get(self._settings.output_bucket, keys.result_key(key, f"transcript.{kind}"))
            target = path.with_suffix(f".{kind}")
            if body is None or (target.exists() and target.name not in sent.beside and target.read_bytes() != body):
                continue
            draft = target.with_name(f".{target.name}.castline")
            draft.write_bytes(body)
            draft.rename(target)
            yield target.name

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_bytes(_JOURNAL.dump_json(self._sent))
        draft.rename(self._path)


def _read(journal: Path) -> dict[str, Sent]:
    try:
        return _JOURNAL.validate_json(journal.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        logger.warning("the journal %s is begun anew: %s", journal, type(error).__name__)
        return {}


def _state(path: Path) -> tuple[int, ...] | None:
    """A value that changes with a file or its sidecar; None if the file is empty, gone, or unreadable for us."""
    try:
        found = path.stat()
        if not found.st_size or not os.access(path, os.R_OK):
            return None
        state: tuple[int, ...] = (found.st_size, found.st_mtime_ns, found.st_ino)
        with contextlib.suppress(FileNotFoundError):
            beside = path.with_name(keys.sidecar_key(path.name)).stat()
            state = (*state, beside.st_size, beside.st_mtime_ns)
    except OSError:
        return None
    return state


def watch_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder; the tree below it becomes the keys.")],
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Write this view beside each file when it is ready: srt, vtt, txt, …."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write all results below this folder.")
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds that a file must stay unchanged before it counts as complete.")
    ] = 10.0,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 2.0,
    endpoint_url: Endpoint = None,
) -> None:
    """Upload each new file in a folder once, when it is complete, until Ctrl-C.

    More in docs/ARCHIVE.md. Example: castline watch recordings --beside srt
    """
    with friendly_errors():
        if not folder.is_dir():
            raise NotMedia(f"{folder} is not a folder")
        for kind in beside or ():
            if kind not in WRITERS:
                raise OptionsError(f"--beside {kind}: there are {' '.join(WRITERS)}")
        there = connect(endpoint_url, make=True)
        refuse_classic(there.settings)
        place = private_folder(there.settings.state_dir / "watch")
        name = hashlib.sha256(f"{folder.resolve()}\n{there.settings.input_bucket}".encode()).hexdigest()[:16]
        with _alone(place / f"{name}.lock", folder):
            watch = Watch(
                folder, there.store, there.settings, place / f"{name}.json", settle_s=settle,
                beside=tuple(beside or ()), results=results,
            )  # fmt: skip
            console.print(f"watching {escape(str(folder))}, to {escape(there.where)}; Ctrl-C ends", soft_wrap=True)
            while True:
                for line in watch.look():
                    console.print(escape(line), soft_wrap=True)
                time.sleep(every)


@contextlib.contextmanager
def _alone(path: Path, folder: Path) -> Iterator[Any]:
    """
    Raises:
        OptionsError: the folder is watched already.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptionsError(f"{folder} is already being watched") from error
        yield
