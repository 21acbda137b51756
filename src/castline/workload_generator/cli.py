"""``castline-workload --help``: puts load on a deployment and reports how it coped."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from castline.cli.connect import console, friendly_errors
from castline.cli.plain import Commands
from castline.cli.shown import escape
from castline.errors import OptionsError
from castline.workload_generator.clear import clear
from castline.workload_generator.flags import Flags, takes_flags
from castline.workload_generator.load import run_load
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.show import show
from castline.workload_generator.target import connect

app = Commands()


@app.command()
@takes_flags
def main(
    given: Flags,
    seed: Annotated[int, typer.Option(help="Of poisson's gaps.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds from the upload of a media file to its result.")
    ] = 600.0,
) -> None:
    """Upload every media file of a folder, wait for the results, and say how long they took.

    Exit status: 0: every media file has a good result in time. 1: some do not. 2: it could not be tried.
    """
    logging.disable(logging.WARNING)
    with friendly_errors():
        if given.yes and not given.clear_first:
            raise OptionsError("--yes goes with --clear only")
        if given.testcase_folder is None and not given.clear_first:
            raise OptionsError("give a folder of media with --testcase_folder")
        shape = Pattern(given.pattern, given.rate, seed)
        target = connect(**given.deployment)
        jobs = given.jobs(target.profile)
        if given.clear_first:
            clear(target, yes=given.yes)
        if not jobs:
            return
        with console.status(escape(f"uploading to {target.input_bucket} ({target.where})")) as status:
            load = run_load(target, jobs, shape, given.concurrency, timeout, lambda load: status.update(str(load)))
        show(console, load)
        given.write(load.to_json())
        raise typer.Exit(0 if load.passed else 1)
