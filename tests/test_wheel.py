"""What ``pip install castline`` gives: a complete wheel, and a command that needs no extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import castline

_CHECKOUT = Path(__file__).resolve().parents[1]


def _run(*argv: object, **environment: str) -> str:
    done = subprocess.run(
        [str(item) for item in argv],
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the files that are or would be committed, because a build leaves folders in its source."""
    source = tmp_path_factory.mktemp("source")
    files = _run("git", "-C", _CHECKOUT, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if name.startswith("src/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((_CHECKOUT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source)
    (built,) = out.iterdir()
    return built


@pytest.mark.slow
def test_the_wheel_contains_the_whole_package_and_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        licences = [archive.read(name).decode() for name in names if ".dist-info/licenses/" in name]
    package = _CHECKOUT / "src" / "castline"
    ours = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert not [str(path) for path in ours if path.relative_to(package.parent).as_posix() not in names]
    assert licences == [(_CHECKOUT / "LICENSE").read_text()]
    fields = metadata.partition("\n\n")[0].splitlines()
    assert f"Version: {castline.__version__}" in fields
    assert "License-Expression: MIT" in fields
    assert "Description-Content-Type: text/markdown" in fields
    assert any(field.startswith("Keywords: ") for field in fields)
    assert "Classifier: Programming Language :: Python :: 3.11" in fields


@pytest.mark.slow
def test_the_command_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=True)
    python, command = folder / "bin" / "python", folder / "bin" / "castline"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--constraint", _CHECKOUT / "constraints.txt", wheel)
    nowhere = {"HOME": str(tmp_path), "PYTHONPATH": "", "CASTLINE_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "100"}
    assert "Who is on screen" in _run(command, "--help", **nowhere)
    assert _run(command, "--version", **nowhere).strip() == castline.__version__
    assert "an hour of media" in _run(command, "cost", "--duration", "1h", **nowhere)
    assert "faster-whisper" in _run(command, "models", "list", **nowhere)
    code = "import castline; print(castline.__file__, *castline.__all__, castline.analyse, sep='\\n')"
    assert str(folder) in _run(python, "-c", code, **nowhere)
    environment = {**os.environ, **nowhere}
    for serves in ((command, "serve"), (folder / "bin" / "castline-transcribe", "http://127.0.0.1:9", "list")):
        done = subprocess.run(list(map(str, serves)), capture_output=True, text=True, timeout=600, env=environment)
        assert done.returncode == 2
        assert "pip install 'castline[analyser,local,service]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1, "one line, and no traceback"
    for asked in (("up",), ("eval", "faces", str(_CHECKOUT / "examples" / "gallery"))):
        done = subprocess.run(
            [str(command), *asked],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, **nowhere},
            check=False,
        )
        assert done.returncode == 2
        assert "pip install 'castline[analyser,local]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1, "one line, and no traceback"


def test_the_command_can_be_imported_without_the_extras() -> None:
    with (_CHECKOUT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert {"analyser", "local"} <= extras.keys()
    blocked = "cv2 onnxruntime faster_whisper ctranslate2 aiohttp yaml hypercorn ministack imageio_ffmpeg jiwer".split()
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import castline.cli, castline.library"
    _run(sys.executable, "-c", code)


def test_the_version_is_declared_in_one_place() -> None:
    with (_CHECKOUT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "castline.__version__"}
    changes = (_CHECKOUT / "CHANGELOG.md").read_text()
    latest = re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)[0]
    assert castline.__version__ == latest
