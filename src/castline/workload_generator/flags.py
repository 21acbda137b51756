"""The flags that the workload generator and the grader share; those with an underscore are the course's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from castline.workload_generator.patterns import Name
from castline.workload_generator.target import Contract

AccessKey = Annotated[str | None, typer.Option("--access_key", help="Default: as the AWS tools do.")]
SecretKey = Annotated[
    str | None,
    typer.Option("--secret_key", help="Better: AWS_SECRET_ACCESS_KEY, which no process list shows."),
]
AsuId = Annotated[
    str | None, typer.Option("--asu_id", help="The course's prefix of the buckets; means the classic profile.")
]
Prefix = Annotated[str | None, typer.Option(help="Buckets are <prefix>-input …; default: the settings'.")]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="Default: AWS_ENDPOINT_URL, the local stack, or AWS."),
]
Asked = Annotated[Contract, typer.Option(help="Which contract; auto is classic with --asu_id.")]
Folder = Annotated[Path | None, typer.Option("--testcase_folder", metavar="DIR", help="Media to upload.")]
Count = Annotated[int | None, typer.Option(min=1, help="Uploads; goes round the folder. Default: each file once.")]
When = Annotated[
    Name,
    typer.Option(metavar="WHEN", help="When uploads begin: burst, stagger, poisson or ramp."),
]
Rate = Annotated[float, typer.Option(help="Uploads per second; of a ramp, at its end; a burst ignores it.")]
Concurrency = Annotated[int, typer.Option(min=1, max=64, help="Uploads under way at a time, at most.")]
Clear = Annotated[bool, typer.Option("--clear", help="Empty input, stage-1 and output first; asks.")]
Yes = Annotated[bool, typer.Option("--yes", help="With --clear: do not ask.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The report as JSON.")]


def write(path: Path, body: bytes) -> None:
    """Write a report if a flag requests it; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
