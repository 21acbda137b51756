"""The grader's command line."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from castline.errors import CastlineError
from castline.grader.base import Context, reason
from castline.grader.checks import CHECKS
from castline.grader.menu import run_menu
from castline.grader.objects import CannotCheck
from castline.grader.report import show, to_json, to_junit
from castline.grader.session import Session
from castline.grader.truth import read_truth
from castline.workload_generator import flags
from castline.workload_generator.clear import clear, survey
from castline.workload_generator.load import plan
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.target import Target, connect

# Tracebacks with local variables would show the keys.
app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
_PROBLEMS = (CannotCheck, CastlineError, ClientError, BotoCoreError, OSError)


@app.command()
def grade(
    check: Annotated[str, typer.Option(help="all, or numbers of checks: 1,3,6")] = "all",
    interactive: Annotated[bool, typer.Option("--interactive", help="Choose checks from a menu.")] = False,
    access_key: flags.AccessKey = None,
    secret_key: flags.SecretKey = None,
    asu_id: flags.AsuId = None,
    prefix: flags.Prefix = None,
    endpoint_url: flags.Endpoint = None,
    region: Annotated[str | None, typer.Option(help="Default: as the AWS tools do, then us-east-1.")] = None,
    profile: flags.Contract = "auto",
    testcase_folder: flags.Folder = None,
    count: flags.Count = None,
    pattern: flags.When = "burst",
    rate: flags.Rate = 1.0,
    concurrency: flags.Concurrency = 8,
    time_limit: Annotated[
        float, typer.Option("--time_limit", min=1, help="Seconds from the first upload to the last answer.")
    ] = 300,
    ground_truth: Annotated[
        Path | None, typer.Option("--ground_truth", help="Table with file, and name (classic) or people, reference.")
    ] = None,
    max_wer: Annotated[float, typer.Option("--max_wer", min=0, help="Word error rate that is still right.")] = 0.6,
    clear_first: flags.Clear = False,
    yes: flags.Yes = False,
    metrics_wait: Annotated[
        float, typer.Option("--metrics_wait", min=0, help="Seconds to wait for numbers of CloudWatch.")
    ] = 5,
    json: flags.Json = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="The report as JUnit XML.")] = None,
) -> None:
    """Grade a deployment. Exit status: 0 all passed, 1 something is wrong, 2 something could not be checked."""
    logging.disable(logging.WARNING)  # the libraries' log lines are not for whoever reads a score
    console, notes = Console(highlight=False), Console(stderr=True, highlight=False)
    secrets = tuple(filter(None, (access_key, secret_key)))
    try:
        target = connect(
            endpoint_url=endpoint_url,
            access_key=access_key,
            secret_key=secret_key,
            asu_id=asu_id,
            prefix=prefix,
            profile=profile,
            region=region,
        )
        numbers = _numbers(check, target.profile)
        context = Context(
            target,
            folder=testcase_folder,
            jobs=plan(testcase_folder, count, target.profile) if testcase_folder else (),
            truth=read_truth(ground_truth) if ground_truth else None,
            time_limit_s=time_limit,
            pattern=Pattern(pattern, rate),
            concurrency=concurrency,
            max_wer=max_wer,
            secrets=secrets,
        )
        if clear_first:
            _clear(target, yes, notes)
        session = Session(context, notes, metrics_wait)
        if interactive:
            run_menu(session, console)
        else:
            session.run(numbers)
        report = session.report()
        show(console, report)
        if json:
            _write(json, to_json(report).encode())
        if junit:
            _write(junit, to_junit(report))
    except _PROBLEMS as error:
        notes.print(Text(f"error: {reason(error, secrets)}", style="red"), soft_wrap=True)
        raise typer.Exit(2) from error
    raise typer.Exit(report.exit_status)


def _numbers(text: str, profile: Literal["classic", "full"]) -> set[int]:
    known = {check.number for check in CHECKS[profile]}
    if text.strip() == "all":
        return known
    words = [word.strip() for word in text.split(",")]
    if any(not word.isdecimal() or int(word) not in known for word in words):
        raise CannotCheck(f"--check is all, or numbers from 1 to {max(known)} with commas between, not {text!r}")
    return {int(word) for word in words}


def _clear(target: Target, yes: bool, notes: Console) -> None:
    """Empty the three buckets, once somebody said so.

    Raises:
        CannotCheck: nobody did.
    """
    there = "; ".join(map(str, survey(target)))
    question = f"delete everything ({target.where}: {there})?"
    if not yes and not (sys.stdin.isatty() and typer.confirm(question, err=True)):
        raise CannotCheck("nothing was deleted: --clear needs --yes, or somebody who agrees")
    clear(target)
    notes.print(f"deleted: {there}", markup=False, soft_wrap=True)


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
