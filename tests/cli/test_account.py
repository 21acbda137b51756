"""preflight, smoke and teardown as typed: whom they ask, what they print, how they exit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from castline.cli import account as commands
from castline.cli import connect as connecting
from castline.cli import main
from castline.cli.account import read_profile
from castline.errors import OptionsError
from castline.operations import preflight, smoke, teardown
from castline.operations.account import Finding, Resource, Stack
from castline.operations.teardown import Leftovers
from castline.settings import Settings

Run = Callable[..., Result]
STACK = Stack("castline", "CREATE_COMPLETE", {}, (Resource("AWS::S3::Bucket", "InputBucket", "acme-input"),))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")

    def invoke(*arguments: str, **more: Any) -> Result:
        for console in (connecting.console, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(main.app, list(arguments), **more)

    return invoke


class Sts:
    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(region, endpoint) of every client that is made for a service."""
    seen: list[tuple[str, str]] = []

    def client(service: str, **how: Any) -> Any:
        seen.append((how.get("region", ""), how.get("endpoint", "")))
        return Sts()

    monkeypatch.setattr("castline.aws.client", client)
    return seen


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _findings(*levels: str) -> Callable[..., Iterator[Finding]]:
    def found(*_: Any, **__: Any) -> Iterator[Finding]:
        for number, level in enumerate(levels):
            yield Finding(level, f"check {number}", "a line [bold]of it[/]")  # type: ignore[arg-type]

    return found


@pytest.mark.parametrize(
    ("levels", "code", "last"),
    [(("ok", "note"), 0, "ready: sam build && sam deploy"), (("ok", "problem"), 1, "not ready: 1 problem")],
)
def test_preflight_exits_as_it_finds(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch, levels: tuple[str, ...], code: int, last: str
) -> None:
    monkeypatch.setattr(preflight, "preflight", _findings(*levels))
    done = run("preflight")
    lines = _plain(done.output).splitlines()
    assert done.exit_code == code
    assert lines[0] == "account 123456789012, us-east-1, stack castline"
    assert "check 0: a line [bold]of it[/]" in lines[1]
    assert lines[-1] == last


@pytest.mark.parametrize(
    ("arguments", "region"),
    [((), "us-east-1"), (("--region", "eu-west-1"), "eu-west-1")],
)
def test_clients_and_answers_are_of_one_region(
    run: Run, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], region: str
) -> None:
    """samconfig.toml says us-east-1 and the environment ap-south-1: sam deploy takes the file's."""
    plans = []

    def found(plan: Any, account: Any) -> Iterator[Finding]:
        plans.append((plan.region, account.region))
        yield from ()

    monkeypatch.setattr(preflight, "preflight", found)
    assert run("preflight", *arguments).exit_code == 0
    assert plans == [(region, region)]
    assert {where for where, _ in asked} == {region}


def test_a_local_stack_is_used_only_on_request(
    run: Run, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def attach(_: Any) -> Any:
        raise AssertionError("nobody asked for the local stack")

    monkeypatch.setattr("castline.local.stack.LocalStack.attach", attach)
    monkeypatch.setattr(preflight, "preflight", _findings("ok"))
    assert run("preflight").exit_code == 0
    monkeypatch.undo()
    monkeypatch.setattr(commands, "settings", lambda: Settings(state_dir=tmp_path))
    done = run("preflight", "--local")
    assert done.exit_code == 2
    assert "no stack is running" in _plain(done.output)


def test_missing_credentials_are_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.aws.has_credentials", lambda: False)
    for command in ("preflight", "smoke", "teardown"):
        done = run(command)
        assert (done.exit_code, "there are no AWS credentials" in _plain(done.output)) == (2, True)


def test_parameters_come_from_the_profile_and_the_command(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def found(plan: Any, _: Any) -> Iterator[Finding]:
        seen.append(plan)
        yield from ()

    monkeypatch.setattr(preflight, "preflight", found)
    assert run("preflight", "--config-env", "classic", "--parameter", "Prefix=mine").exit_code == 0
    (plan,) = seen
    assert (plan.stack, plan.values["PipelineProfile"], plan.buckets[0]) == (
        "castline-classic",
        "classic",
        "mine-input",
    )
    assert plan.functions["face-recognition"].memory_mb == 3008
    done = run("preflight", "--parameter", "Nonsense=1")
    assert (done.exit_code, "no parameter Nonsense" in _plain(done.output)) == (2, True)
    assert run("preflight", "--parameter", "Nonsense").exit_code == 2


def test_every_profile_of_samconfig_is_accepted_by_the_template(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "preflight", _findings())
    for profile in ("default", "classic", "efs", "stepfunctions"):
        done = run("preflight", "--config-env", profile)
        assert done.exit_code == 0, done.output
    assert len({read_profile(name).stack for name in ("default", "classic", "efs", "stepfunctions")}) == 4


def test_an_unreadable_samconfig_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "samconfig.toml"
    file.write_text('[default.deploy.parameters]\nparameter_overrides = "A=1 B=\\"2\\""\nregion = "eu-north-1"\n')
    read = read_profile("default")
    assert (read.values, read.region, read.stack) == ({"A": "1", "B": "2"}, "eu-north-1", "castline")
    with pytest.raises(OptionsError, match="no profile prod"):
        read_profile("prod")
    file.write_text("[default")
    with pytest.raises(OptionsError, match="cannot be read"):
        read_profile("default")


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "require_stack", lambda *_: STACK)
    monkeypatch.setattr(teardown, "leftovers", lambda *_: Leftovers(STACK.resources, {"acme-input": 7}, ()))


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(("level", "code", "last"), [("ok", 0, "pass"), ("problem", 1, "fail: 1 problem")])
def test_smoke_says_pass_or_fail(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch, level: str, code: int, last: str
) -> None:
    monkeypatch.setattr(smoke, "smoke", _findings(level))
    done = run("smoke", "--stack", "castline")
    assert (done.exit_code, _plain(done.output).splitlines()[-1]) == (code, last)
    done = run("smoke", "--media", "nowhere.mp4")
    assert (done.exit_code, "nowhere.mp4 is not there" in _plain(done.output)) == (2, True)


@pytest.mark.usefixtures("deployed")
def test_teardown_asks_for_the_name_and_says_what_goes_and_stays(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    done_to: list[str] = []

    def tear(stack: Stack, *_: Any) -> Iterator[Finding]:
        done_to.append(stack.name)
        yield Finding("ok", "stack", "deleted")

    monkeypatch.setattr(teardown, "teardown", tear)
    refused = run("teardown", input="yes\n")
    assert (refused.exit_code, done_to) == (2, [])
    text = _plain(refused.output)
    assert "bucket acme-input, 7 objects and versions" in text
    assert "SAM's bucket" in text.partition("stays")[2]
    assert "nothing was deleted" in text
    assert (run("teardown", input="castline\n").exit_code, done_to) == (0, ["castline"])
    assert (run("teardown", "--yes").exit_code, done_to) == (0, ["castline"] * 2)
