"""What cfn-lint and SAM say about the template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from castline.cli.account import read_profile
from tests.template.conftest import ROOT, TEMPLATE

SAM = ROOT / ".venv-sam" / "bin" / "python"
ENVIRONMENT = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}


TEMPLATES = [TEMPLATE, *sorted((ROOT / "stacks").glob("*.yaml"))]
PROFILES = ("default", "classic", "efs", "stepfunctions")
#: SAM's commands in one process, because importing SAM takes longer than most of what it does: `sam validate` for the
#: templates, and the values with which `sam deploy` would begin, by profile (its own reader of samconfig.toml, its own
#: defaults).
_SAM = """
import inspect, json, sys
from click.testing import CliRunner
from samcli.commands.deploy import command as deploy
from samcli.commands.validate.validate import cli as validate

templates, profiles = json.loads(sys.argv[1])
said, begun, signature = {}, {}, inspect.signature(deploy.do_cli)
for template in templates:
    done = CliRunner().invoke(validate, ["--lint", "--template", template])
    said[template] = [done.exit_code, done.output]
deploy.do_cli = lambda *given: begun.setdefault(profile, dict(signature.bind(*given).arguments))
for profile in profiles:
    done = CliRunner().invoke(deploy.cli, ["--config-env", profile])
    assert done.exit_code == 0, done.output
json.dump([said, begun], sys.stdout)
"""


@pytest.fixture(scope="module")
def sam() -> tuple[dict[str, Any], dict[str, Any]]:
    """By template and by profile: the output of ``_SAM``."""
    if not SAM.exists():
        pytest.skip("SAM CLI is not installed; make .venv-sam/.done installs it")
    done = subprocess.run(
        [str(SAM), "-c", _SAM, json.dumps([list(map(str, TEMPLATES)), PROFILES])],
        capture_output=True,
        text=True,
        timeout=600,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said, begun = json.loads(done.stdout)
    return said, begun


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_cfn_lint_reports_nothing(template: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(template)],
        capture_output=True,
        text=True,
        timeout=600,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_sam_validates(sam: tuple[dict[str, Any], dict[str, Any]], template: Path) -> None:
    code, said = sam[0][str(template)]
    assert (code, "is a valid SAM Template" in said) == (0, True), said


@pytest.mark.parametrize("profile", PROFILES)
def test_sam_deploy_asks_nothing(sam: tuple[dict[str, Any], dict[str, Any]], profile: str) -> None:
    deploy, ours = sam[1][profile], read_profile(profile)
    assert (deploy["guided"], deploy["confirm_changeset"]) == (False, False)
    # Without these it would ask, or stop without an answer.
    assert (deploy["resolve_s3"], deploy["resolve_image_repos"]) == (True, True)
    assert deploy["capabilities"] == ["CAPABILITY_IAM"]
    assert (deploy["stack_name"], deploy["region"]) == (ours.stack, ours.region)
    assert deploy["parameter_overrides"] == ours.values, "preflight reads the file as sam does"
