"""preflight and smoke on the real stack, as typed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from castline.cli import account as commands
from castline.cli import connect as connecting
from castline.cli import main

pytestmark = pytest.mark.e2e


@pytest.fixture
def typed(pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(main, "quiet_logs", lambda: None)
    monkeypatch.setattr(commands, "settings", lambda: pipeline.settings)
    monkeypatch.setattr(connecting.console, "_width", 200)
    return lambda *arguments: CliRunner().invoke(main.app, [*arguments, "--local"])


def _names(pipeline) -> list[str]:
    """The local stack's names: it gives both prefixes."""
    return ["--parameter", f"Prefix={pipeline.settings.prefix}", "--parameter", "FunctionPrefix="]


def test_the_demo_passes_and_is_removed_again(typed, pipeline) -> None:
    done = typed("smoke", "--timeout", "600")
    assert done.exit_code == 0, done.output
    assert "complete after" in done.output
    assert "2 people" in done.output
    assert done.output.splitlines()[-1] == "pass"
    settings = pipeline.settings
    for bucket in (settings.input_bucket, settings.stage1_bucket, settings.output_bucket):
        assert list(pipeline.store.find(bucket, "castline-smoke")) == []


def test_preflight_of_the_deployed_stack_finds_no_problem(typed, pipeline) -> None:
    prefix = pipeline.settings.prefix
    done = typed("preflight", "--stack", prefix, *_names(pipeline))
    assert done.exit_code == 0, done.output
    assert f"{prefix} is CREATE_COMPLETE and will be updated" in done.output


def test_preflight_of_another_stack_finds_what_is_there(typed, pipeline) -> None:
    done = typed("preflight", "--stack", "second", *_names(pipeline))
    assert done.exit_code == 1, done.output
    assert "choose another FunctionPrefix" in done.output
    assert "choose another Prefix" in done.output
