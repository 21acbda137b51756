"""Temporary folders of a function, and the remains of ended processes."""

from __future__ import annotations

import shutil
from pathlib import Path

#: Prefix of the names of our temporary folders.
SCRATCH = "castline-"


def sweep(folder: Path) -> None:
    """Remove what an earlier process of the same execution environment has left: Lambda ends it in the middle of a
    media file, and hands its ``/tmp`` to the next one."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
