"""Files and folders that only their owner can read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from castline.errors import SettingsError

#: For processes that write files of their own: only the owner may access them.
UMASK = 0o077


def private_folder(path: Path) -> Path:
    """Make a folder and its missing parents, or use an existing one, accessible only to its owner (0700).

    An open folder with other files in it is not ours (a home, ``/tmp``, a folder of videos) and keeps its mode: each
    file that we write there is private by itself.

    Raises:
        SettingsError: it cannot be made, or is not a folder; the message names it. Nothing has been changed.
    """
    try:
        return _made(path)
    except OSError as error:
        raise SettingsError(f"the folder {path} cannot be made or closed to others: {error.strerror}") from error


def _made(path: Path) -> Path:
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if not any(path.iterdir()):
        path.chmod(0o700)
    return path


def open_private(path: Path, how: int = os.O_APPEND) -> BinaryIO:
    """Open a file for writing that only its owner may access (0600), even if it existed with another mode.

    Args:
        how: ``os.O_APPEND`` or ``os.O_TRUNC``.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")
