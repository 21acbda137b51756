"""Commands around a deployment on AWS: preflight, smoke, teardown.

They use AWS even while a local stack is running; ``--local`` selects the local one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from castline import aws
from castline.cli.connect import check_installed, console, friendly_errors
from castline.cli.plain import Yes
from castline.cli.shown import below, escape
from castline.display import counted
from castline.errors import LocalStackError, OptionsError
from castline.operations.account import Finding, Plan, Stack, require_stack
from castline.settings import settings
from castline.storage import S3Store

_SIGNS = {"ok": "[green]ok[/]     ", "note": "[yellow]note[/]   ", "problem": "[red]problem[/]"}
Profile = Annotated[str, typer.Option("--config-env", help="Profile of samconfig.toml, as for sam deploy.")]
Region = Annotated[str, typer.Option(help="AWS region; default: that of samconfig.toml, or of the environment.")]
StackName = Annotated[str, typer.Option("--stack", help="Name of the stack; default: that of samconfig.toml.")]
Local = Annotated[bool, typer.Option("--local", help="Take the stack that runs on this machine, instead of AWS.")]


def preflight_command(
    config_env: Profile = "default",
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="NAME=VALUE", help="A parameter of the template. Repeatable."),
    ] = None,
    stack: StackName = "",
    region: Region = "",
    local: Local = False,
) -> None:
    """Check what would stop `sam deploy` from working in this account, before anything is created.

    Parameters, region and the stack's name are those of samconfig.toml. Changes nothing. Exit status 1: a problem.
    """
    with friendly_errors():
        check_installed("yaml")
        from castline.cli.plan import plan_of
        from castline.operations.preflight import preflight

        profile = read_profile(config_env)
        account = _account(region or profile.region, local)
        plan = plan_of(stack or profile.stack, account, {**profile.values, **_pairs(parameter or [])})
        _head(account, plan.account, plan.stack)
        _show(preflight(plan, account), "ready: sam build && sam deploy")


def smoke_command(
    stack: StackName = "",
    media: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A short video; default: the demo of the checkout.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the answer.")] = 900,
    config_env: Profile = "default",
    region: Region = "",
    local: Local = False,
) -> None:
    """Send one short video through a deployment, say pass or fail, and remove it again.

    Works for the classic profile, too. Exit status 1 means fail.
    """
    with friendly_errors():
        from castline.operations.smoke import smoke

        video = media or Path(__file__).parents[3] / "examples" / "demo.mp4"
        if not video.is_file():
            raise OptionsError(f"{video} is not there; --media names a short video")
        account, found = _deployed(stack, config_env, region, local)
        _show(smoke(found, S3Store(account.s3), video, seconds=timeout), "pass", "fail")


def teardown_command(
    stack: StackName = "",
    yes: Yes = False,
    config_env: Profile = "default",
    region: Region = "",
    local: Local = False,
) -> None:
    """Remove a deployment: the stack, its buckets with every version in them, queue, secrets and images.

    Lists what goes and what stays, and asks for the stack's name. Exit status 1: something could not be deleted.
    """
    with friendly_errors():
        from castline.operations.teardown import leftovers, staying, teardown

        account, found = _deployed(stack, config_env, region, local)
        found.named("InputBucket")
        left = leftovers(found, account)
        console.print("[bold]goes[/]")
        for line in [f"the stack {found.name}, {counted(len(found.resources), 'resource')}", *_going(left)]:
            below(console, f"{escape(line)}")
        console.print("[bold]stays[/]")
        for line in staying(found, account):
            below(console, f"{escape(line)}")
        if not yes and typer.prompt("The name of the stack, to delete all that for good") != found.name:
            raise OptionsError("that is not its name; nothing was deleted")
        _show(teardown(found, left, account), "all of it is gone", "something is left")


class ReadProfile:
    """One profile of samconfig.toml.

    Attributes:
        values: parameters that it sets.
    """

    def __init__(self, stack: str, region: str, values: dict[str, str]) -> None:
        self.stack, self.region, self.values = stack, region, values


def read_profile(name: str) -> ReadProfile:
    """A profile of the samconfig.toml in this folder or the checkout; the defaults if there is no such file.

    Raises:
        OptionsError: it cannot be read, or has no such profile.
    """
    for folder in (Path.cwd(), Path(__file__).parents[3]):
        path = folder / "samconfig.toml"
        if path.is_file():
            break
    else:
        return ReadProfile("castline", "", {})
    try:
        parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionsError(f"{path} cannot be read: {error}") from error
    profile = parsed.get(name)
    if not isinstance(profile, dict):
        raise OptionsError(f"{path} has no profile {name}")
    merged: dict[str, Any] = {}
    for command in ("global", "deploy"):
        merged.update(profile.get(command, {}).get("parameters", {}))
    overrides = merged.get("parameter_overrides", [])
    pairs = overrides.split() if isinstance(overrides, str) else list(overrides)
    return ReadProfile(str(merged.get("stack_name", "castline")), str(merged.get("region", "")), _pairs(pairs))


def _pairs(lines: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for line in lines:
        name, sign, value = line.partition("=")
        if not sign:
            raise OptionsError(f"{line!r} is not NAME=VALUE")
        pairs[name] = value.strip("\"'")
    return pairs


def _account(region: str, local: bool) -> aws.Account:
    """The account to use; all clients are for the same region.

    Raises:
        LocalStackError: ``local``, and no stack is running.
        OptionsError: AWS is selected, and there are no credentials.
    """
    if local:
        from castline.local.engine import REGION
        from castline.local.stack import LocalStack

        return aws.Account(REGION, LocalStack.attach(settings()).client)
    if not aws.has_credentials():
        raise OptionsError("there are no AWS credentials (aws configure, or AWS_PROFILE); --local asks the local stack")
    return aws.Account(region or aws.region_of_environment())


def _deployed(stack: str, config_env: str, region: str, local: bool) -> tuple[aws.Account, Stack]:
    profile = read_profile(config_env)
    account = _account(region or profile.region, local)
    name = stack or (settings().prefix if local else profile.stack)
    found = require_stack(name, account)
    _head(account, _number(account), name)
    return account, found


def _number(account: aws.Account) -> str:
    try:
        return account.sts.get_caller_identity()["Account"]
    except (ClientError, BotoCoreError) as error:
        raise LocalStackError(f"AWS does not say whose credentials these are: {error}") from error


def _head(account: aws.Account, number: str, stack: str) -> None:
    console.print(f"[dim]account {escape(number)}, {escape(account.region)}, stack {escape(stack)}[/]")


def _going(left: Any) -> Iterable[str]:
    for resource in left.resources:
        count = left.versions.get(resource.name)
        what = f"bucket {resource.name}, {count} objects and versions" if count is not None else resource.name
        yield what
    for companion in left.companions:
        yield f"the stack {companion.name}, with its images"


def _show(findings: Iterable[Finding], good: str, bad: str = "not ready") -> None:
    """Print findings as they arrive.

    Raises:
        typer.Exit: 1, if one is a problem.
    """
    problems = 0
    for finding in findings:
        problems += finding.level == "problem"
        below(console, f"{_SIGNS[finding.level]} {escape(finding.check)}: {escape(finding.line)}")
    if problems:
        console.print(f"[red]{bad}[/]: {counted(problems, 'problem')}")
        raise typer.Exit(1)
    console.print(f"[green]{good}[/]")


__all__ = ["Plan", "preflight_command", "read_profile", "smoke_command", "teardown_command"]
