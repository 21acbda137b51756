"""The command line of a module that writes one net from one file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path


def convert_command(
    module: str, doc: str | None, convert: Callable[[Path, Path], object], arguments: Sequence[str] | None
) -> None:
    """Run ``python -m module source target``.

    Args:
        doc: what ``--help`` says.
        convert: writes the target from the source.
        arguments: instead of the process's.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    convert(options.source, options.target)
