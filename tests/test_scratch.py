"""What a killed process left in /tmp is deleted when the next one begins, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_FUNCTION = "from castline.handler import handler_for; handler_for(lambda *_: {})"


@pytest.mark.parametrize("on_lambda", [True, False])
def test_a_function_cleans_up_first(tmp_path: Path, on_lambda: bool) -> None:
    (left := tmp_path / "castline-media-x1").mkdir()
    (left / "media.mp4").write_bytes(b"x" * 1000)
    (tmp_path / "models").mkdir()
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "AWS_DEFAULT_REGION": "eu-west-1"}
    if on_lambda:
        environment["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9"
    subprocess.run([sys.executable, "-c", _FUNCTION], env=environment, check=True, timeout=600)
    assert {path.name for path in tmp_path.iterdir()} == {"models"} | (set() if on_lambda else {left.name})


def test_if_the_folder_can_hold_no_file_nothing_is_removed_elsewhere(tmp_path: Path) -> None:
    """Python then chooses another temporary folder: ``/tmp``, or the current one."""
    elsewhere = tmp_path / "elsewhere"
    (others := elsewhere / "castline-of-others").mkdir(parents=True)
    code = f"import tempfile; tempfile.gettempdir = lambda: {str(elsewhere)!r}; {_FUNCTION}"
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path / "full"),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=600)
    assert others.is_dir()
