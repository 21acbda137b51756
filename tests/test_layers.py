"""The house is as docs/ARCHITECTURE.md says: import contracts hold, and the table of folders matches the tree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import pytest

import castline
import castline.engines

ROOT = Path(__file__).parents[1]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]


def _rooms() -> set[str]:
    top = (ROOT / "src" / "castline").iterdir()
    return {path.stem for path in top if path.suffix == ".py" or (path / "__init__.py").is_file()} - {
        "__init__",
        "__main__",
    }


def _lint(config: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).parent / "lint-imports"), "--config", str(config), "--no-cache"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_every_room_imports_only_rooms_below_it() -> None:
    done = _lint(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("swap", [("people", "engines"), ("stages", "records"), ("local", "gate")])
def test_the_contract_detects_a_violation(swap: tuple[str, str], tmp_path: Path) -> None:
    """With two rooms exchanged, it is broken."""
    text = (ROOT / "pyproject.toml").read_text()
    exchanged = dict(zip(swap, reversed(swap), strict=True))

    def exchange(block: re.Match[str]) -> str:
        return re.sub(r"\w+", lambda word: exchanged.get(word[0], word[0]), block[0])

    config = tmp_path / "pyproject.toml"
    config.write_text(re.sub(r"(?<=\nlayers = \[)[^\]]*", exchange, text))
    done = _lint(config)
    assert done.returncode == 1, done.stdout
    assert "A room imports only rooms below it BROKEN" in done.stdout


def _public() -> dict[str, str]:
    """The second column of the table of what is public, by the first."""
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page[page.index("## What is public") : page.index("## Seven walks")]
    return {row.split("|")[1].strip(): row.split("|")[2] for row in table.splitlines() if row.startswith("| ")}


@pytest.mark.parametrize(
    ("row", "package"), [("the library", castline), ("engines of other packages", castline.engines)]
)
def test_what_is_public_is_what_the_page_lists(row: str, package: ModuleType) -> None:
    names = re.findall(r"`(\w+)`", _public()[row].partition(f"`{package.__name__}`:")[2])
    assert sorted(names) == sorted(package.__all__)
    assert all(getattr(package, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_the_public_commands_are_the_installed_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(re.findall(r"`(castline[\w-]*)`", _public()["commands"])) == sorted(project["scripts"])
    assert set(project["entry-points"]) == {"castline.engines"}


def _table() -> list[list[str]]:
    """The rooms in each row of the table of folders."""
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page[page.index("## Folders") :]
    rows = [row.split("|")[1] for row in table[: table.index("\n## ")].splitlines() if row.startswith("| `")]
    return [re.findall(r"`(?:src/castline/)?(\w+)(?:/|\.py)`", row) for row in rows]


def test_the_table_of_folders_matches_the_tree() -> None:
    assert sorted(room for row in _table() for room in row) == sorted(_rooms())


def test_the_table_is_in_the_order_of_the_layers() -> None:
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    rank = {room: at for at, layer in enumerate(layers) for room in layer.split(" : ")}
    at = [rank[room] for row in _table() for room in row]
    assert at == sorted(at)


def test_every_hop_of_the_walks_exists() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    walks = page[page.index(" walks\n") :]
    walks = walks[: walks.index("\n## ")]
    for hop in re.findall(r"`([a-z_]+(?:\.\w+)+)`", walks):
        resolve_name(f"castline.{hop}")
    files = re.findall(r"`(functions/\S+\.py)`", walks)
    assert len(files) >= 2
    assert all((ROOT / file).is_file() for file in files)


def test_the_walks_lengths_are_right_and_their_hops_exist() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page[page.index("## How long the walks are") :]
    rows = [line.split(" | ") for line in table[: table.index("\nSo none")].splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 4
    for _, then, now, _ in rows:
        for cell in (then, now):
            said, hops = int(cell.partition(":")[0]), re.split(", | ─ ", cell.partition(": ")[2])
            assert said == len(hops), cell
        for hop in re.findall(r"`([a-z_]+(?:\.\w+)+)`", now):
            resolve_name(f"castline.{hop}")
