"""Downloads model files, and gives up quickly: a hub that does not answer costs less than two seconds."""

from __future__ import annotations

import hashlib
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights.downloads import DOWNLOADS, Download
from castline.weights.whole import whole_file

Progress = Callable[[int, int | None], None]
"""Called with bytes received so far and the expected total (None if the server does not say)."""

#: Name lookup, connection, TLS, redirects and the answer's head together.
ANSWER_TIMEOUT_S = 1.8
#: Silence in the middle of a body after which a download is given up.
STALL_TIMEOUT_S = 10.0
_CHUNK = 256 * 1024


def fetch(
    name: str,
    models_dir: Path,
    progress: Progress | None = None,
    known: Mapping[str, tuple[Download, ...]] = DOWNLOADS,
) -> Path:
    """Download a model into the models folder; existing files are not touched.

    A file appears atomically: it is written under another name, checked, then renamed.

    Args:
        name: a key of ``known``.

    Returns:
        Path of the file, or of the folder of several.

    Raises:
        ModelNotFound: unknown name, or the server does not answer, refuses, or falls silent.
        ModelCorrupt: the data is too large, truncated, or does not match the digest.
    """
    files = known.get(name)
    if files is None:
        raise ModelNotFound(f"there is no download for {name!r}; known: {', '.join(sorted(known))}")
    for entry in files:
        if not (models_dir / entry.file).is_file():
            _fetch_file(entry, models_dir / entry.file, progress)
    return models_dir / (files[0].file if len(files) == 1 else Path(files[0].file).parent)


def repair(
    name: str,
    models_dir: Path,
    progress: Progress | None = None,
    known: Mapping[str, tuple[Download, ...]] = DOWNLOADS,
) -> bool:
    """Download again those files of a model that do not match their digests; the others stay.

    A damaged file is replaced only once its successor is complete.

    Returns:
        Whether there was anything to repair.

    Raises:
        ModelNotFound, ModelCorrupt: as ``fetch``.
    """
    damaged = [
        entry
        for entry in known.get(name, ())
        if (file := models_dir / entry.file).is_file() and digest(file) != entry.sha256
    ]
    for entry in damaged:
        _fetch_file(entry, models_dir / entry.file, progress)
    return bool(damaged)


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _fetch_file(entry: Download, target: Path, progress: Progress | None) -> None:
    with _open(entry) as response, whole_file(target) as temporary:
        with temporary.open("wb") as sink:
            digest = _receive(entry, response, sink.write, progress)
        if digest != entry.sha256:
            raise ModelCorrupt(f"{entry.file} from {_host(entry)} is not the file it should be: SHA-256 {digest}")


def _receive(
    entry: Download, response: HTTPResponse, write: Callable[[bytes], object], progress: Progress | None
) -> str:
    """Copy the body, checking its length; returns its SHA-256."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if total is not None and total > entry.max_bytes:
        raise ModelCorrupt(f"{entry.file} from {_host(entry)} has {total} bytes, over the limit of {entry.max_bytes}")
    checksum = hashlib.sha256()
    received = 0
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, HTTPException) as error:
            raise ModelNotFound(f"{_host(entry)} stopped sending {entry.file} after {received} bytes") from error
        if not chunk:
            break
        received += len(chunk)
        if received > entry.max_bytes:
            raise ModelCorrupt(f"{entry.file} from {_host(entry)} is over the limit of {entry.max_bytes} bytes")
        checksum.update(chunk)
        write(chunk)
        if progress is not None:
            progress(received, total)
    if total is not None and received < total:
        raise ModelCorrupt(f"{entry.file} from {_host(entry)} was cut short: {received} of {total} bytes")
    return checksum.hexdigest()


def _open(entry: Download) -> HTTPResponse:
    """The answer to the request, or an error within ``ANSWER_TIMEOUT_S``.

    A thread makes the request, because a socket's timeout covers neither the name lookup nor the total over a host's
    addresses and redirects.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()
    abandoned = threading.Event()

    def request() -> None:
        try:
            # The address is an engine's declaration, not input.
            response: HTTPResponse = urllib.request.urlopen(entry.url, timeout=STALL_TIMEOUT_S)  # noqa: S310
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            answers.put(error)
            return
        answers.put(response)
        if abandoned.is_set():
            response.close()

    threading.Thread(target=request, name="fetch", daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_TIMEOUT_S)
    except queue.Empty:
        abandoned.set()
        raise ModelNotFound(f"{_host(entry)} did not answer within {ANSWER_TIMEOUT_S} s ({entry.title})") from None
    if isinstance(answer, urllib.error.HTTPError):
        raise ModelNotFound(f"{_host(entry)} answered {answer.code} to the request for {entry.file}") from answer
    if isinstance(answer, Exception):
        reason = answer.reason if isinstance(answer, urllib.error.URLError) else answer
        raise ModelNotFound(f"{_host(entry)} cannot be reached ({entry.title}): {reason}") from answer
    return answer


def _host(entry: Download) -> str:
    return entry.url.split("/")[2]
