"""``castline messages``: all WhatsApp messages, as one table."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer
from pydantic_core import to_json

from castline.cli.connect import connect, friendly_errors, tell
from castline.cli.plain import Endpoint
from castline.doors.whatsapp import gather_messages, write_csv


def messages_command(
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The first day (UTC); default: all."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values; this is the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the messages' objects as a JSON array.")] = False,
    endpoint_url: Endpoint = None,
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
