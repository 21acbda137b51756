"""Commands for operators of a deployment: redrive, reconcile, rerun, delete, cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from castline.archive.place import media_left
from castline.cli.connect import answer, connect, console, friendly_errors, print_json, refuse_classic, tell
from castline.cli.plain import AsJson, Endpoint, Media, Yes
from castline.cli.shown import escape, wrapped
from castline.cost import PRICES_AS_OF, USUAL_FILM, Sizes, cost_of, estimate, standing
from castline.display import counted
from castline.errors import OptionsError
from castline.operations import delete_media, read_dead_letters, reconcile, redrive, rerun
from castline.operations.pending import pending
from castline.operations.redrive import put_back, queue_url
from castline.records import CostItem, VideoStream
from castline.runs.common import no_recording
from castline.settings import settings

_SHOWN = 50
_PICTURE = re.compile(r"(\d{1,5})x(\d{1,5})(?:@(\d{1,3}(?:\.\d+)?))?")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s?)?")


def redrive_command(endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Show what is in the dead-letter queue and why, and run it again."""
    with friendly_errors():
        there = connect(endpoint_url, work=True)
        sqs = there.client("sqs")
        url = queue_url(sqs, there.settings)
        with console.status("reading the dead-letter queue"):
            letters = read_dead_letters(sqs, url)
        ours = [letter for letter in letters if letter.failed]
        rows = [row for letter in ours for row in letter.objects()]
        _table(("function", "bucket", "key", "why"), rows)
        others = len(letters) - len(ours)
        foreign = f"; {counted(others, 'message')} of others left alone" if others else ""
        console.print(f"{counted(len(ours), 'dead letter')}{foreign}")
        if not ours:
            put_back(sqs, url, letters)
            return
        if not (yes or typer.confirm("run them again?")):
            put_back(sqs, url, letters)
            return
        count = redrive(letters, there.client, url, there.store, there.settings, tell)
        console.print(f"[green]{counted(count, 'event')} sent[/]; see: castline status")


