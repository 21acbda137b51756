"""Prints what Castline and some of its extras require, one requirement a line, as pyproject.toml declares it.

    python scripts/requirements.py analyser service

Castline itself is not among them: functions and images get its code as files.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(*extras: str) -> list[str]:
    """Sorted, each once.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return sorted({line for lines in declared for line in lines})


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in requirements(*sys.argv[1:])))
