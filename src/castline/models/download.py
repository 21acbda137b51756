"""Downloads model files, and gives up quickly: a hub that does not answer costs under two seconds."""

from __future__ import annotations

import hashlib
import os
import queue
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from castline.errors import ModelCorrupt, ModelNotFound
from castline.models.locate import FACENET_WEIGHTS

Progress = Callable[[int, int | None], None]
"""Called with bytes received so far and the expected total (None when the server does not say)."""

#: Name lookup, connection, TLS, redirects and the answer's head together.
ANSWER_TIMEOUT_S = 1.8
#: Silence in the middle of a body after which a download is given up.
STALL_TIMEOUT_S = 10.0
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """One file that can be fetched.

    Attributes:
        file: its name in the models folder.
        max_bytes: more than this is not the file we asked for.
        sha256: hex digest, or None where it is not pinned.
    """

    title: str
    url: str
    file: str
    max_bytes: int
    sha256: str | None
    licence: str


#: The Whisper that ``fetch`` gets: good English on two cores. Its folder in the models folder has this name.
WHISPER = "faster-whisper-base.en"
#: A revision of the hub's repository is a git commit, so it pins the content of every file.
_WHISPER_REVISION = "3d3d5dee26484f91867d81cb899cfcf72b96be6c"


def _whisper_file(name: str, max_bytes: int) -> Download:
    return Download(
        title="Whisper base.en for CTranslate2",
        url=f"https://huggingface.co/Systran/{WHISPER}/resolve/{_WHISPER_REVISION}/{name}",
        file=f"{WHISPER}/{name}",
        max_bytes=max_bytes,
        sha256=None,
        licence="MIT",
    )


#: What ``fetch`` knows: a file by its engine's id, or the files of a folder as ``<folder>/<file>``. The
#: digest of FaceNet's weights is not from a file downloaded here: it is the one that several unrelated
#: public projects verify this very release asset against.
DOWNLOADS: dict[str, Download] = {
    "facenet-vggface2": Download(
        title="FaceNet InceptionResnetV1, trained on VGGFace2",
        url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
        file=FACENET_WEIGHTS,
        max_bytes=128 * 1024**2,
        sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        licence="MIT (code and conversion); VGGFace2 is a research data set",
    ),
    **{
        f"{WHISPER}/{name}": _whisper_file(name, megabytes * 1024**2)
        for name, megabytes in (("config.json", 1), ("tokenizer.json", 8), ("vocabulary.txt", 4), ("model.bin", 200))
    },
}


def available() -> list[str]:
    """What can be fetched, by name."""
    return sorted({name.partition("/")[0] for name in DOWNLOADS})


def fetch(name: str, models_dir: Path, progress: Progress | None = None) -> Path:
    """Download a model into the models folder; nothing happens when it is there already.

    A file appears whole or not at all: it is written aside, checked, then renamed.

    Args:
        name: a key of ``DOWNLOADS``, or a folder of several.

    Returns:
        Path of the file or folder.

    Raises:
        ModelNotFound: unknown name, or the server does not answer, refuses, or falls silent.
        ModelCorrupt: what came is too large, cut short, or not what the digest says.
    """
    members = [entry for key, entry in DOWNLOADS.items() if key.startswith(f"{name}/")]
    if members:
        for member in members:
            _fetch_file(member, models_dir / member.file, progress)
        return models_dir / name
    entry = DOWNLOADS.get(name)
    if entry is None:
        raise ModelNotFound(f"there is no download for {name!r}; known: {', '.join(available())}")
    return _fetch_file(entry, models_dir / entry.file, progress)


def _fetch_file(entry: Download, target: Path, progress: Progress | None) -> Path:
    if target.is_file():
        return target
    with _open(entry) as response:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary_name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
        temporary = Path(temporary_name)
        try:
            with os.fdopen(handle, "wb") as sink:
                digest = _receive(entry, response, sink.write, progress)
            if entry.sha256 is not None and digest != entry.sha256:
                raise ModelCorrupt(f"{entry.file} from {_host(entry)} is not the file it should be: SHA-256 {digest}")
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def _receive(
    entry: Download, response: HTTPResponse, write: Callable[[bytes], object], progress: Progress | None
) -> str:
    """Copy the body, checking its length; returns its SHA-256."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if total is not None and total > entry.max_bytes:
        raise ModelCorrupt(f"{entry.file} from {_host(entry)} has {total} bytes, over the limit of {entry.max_bytes}")
    digest = hashlib.sha256()
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
        digest.update(chunk)
        write(chunk)
        if progress is not None:
            progress(received, total)
    if total is not None and received < total:
        raise ModelCorrupt(f"{entry.file} from {_host(entry)} was cut short: {received} of {total} bytes")
    return digest.hexdigest()


def _open(entry: Download) -> HTTPResponse:
    """The answer to the request, or an error within ``ANSWER_TIMEOUT_S``.

    A thread makes the request, because a socket's timeout bounds neither the name lookup nor the sum
    over a host's addresses and redirects.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()
    abandoned = threading.Event()

    def request() -> None:
        try:
            # The address is from the table above, not from input.
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
