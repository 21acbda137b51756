"""Commands of whoever runs a deployment: redrive, reconcile, rerun, delete, cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from castline.cli.connect import connect, console, friendly_errors, refuse_classic, tell
from castline.cli.shown import escape
from castline.cost import PRICES_AS_OF, cost_of, estimate
from castline.errors import OptionsError
from castline.operations import delete_media, read_dead_letters, reconcile, redrive, rerun
from castline.operations.pending import pending
from castline.operations.redrive import put_back, queue_url
from castline.settings import settings

Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="AWS endpoint; default: AWS_ENDPOINT_URL, the local stack, or AWS.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_SHOWN = 50
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s?)?")


def redrive_command(endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Show what is in the dead-letter queue and why, and run it again."""
    with friendly_errors():
        there = connect(endpoint_url)
        sqs = there.client("sqs")
        url = queue_url(sqs, there.settings)
        with console.status("reading the dead-letter queue"):
            letters = read_dead_letters(sqs, url)
        ours = [letter for letter in letters if letter.failed]
        rows = [row for letter in ours for row in letter.objects()]
        _table(("function", "bucket", "key", "why"), rows)
        foreign = (
            f"; {len(letters) - len(ours)} message(s) are not of ours and stay" if len(ours) < len(letters) else ""
        )
        console.print(f"{len(ours)} dead letter(s){foreign}")
        if not ours:
            put_back(sqs, url, letters)
            return
        if not (yes or typer.confirm("run them again?")):
            put_back(sqs, url, letters)
            return
        count = redrive(letters, there.client, url, there.store, there.settings, tell)
        console.print(f"[green]{count} event(s) sent[/]; see: castline status")


def reconcile_command(endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Find uploads without a result and run what is missing. It does no harm to what is still being worked on."""
    with friendly_errors():
        there = connect(endpoint_url)
        with console.status("comparing uploads with results"):
            missing = list(pending(there.store, there.settings))
        rows = [(function, event["Records"][0]["s3"]["object"]["key"]) for function, event in missing]
        _table(("function", "key (as in an event)"), rows)
        console.print(f"{len(missing)} event(s) would finish everything")
        if missing and (yes or typer.confirm("send them?")):
            count = reconcile(there.client, there.store, there.settings)
            console.print(f"[green]{count} sent[/]; see: castline status")


def delete_command(media: str, endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Delete a media file for good: every version of the upload, and all that was made of it; then prove it.

    Exit status 1: something is still there. Photos of people that were taken from it are theirs, and stay
    (castline people forget). The removal is written down below .audit/ in the output bucket, without names.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        if not yes:
            typer.confirm(f"Delete {media}: the upload with all its versions, and every result?", abort=True)
        with console.status("deleting"):
            done = delete_media(media, there.store, there.settings, who=there.caller())
        for where in done.left[:_SHOWN]:
            console.print(f"  [red]still there[/]: {escape(where)}", soft_wrap=True)
        if done.left:
            raise typer.Exit(1)
        if not done.removed:
            raise OptionsError(f"nothing belongs to {media}; see: castline status")
        console.print(f"  [green]deleted[/]: {done.removed} object(s), and nothing of {escape(media)} is left")


def rerun_command(media: str, endpoint_url: Endpoint = None) -> None:
    """Process a media file afresh; the present result stays until the new one replaces it."""
    with friendly_errors():
        there = connect(endpoint_url)
        refuse_classic(there.settings)
        rerun(media, there.client, there.store, there.settings)
        console.print(f"[green]{escape(media)} is being processed again[/]; see: castline status")


def cost_command(
    path: Annotated[Path | None, typer.Argument(help="A media file, to take its length and streams from.")] = None,
    duration: Annotated[str, typer.Option(help="Length instead of a file: 90s, 45m, 1h, 1h30m.")] = "",
    audio_only: Annotated[bool, typer.Option("--audio-only", help="With --duration: there is no picture.")] = False,
    memory: Annotated[int, typer.Option(min=1024, max=10240, help="MB of the analyser.")] = 3072,
    splitter_memory: Annotated[int, typer.Option(min=512, max=10240, help="MB of the splitter.")] = 2048,
) -> None:
    """Estimate what a media file will cost on AWS; result.json says afterwards what it did cost."""
    with friendly_errors():
        config = settings()
        size, video, audio = 0, not audio_only, True
        if path is not None:
            from castline.media import probe
            from castline.media.ffmpeg import Limits

            if not path.is_file():
                raise OptionsError(f"{path} is no file")
            probed = probe(path, Limits.of(config))
            seconds, video, audio = probed.duration_s or 0.0, probed.video is not None, probed.audio is not None
            size = path.stat().st_size
        else:
            seconds = parse_duration(duration)
        usages, units = estimate(
            seconds, config.options(), video=video, audio=audio, splitter_mb=splitter_memory, analyser_mb=memory
        )
        cost = cost_of(usages, units, size)
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading, justify in (("", "left"), ("quantity", "right"), ("", "left"), ("USD", "right")):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for item in cost.items:
            table.add_row(item.what, f"{item.quantity:g}", item.unit, f"{item.usd:.6f}")
        console.print(table)
        per_hour = f", ${cost.usd / seconds * 3600:.4f} an hour of media" if seconds else ""
        console.print(f"[bold]about ${cost.usd:.4f}[/]{per_hour} (prices of {PRICES_AS_OF}, within a factor of two)")


def parse_duration(text: str) -> float:
    """Seconds of ``1h30m``, ``45m``, ``90s`` or ``90``.

    Raises:
        OptionsError: anything else, and nothing.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise OptionsError(f"{text!r} is no duration; write 90s, 45m, 1h or 1h30m, or give a file")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows[:_SHOWN]:
        table.add_row(*map(escape, row))
    if rows:
        console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"[dim]… and {len(rows) - _SHOWN} more[/]")
