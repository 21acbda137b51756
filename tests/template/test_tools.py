"""The tools' own opinion of the template."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, TEMPLATE

SAM = ROOT / ".venv-sam" / "bin" / "sam"
ENVIRONMENT = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}


@pytest.mark.parametrize("template", [TEMPLATE, *sorted((ROOT / "stacks").glob("*.yaml"))], ids=lambda path: path.name)
def test_cfn_lint_is_silent(template: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(template)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.skipif(not SAM.exists(), reason="SAM CLI is not set up here; make .venv-sam/.done does it")
def test_sam_validates() -> None:
    done = subprocess.run(
        [str(SAM), "validate", "--lint", "--template", str(TEMPLATE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
