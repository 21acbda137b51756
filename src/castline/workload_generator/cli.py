"""``castline-workload --help``: load on a deployment, and how it took it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from castline.errors import CastlineError
from castline.workload_generator import flags, show
from castline.workload_generator.clear import clear, survey
from castline.workload_generator.drawing import check_report, write_report
from castline.workload_generator.load import plan, run_load
from castline.workload_generator.patterns import Pattern, UsageError
from castline.workload_generator.target import Target, check, connect

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)  # locals hold the secret key


@app.command()
def main(
    testcase_folder: flags.Folder = None,
    access_key: flags.AccessKey = None,
    secret_key: flags.SecretKey = None,
    asu_id: flags.AsuId = None,
    prefix: flags.Prefix = None,
    profile: flags.Contract = "auto",
    endpoint_url: flags.Endpoint = None,
    pattern: flags.When = "burst",
    rate: flags.Rate = 1.0,
    seed: Annotated[int, typer.Option(help="Of poisson's gaps.")] = 0,
    count: flags.Count = None,
    concurrency: flags.Concurrency = 8,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds from the upload of a media file to its result.")
    ] = 600.0,
    clear_first: flags.Clear = False,
    yes: flags.Yes = False,
    json_file: flags.Json = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="The report as .html or .png.")
    ] = None,
) -> None:
    """Upload every media file of a folder, wait for the results, and tell how long they took.

    Exit status: 0: every media file has a good result in time. 1: some have not. 2: it could not be tried.
    """
    logging.disable(logging.WARNING)
    try:
        if yes and not clear_first:
            raise UsageError("--yes goes with --clear only")
        if testcase_folder is None and not clear_first:
            raise UsageError("give a folder of media with --testcase_folder")
        if report_file:
            check_report(report_file)
        shape = Pattern(pattern, rate, seed)
        target = connect(
            endpoint_url=endpoint_url,
            access_key=access_key,
            secret_key=secret_key,
            asu_id=asu_id,
            prefix=prefix,
            profile=profile,
        )
        jobs = plan(testcase_folder, count, target.profile) if testcase_folder else []
        if clear_first:
            _clear(target, yes)
        if not jobs:
            return
        check(target)
        show.beginning(target, jobs, shape, concurrency)
        with show.progress(len(jobs)) as on_progress:
            report = run_load(target, jobs, shape, concurrency, timeout, on_progress)
        show.report(report)
        if json_file:
            report.write_json(json_file)
        if report_file:
            write_report(report, report_file)
    except (CastlineError, OSError) as error:
        show.error(str(error))
        raise typer.Exit(2) from error
    raise typer.Exit(0 if report.passed else 1)


def _clear(target: Target, yes: bool) -> None:
    """Empty the buckets, if that is really meant.

    Raises:
        UsageError: it is not, or nobody is there to say so.
    """
    contents = survey(target)
    show.contents(target, contents)
    if not any(found.objects or found.hidden for found in contents):
        return
    if not yes:
        if not is_somebody_there():
            raise UsageError("nothing was cleared: nobody is there to ask; --clear --yes clears without asking")
        if not typer.confirm("Delete all of it, for good?"):
            raise UsageError("nothing was cleared, and nothing uploaded")
    show.cleared(clear(target))


def is_somebody_there() -> bool:
    """Whether a question would be read."""
    return sys.stdin.isatty()
