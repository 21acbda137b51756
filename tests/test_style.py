"""The code passes ruff; without this test, only those who remember to run it would know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("asked", [["check"], ["format", "--check"]])
def test_ruff_reports_nothing(asked: list[str]) -> None:
    argv = [sys.executable, "-m", "ruff", *asked, "--no-cache", "."]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
