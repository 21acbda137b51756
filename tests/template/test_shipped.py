"""The contents of the functions' packages."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.template.conftest import ROOT

FOLDERS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_ship_the_versions_that_the_tests_ran_with(folder: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # The image contains its own runtime client, so that it starts the same on every base.
    runtime = {pin for pin in extras["local"] if pin.startswith("awslambdaric==")}
    pins = {*project["dependencies"], *extras["analyser"], *runtime}
    lines = requirements(folder).read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert wanted
    assert wanted <= pins


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_ship_what_importing_the_stages_needs(folder: str) -> None:
    program = (
        "import sys; import castline.doors.webhook, castline.doors.whatsapp, castline.service.run_task\n"
        "import castline.stages, castline.storage, aws_lambda_powertools\n"
        "print(*{name.partition('.')[0] for name, module in list(sys.modules.items())"
        " if 'site-packages' in (getattr(module, '__file__', None) or '')})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    of_module = importlib.metadata.packages_distributions()
    needed = {canonical(of_module[module][0]) for module in done.stdout.split() if module in of_module}
    lines = requirements(folder).read_text().splitlines()
    shipped: set[str] = set()
    waiting = [canonical(line) for line in lines if line and not line.startswith("#")]
    while waiting:
        name = waiting.pop()
        if name not in shipped:
            shipped.add(name)
            wanted = (Requirement(item) for item in importlib.metadata.requires(name) or ())
            waiting += [canonical(item.name) for item in wanted if not item.marker or item.marker.evaluate()]
    assert len(needed) > 5
    # botocore uses certifi if installed; setuptools is imported at the start of every virtual environment.
    assert needed <= shipped | {"castline", "certifi", "setuptools"}


def requirements(folder: str) -> Path:
    """The image has its own requirements; the zip functions share one list."""
    own = ROOT / "functions" / folder / "requirements.txt"
    return own if own.exists() else ROOT / "functions" / "requirements.txt"


def canonical(requirement: str) -> str:
    """The name of a requirement, in the form in which package indexes compare names."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()
