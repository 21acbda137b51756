"""Writes the metadata of an installed package (name, version, entry points) beside a copy of the code.

    python scripts/metadata.py <folder that holds castline/>

Functions and the image get Castline's code as files; its engines are found through entry points, which are metadata.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def main(target: str) -> None:
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = (Path(target) / "castline" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', code, re.MULTILINE)
    folder = Path(target) / f"{project['name']}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    )
    (folder / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