def reconcile_command(endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Find uploads without a result and run what is missing. Work in progress is not disturbed."""
    with friendly_errors():
        there = connect(endpoint_url, work=True)
        with console.status("comparing uploads with results"):
            missing = list(pending(there.store, there.settings))
        rows = [(function, event["Records"][0]["s3"]["object"]["key"]) for function, event in missing]
        _table(("function", "key (as in an event)"), rows)
        console.print(f"{counted(len(missing), 'event')} would finish everything")
        if missing and (yes or typer.confirm("send them?")):
            count = reconcile(there.client, there.store, there.settings)
            console.print(f"[green]{count} sent[/]; see: castline status")


def delete_command(media: Media, endpoint_url: Endpoint = None, yes: Yes = False) -> None:
    """Delete a media file for good: every version of the upload, and everything made from it; then prove it.

    Exit status 1: something is still there. Photos that were taken from it to enrol people belong to them, and stay
    (castline people forget). The removal is recorded below .audit/ in the output bucket, without names.
    """
    with friendly_errors():
        there = connect(endpoint_url)
        if not yes:
            typer.confirm(f"Delete {media}: the upload with all its versions, and every result?", abort=True)
        with console.status("deleting"):
            done = delete_media(media, there.store, there.settings, who=there.who())
        for where in done.left[:_SHOWN]:
            console.print(f"  [red]still there[/]: {escape(where)}", soft_wrap=True)
        indexed = media_left(media, there.place, there.store, there.settings)
        if indexed:
            console.print("  [red]still there[/]: in the search index")
        if done.left or indexed:
            raise typer.Exit(1)
        if not done.removed:
            raise OptionsError(no_recording(media, there.store, there.settings))
        console.print(f"  [green]deleted[/]: {counted(done.removed, 'object')}, and nothing of {escape(media)} is left")


def rerun_command(media: Media, endpoint_url: Endpoint = None) -> None:
    """Process a media file again; the present result stays until the new one replaces it."""
    with friendly_errors():
        there = connect(endpoint_url, work=True)
        refuse_classic(there.settings)
        rerun(media, there.client, there.store, there.settings)
        console.print(f"[green]{escape(media)} is being processed again[/]; see: castline status")


def cost_command(
    path: Annotated[Path | None, typer.Argument(help="A media file, to take its length and streams from.")] = None,
    duration: Annotated[str, typer.Option(metavar="TIME", help="Length instead of a file: 90s, 45m, 1h, 1h30m.")] = "",
    audio_only: Annotated[bool, typer.Option("--audio-only", help="With --duration: there is no picture.")] = False,
    as_json: AsJson = False,
    picture: Annotated[str, typer.Option(help="With --duration: WIDTHxHEIGHT, or WIDTHxHEIGHT@FPS.")] = "1280x720@30",
    codec: Annotated[str, typer.Option(help="With --duration: h264, hevc, vp9, av1, mpeg4, prores …")] = "h264",
    memory: Annotated[int, typer.Option(min=1024, max=10240, help="Memory of the analyser, MB.")] = Sizes.analyser_mb,
    splitter_memory: Annotated[
        int, typer.Option(min=512, max=10240, help="Memory of the splitter, MB.")
    ] = Sizes.splitter_mb,
    arm64: Annotated[bool, typer.Option("--arm64", help="Functions run on arm64.")] = False,
    orchestration: Annotated[
        str, typer.Option(help="Orchestration, as in the template: queue, events, invoke, stepfunctions.")
    ] = Sizes.orchestration,
    executions: Annotated[int, typer.Option(min=1, help="Concurrent executions of one function.")] = Sizes.executions,
) -> None:
    """Estimate what a media file will cost on AWS; afterwards, result.json says what it did cost.

    Example: castline cost --duration 1h --audio-only
    """
    with friendly_errors():
        config = settings()
        sizes = Sizes(
            splitter_mb=splitter_memory,
            analyser_mb=memory,
            architecture="arm64" if arm64 else "x86_64",
            orchestration=orchestration,
            executions=executions,
        )
        size, audio, proxied = 0, True, False
        if path is not None:
            from castline.media import is_played, probe
            from castline.media.ffmpeg import Limits

            if not path.is_file():
                raise OptionsError(f"{path} is not a file")
            probed = probe(path, Limits.of(config))
            seconds, film, audio = probed.duration_s or 0.0, probed.video, probed.audio is not None
            size, proxied = path.stat().st_size, bool(config.proxy_s) and not is_played(probed)
        else:
            seconds, film = parse_duration(duration), None if audio_only else parse_film(picture, codec)
        usages, units = estimate(seconds, config.options(), film, audio=audio, sizes=sizes, proxied=proxied)
        cost = cost_of(usages, units, size, sizes)
        if as_json:
            print_json({"duration_s": seconds, **cost.model_dump(mode="json")})
            return
        _priced(cost.items)
        per_hour = f", ${cost.usd / seconds * 3600:.4f} an hour of media" if seconds else ""
        wrapped(answer, f"[bold]about ${cost.usd:.4f}[/]{per_hour} (prices of {PRICES_AS_OF}, within a factor of two)")
        monthly = sum(item.usd for item in standing(by_queue=orchestration == "queue"))
        answer.print(f"[dim]beside ${monthly:.2f} a month of alarms, metrics, dashboard and image[/]")


def _priced(items: Sequence[CostItem]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("", "left"), ("quantity", "right"), ("", "left"), ("USD", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for item in items:
        table.add_row(item.what, f"{item.quantity:g}", item.unit, f"{item.usd:.6f}")
    answer.print(table)


def parse_film(picture: str, codec: str) -> VideoStream:
    """A film from ``1920x1080`` or ``1920x1080@25``.

    Raises:
        OptionsError: anything else.
    """
    match = _PICTURE.fullmatch(picture.strip().lower())
    if not match:
        raise OptionsError(f"{picture!r} is not a picture size; write 1920x1080 or 1920x1080@25")
    fps = float(match[3]) if match[3] else USUAL_FILM.fps
    return VideoStream(codec=codec.strip().lower(), width=int(match[1]), height=int(match[2]), fps=fps)


def parse_duration(text: str) -> float:
    """Seconds from ``1h30m``, ``45m``, ``90s`` or ``90``.

    Raises:
        OptionsError: anything else, including nothing.
    """
    if not text:
        raise OptionsError("name a media file, or give its --duration: 90s, 45m, 1h or 1h30m")
    match = _DURATION.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise OptionsError(f"{text!r} is not a duration; write 90s, 45m, 1h or 1h30m, or give a file")
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
