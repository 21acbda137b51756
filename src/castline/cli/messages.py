"""``castline messages``: all WhatsApp messages, as one table."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer
from pydantic_core import to_json

from castline.cli.connect import connect, friendly_errors, tell
from castline.doors.whatsapp import gather_messages, write_csv


def messages_command(
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day, UTC; default: all of them.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values (default).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An array of the messages' objects.")] = False,
    endpoint_url: Annotated[
        str | None,
        typer.Option("--endpoint-url", help="S3 endpoint; default: AWS_ENDPOINT_URL, the local stack, or AWS."),
    ] = None,
) -> None:
    """Write all WhatsApp messages, with their transcripts, to standard output."""
    with friendly_errors():
        if as_csv and as_json:
            raise typer.BadParameter("one of --csv and --json")
        there = connect(endpoint_url)
        found = list(gather_messages(since.date() if since else None, there.store, there.settings, tell))
        if as_json:
            sys.stdout.write(to_json(found, indent=2, inf_nan_mode="null").decode() + "\n")
        else:
            sys.stdout.write(write_csv(found))
