"""Copies model files from S3 into the models folder, for deployments whose image holds none.

A file ``SHA256SUMS`` (as ``sha256sum`` writes it) beside the models lists them with their digests; files that it does
not list are not copied. A file appears whole or not at all, and one that is already there and right is left alone, so
the copy may be interrupted and repeated at any time.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from castline.errors import DiskFull, KeyLayoutError, ModelCorrupt, ModelNotFound
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.weights.whole import whole_file

SUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?:\./)?(?P<name>.+)")
_READS = 4  # at once; one connection does not use all of a function's bandwidth


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did: file names that were written, names that were right already, bytes written."""

    written: tuple[str, ...]
    kept: tuple[str, ...]
    size: int


def copy_models(store: ObjectStore, settings: Settings) -> Copied:
    """Make ``settings.models_dir`` hold what SHA256SUMS lists. Other files in it stay.

    Raises:
        ModelNotFound: there is no SHA256SUMS, or a file that it lists is missing.
        ModelCorrupt: SHA256SUMS cannot be read, or a file has another digest.
        KeyLayoutError: a name in it leads out of the folder.
        DiskFull: no room.
        StorageError: S3 refused.
    """
    bucket = settings.model_bucket or settings.gallery_bucket
    wanted = _listed(bucket, store, settings)
    kept = [name for name, digest in wanted.items() if _digest(_inside(settings.models_dir, name)) == digest]
    missing = [name for name in wanted if name not in kept]
    with ThreadPoolExecutor(_READS) as pool:
        sizes = list(pool.map(lambda name: _copy(bucket, name, wanted[name], store, settings), missing))
    return Copied(tuple(missing), tuple(kept), sum(sizes))


def _listed(bucket: str, store: ObjectStore, settings: Settings) -> dict[str, str]:
    key = settings.model_prefix + SUMS
    body = store.get(bucket, key)
    if body is None:
        raise ModelNotFound(f"there is no s3://{bucket}/{key}, which lists the models")
    wanted = {}
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ModelCorrupt(f"s3://{bucket}/{key} is not text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ModelCorrupt(f"s3://{bucket}/{key}, line {number}: not a digest and a name")
        wanted[match["name"]] = match["digest"].lower()
    # A list made with `sha256sum *` in a folder that has an old list names that, too.
    wanted.pop(SUMS, None)
    if not wanted:
        raise ModelCorrupt(f"s3://{bucket}/{key} lists no file")
    return wanted


def _inside(folder: Path, name: str) -> Path:
    """Where a listed file goes; a link inside the folder must not lead out of it either."""
    path = PurePosixPath(name)
    target = folder / path
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or not name.isprintable()
        or not target.resolve().is_relative_to(folder.resolve())
    ):
        raise KeyLayoutError(f"a model file may not be called {name[:100]!r}")
    return target


def _copy(bucket: str, name: str, digest: str, store: ObjectStore, settings: Settings) -> int:
    """Size of the file that was written, bytes."""
    key = settings.model_prefix + name
    info = store.head(bucket, key)
    if info is None:
        raise ModelNotFound(f"there is no s3://{bucket}/{key}, although {SUMS} lists it")
    target = _inside(settings.models_dir, name)
    try:
        with whole_file(target) as temporary:
            if not store.download(bucket, info, temporary):
                raise ModelNotFound(f"s3://{bucket}/{key} was replaced while it was read")
            if (found := _digest(temporary)) != digest:
                raise ModelCorrupt(f"s3://{bucket}/{key} is not the file it should be: SHA-256 {found}")
    except OSError as error:
        raise DiskFull(f"{name} ({info.size / 1e6:.0f} MB) could not be written: {error}") from error
    return info.size


def _digest(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
