"""Finds what to process (a file, a folder, or an address), and the key under which it is uploaded."""

from __future__ import annotations

import hashlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from castline import keys
from castline.cli.transfer import left_out, media_files
from castline.errors import MediaTooLarge, NotMedia, OptionsError
from castline.settings import Settings
from castline.storage import ObjectStore, S3Store
from castline.storage.multipart import sha256_of

_ANSWER_S = 30.0
_BLOCK = 1 << 20
#: Called with the bytes of each block, and the total, if known.
Arrived = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Attributes:
    files: (file, key).
    left_out: files whose suffix is not that of media.
    """

    files: list[tuple[Path, str]]
    left_out: list[str]


@contextmanager
def inputs(what: str, name: str, output: Path | None, settings: Settings, arrived: Arrived) -> Iterator[Inputs]:
    """Find, or fetch, what to process. Fetched files are removed when the context ends.

    Args:
        what: a path, an http(s) URL, or ``s3://bucket/key``.
        name: the key instead of the file's name; for a folder, what its keys begin with.
        output: the folder of results, which are not inputs even if they are inside the folder.

    Raises:
        NotMedia: it does not exist, or its suffix is not that of media.
        OptionsError: an address of another kind, or one that does not answer.
        MediaTooLarge: more than ``max_bytes``.
        KeyLayoutError: a name that cannot be a key.
    """
    if not what:
        raise OptionsError("no path is given")
    if "://" in what:
        with _fetched(what, name, settings, arrived) as file:
            yield Inputs([file], [])
        return
    path = Path(what)
    found = media_files(path, output)
    if name and path.is_file():
        found = [(path, _named(name))]
    elif name:
        found = [(file, keys.check_media_key(f"{name.rstrip('/')}/{key}")) for file, key in found]
    yield Inputs(found, left_out(path, output))


def refuse_others(files: Sequence[tuple[Path, str]], store: ObjectStore, settings: Settings) -> None:
    """Refuse uploads that would silently replace another recording of the same name.

    Raises:
        OptionsError: another file exists under the key of one of these.
    """
    others = [(path, key) for path, key in files if is_another(path, key, store, settings)]
    if others:
        path, key = others[0]
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        better = f"{path.resolve().parent.name}/{path.name}" if len(files) == 1 else "FOLDER"
        raise OptionsError(
            f"another recording is already called {key}{more}: rename this one "
            f"with --as {better}, or replace that one with --replace"
        )


def is_another(path: Path, key: str, store: ObjectStore, settings: Settings) -> bool:
    """Whether another file was uploaded under this key."""
    there = store.head(settings.input_bucket, key)
    if there is None:
        return False
    if there.size != path.stat().st_size:
        return True
    if there.sha256:
        return there.sha256 != sha256_of(path)
    with path.open("rb") as file:  # uploaded by another tool; an upload in parts has no MD5 to compare with
        return "-" not in there.etag and there.etag != hashlib.file_digest(file, "md5").hexdigest()


def _named(name: str) -> str:
    if not keys.is_media(name):
        raise OptionsError(f"--as {name}: a name needs the suffix of its kind, as {name}.mp4")
    return keys.check_media_key(name)


@contextmanager
def _fetched(address: str, name: str, settings: Settings, arrived: Arrived) -> Iterator[tuple[Path, str]]:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise OptionsError(f"{address} is not an address: {error}") from error
    if parts.scheme not in ("http", "https", "s3"):
        raise OptionsError(f"{parts.scheme}:// is not fetched: give a path, an http(s):// address or s3://bucket/key")
    own = PurePosixPath(unquote(parts.path)).name
    if not name and not keys.is_media(own):
        raise NotMedia(f"{address} does not end in the name of a media file: name it with --as NAME.mp4")
    key = _named(name or own)
    with tempfile.TemporaryDirectory(prefix="castline-") as folder:
        path = Path(folder) / keys.disk_name(PurePosixPath(key).name)
        if parts.scheme == "s3":
            _from_s3(parts.netloc, parts.path.lstrip("/"), path, settings)
        else:
            _from_web(address, path, settings, arrived)
        yield path, key


def _from_s3(bucket: str, key: str, path: Path, settings: Settings) -> None:
    store = S3Store()
    info = store.head(bucket, key)
    if info is None:
        raise NotMedia(f"s3://{bucket}/{key} does not exist")
    _check_size(info.size, settings)
    if not store.download(bucket, info, path):
        raise NotMedia(f"s3://{bucket}/{key} changed while it was fetched")


def _from_web(address: str, path: Path, settings: Settings, arrived: Arrived) -> None:
    try:
        with closing(_opener().open(address, timeout=_ANSWER_S)) as answer, path.open("wb") as file:
            said = answer.headers.get("Content-Length", "")
            total = int(said) if said.isdecimal() else None
            _check_size(total or 0, settings)
            _copy(answer, file, settings, lambda size: arrived(size, total))
            if total is not None and file.tell() != total:
                raise OptionsError(f"{address} ended after {file.tell()} of {total} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        why = " ".join(str(error.reason).split())
        raise OptionsError(f"{address} could not be fetched: {error.code} {why}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise OptionsError(f"{address} could not be fetched: {getattr(error, 'reason', None) or error}") from error


def _opener() -> urllib.request.OpenerDirector:
    """An opener that follows redirects to http(s) only; proxies as in the environment."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _copy(source: Any, target: IO[bytes], settings: Settings, arrived: Callable[[int], None]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
        _check_size(target.tell(), settings)
        arrived(len(block))


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.max_bytes:
        raise MediaTooLarge(f"it has more than {settings.max_bytes / 1e9:.3g} GB (CASTLINE_MAX_BYTES)")
