"""Dockerfiles, followed without a container engine, without pip and without a root file system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    """``scripts/<name>.py`` as a module."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


steps = script("image_steps")


class _Sketch(steps.Stage):  # type: ignore[name-defined, misc]
    """Copies files and runs our own scripts; packages from pip and models are missing."""

    def run(self, command: str) -> None:
        for made in re.findall(r"\bmkdir (/\w+)", command):
            self.path(made).mkdir(parents=True)
        if command.startswith("python3 scripts/"):
            here = re.sub(r"(?<=\s)/", f"{self.upper}/", command)
            environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
            subprocess.run(["sh", "-ec", here], cwd=self.path(self.workdir), env=environment, check=True)


def assembled(recipe: Path, folder: Path) -> Path:
    """What this checkout's recipe gives, without packages and models; the stages are left in ``folder``.

    Returns:
        The root of the image.
    """
    steps.build(recipe, folder, "python3", {}, _Sketch)
    return folder / "image"
