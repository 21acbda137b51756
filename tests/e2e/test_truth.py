"""``castline run`` follows the present flags, variables and engines, and says in one line what it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

Run = Callable[..., list[str]]


@pytest.fixture
def run(short_clips: list[Path], models_dir: Path, tmp_path: Path) -> Run:
    """The command in its own folder with its own clip; returns its output."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(short_clips[0].read_bytes())

    def run(*flags: str, **variables: str) -> list[str]:
        environment = {**os.environ, "CASTLINE_MODELS_DIR": str(models_dir), "CASTLINE_PORT": "0", "COLUMNS": "200"}
        environment["CASTLINE_STATE_DIR"] = str(tmp_path / "library")
        done = subprocess.run(
            [sys.executable, "-m", "castline", "run", str(clip), *flags],
            cwd=tmp_path,
            env={**environment, "CASTLINE_THREADS": "1", **variables},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout.splitlines()

    return run


def _result(tmp_path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((tmp_path / "results" / "clip.mp4" / "result.json").read_text())
    return found


def test_current_flags_variables_and_engines_count(run: Run, tmp_path: Path) -> None:
    run("--hotword", "zebra")
    first = _result(tmp_path)
    assert first["options"]["hotwords"] == ["zebra"]  # type: ignore[index]

    said = run()  # flags are not remembered
    assert "  clip.mp4: the options of an earlier run no longer apply" in said
    assert _result(tmp_path)["options"]["hotwords"] == []  # type: ignore[index]

    said = run()
    assert "  clip.mp4: already has its result; --again makes it again" in said

    said = run(CASTLINE_INTERVAL_S="2")
    assert "  clip.mp4: processed again, interval_s was 1.0 and is 2.0" in said
    assert _result(tmp_path)["options"]["interval_s"] == 2.0  # type: ignore[index]

    before = _result(tmp_path)
    said = run("--again", CASTLINE_INTERVAL_S="2")
    assert "  clip.mp4: processed again, as asked" in said
    after = _result(tmp_path)
    assert after["run"] == before["run"]
    assert after["people"] == before["people"]
