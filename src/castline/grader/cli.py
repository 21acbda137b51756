"""``castline-grader --help``: points for a deployment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from castline.cli.connect import console, errors, friendly_errors
from castline.cli.plain import Commands
from castline.errors import OptionsError
from castline.grader.base import Context
from castline.grader.menu import Session, run_menu
from castline.grader.report import show, to_json
from castline.grader.truth import read_truth
from castline.workload_generator.clear import clear
from castline.workload_generator.flags import Flags, takes_flags
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.target import connect

app = Commands()


@app.command()
@takes_flags
def grade(
    given: Flags,
    check: Annotated[str, typer.Option(help="all, or numbers of checks: 1,3,6")] = "all",
    interactive: Annotated[bool, typer.Option("--interactive", help="Choose checks from a menu.")] = False,
    time_limit: Annotated[
        float, typer.Option("--time_limit", min=1, help="Seconds from the first upload to the last answer.")
    ] = 300,
    ground_truth: Annotated[
        Path | None, typer.Option("--ground_truth", help="Table with file, and name (classic) or people, reference.")
    ] = None,
    max_wer: Annotated[float, typer.Option("--max_wer", min=0, help="Word error rate that is still right.")] = 0.6,
    metrics_wait: Annotated[
        float, typer.Option("--metrics_wait", min=0, help="Seconds to wait for CloudWatch's numbers.")
    ] = 5,
) -> None:
    """Grade a deployment. Exit status: 0 all passed, 1 something is wrong, 2 something could not be checked."""
    logging.disable(logging.WARNING)  # the libraries' log lines are of no interest to the reader of a score
    with friendly_errors():
        target = connect(**given.deployment)
        context = Context(
            target,
            folder=given.testcase_folder,
            jobs=given.jobs(target.profile),
            truth=read_truth(ground_truth) if ground_truth else None,
            time_limit_s=time_limit,
            pattern=Pattern(given.pattern, given.rate),
            concurrency=given.concurrency,
            max_wer=max_wer,
        )
        session = Session(context, errors, metrics_wait)
        numbers = _numbers(check, len(session.checks))
        if given.clear_first:
            clear(target, yes=given.yes)
        if interactive:
            run_menu(session, console)
        else:
            session.run(numbers)
        report = session.report()
        show(console, report)
        given.write(to_json(report))
        raise typer.Exit(report.exit_status)


def _numbers(text: str, last: int) -> set[int]:
    if text.strip() == "all":
        return set(range(1, last + 1))
    words = [word.strip() for word in text.split(",")]
    if any(not word.isdecimal() or not 1 <= int(word) <= last for word in words):
        raise OptionsError(f"--check is all, or numbers from 1 to {last} with commas between, not {text!r}")
    return {int(word) for word in words}
