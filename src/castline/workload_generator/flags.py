"""The flags that the workload generator and the grader share; those with an underscore are the course's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from castline.cli.plain import with_flags
from castline.workload_generator.load import Job, plan
from castline.workload_generator.patterns import Name
from castline.workload_generator.target import Contract, Profile


@dataclass(frozen=True, kw_only=True, repr=False)  # no secret in a traceback
class Flags:
    """The values of all shared flags."""

    access_key: Annotated[str | None, typer.Option("--access_key", help="Default: as the AWS tools do.")] = None
    secret_key: Annotated[
        str | None,
        typer.Option("--secret_key", help="Better: AWS_SECRET_ACCESS_KEY, which no process list shows."),
    ] = None
    asu_id: Annotated[
        str | None, typer.Option("--asu_id", help="The course's prefix of the buckets; means the classic profile.")
    ] = None
    prefix: Annotated[str | None, typer.Option(help="Buckets are <prefix>-input …; default: the settings'.")] = None
    endpoint_url: Annotated[
        str | None,
        typer.Option("--endpoint-url", metavar="URL", help="Default: AWS_ENDPOINT_URL, the local stack, or AWS."),
    ] = None
    profile: Annotated[Contract, typer.Option(help="Which contract; auto is classic with --asu_id.")] = "auto"
    testcase_folder: Annotated[
        Path | None, typer.Option("--testcase_folder", metavar="DIR", help="Media to upload.")
    ] = None
    count: Annotated[
        int | None, typer.Option(min=1, help="Uploads; goes round the folder. Default: each file once.")
    ] = None
    pattern: Annotated[
        Name, typer.Option(metavar="WHEN", help="When uploads begin: burst, stagger, poisson or ramp.")
    ] = "burst"
    rate: Annotated[float, typer.Option(help="Uploads per second; of a ramp, at its end; a burst ignores it.")] = 1.0
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Uploads under way at a time, at most.")] = 8
    clear_first: Annotated[bool, typer.Option("--clear", help="Empty input, stage-1 and output first; asks.")] = False
    yes: Annotated[bool, typer.Option("--yes", help="With --clear: do not ask.")] = False
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The report as JSON.")] = None

    @property
    def deployment(self) -> dict[str, Any]:
        """The arguments of `connect`."""
        names = ("endpoint_url", "access_key", "secret_key", "asu_id", "prefix", "profile")
        return {name: getattr(self, name) for name in names}

    def jobs(self, profile: Profile) -> list[Job]:
        """The planned uploads; none without a folder."""
        return plan(self.testcase_folder, self.count, profile) if self.testcase_folder else []

    def write(self, body: bytes) -> None:
        """Write the report if ``--json`` requests it; its folder is created."""
        if self.json:
            self.json.parent.mkdir(parents=True, exist_ok=True)
            self.json.write_bytes(body)


def takes_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared flags; its parameter ``given`` receives them."""
    declared = list(inspect.signature(Flags, eval_str=True).parameters.values())
    return with_flags(command, "given", declared, lambda values: Flags(**values))
