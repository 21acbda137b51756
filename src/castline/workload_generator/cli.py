"""``castline-workload --help``: puts load on a deployment and reports how it coped."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from castline.cli.connect import console, friendly_errors
from castline.cli.plain import Commands
from castline.cli.shown import escape
from castline.errors import OptionsError
from castline.workload_generator import flags
from castline.workload_generator.clear import clear
from castline.workload_generator.load import plan, run_load
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.show import show
from castline.workload_generator.target import connect

app = Commands()


@app.command()
def main(
    testcase_folder: flags.Folder = None,
    access_key: flags.AccessKey = None,
    secret_key: flags.SecretKey = None,
    asu_id: flags.AsuId = None,
    prefix: flags.Prefix = None,
    profile: flags.Asked = "auto",
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
) -> None:
    """Upload every media file of a folder, wait for the results, and say how long they took.

    Exit status: 0: every media file has a good result in time. 1: some do not. 2: it could not be tried.
    """
    logging.disable(logging.WARNING)
    with friendly_errors():
        if yes and not clear_first:
            raise OptionsError("--yes goes with --clear only")
        if testcase_folder is None and not clear_first:
            raise OptionsError("give a folder of media with --testcase_folder")
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
            clear(target, yes=yes)
        if not jobs:
            return
        with console.status(escape(f"uploading to {target.input_bucket} ({target.where})")) as status:
            load = run_load(target, jobs, shape, concurrency, timeout, lambda load: status.update(str(load)))
        show(console, load)
        if json_file:
            flags.write(json_file, load.to_json())
        raise typer.Exit(0 if load.passed else 1)
