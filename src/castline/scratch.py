"""Temporary folders of a function, and what an ended process has left of them."""

from __future__ import annotations

import shutil
from pathlib import Path

#: What the names of our temporary folders begin with.
SCRATCH = "castline-"


def sweep(folder: Path) -> None:
    """Remove what an earlier process of the same execution environment has left: Lambda ends it in the middle of a
    media file, and hands its ``/tmp`` to the next one."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
