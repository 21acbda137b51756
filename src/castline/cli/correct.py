"""``castline correct``: correct misheard words and mistaken people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import typer

from castline.cli.connect import Connection, answer, connect, console, friendly_errors, print_json, refuse_classic
from castline.cli.plain import AsJson, Commands, Endpoint, Media
from castline.cli.render import clock
from castline.cli.shown import beside, escape, wrapped
from castline.corrections import Draft, change_lines, name_faces, name_voice, take_back, what, withdraw
from castline.errors import CorrectionError
from castline.records import SaidLine
from castline.runs.common import why_no_result
from castline.runs.corrections import Shown, correct, read_shown

app = Commands(
    no_args_is_help=True,
    help="Correct lines, cuts, voices and names of one recording; undo, and the history.",
)

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@app.command("list")
def list_lines(media: Media, as_json: AsJson = False, endpoint_url: Endpoint = None) -> None:
    """List the lines with their numbers, who is on screen, and what was corrected."""
    with friendly_errors():
        shown = _shown(media, connect(endpoint_url, read=True))
        if as_json:
            print_json(shown.view.result.transcript.model_dump(mode="json"))
            return
        for number, line in enumerate(shown.view.lines, 1):
            segment = line.segment
            mark = "[yellow]*[/]" if line.correction else " "
            voice = f"[dim]{escape(segment.speaker)}[/] " if segment.speaker else ""
            said = f"{voice}{escape(segment.text.strip())}"
            beside(answer, f"{number:>5}{mark} {clock(segment.start_s)}  ", said)
        for person in shown.view.result.people:
            answer.print(f"  {escape(person.id)}  {escape(person.name)}", soft_wrap=True)
        for each in shown.view.left:
            answer.print(f"[yellow]kept, no longer fits anything[/] {each.id}: {escape(what(each))}", soft_wrap=True)


@app.command("set")
def set_lines(
    media: Media,
    line: Annotated[str, typer.Argument(help="Number of a line, a time in it (0:09.7), or several lines as 3-4.")],
    text: Annotated[list[str], typer.Argument(help="What is said, one text for each line; '' for nothing.")],
    speaker: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the person whose voice it is.")] = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Correct one line or several; more or fewer texts than lines cut them anew.

    Example: castline correct set talk.mp4 3 "The budget is too small."
    """

    def edit(shown: Shown) -> Draft:
        first, last = _lines(line, shown)
        said = [SaidLine(text=each, speaker=speaker) for each in text if each]
        return change_lines(shown.view, shown.corrections, first, last, said)

    _correct(media, endpoint_url, edit)


@app.command()
def voice(
    media: Media,
    shown: Annotated[str, typer.Argument(metavar="VOICE", help='The voice, as the result names it: "Speaker 1".')],
    name: Annotated[str, typer.Argument(help="Whose voice it is.")],
    endpoint_url: Endpoint = None,
) -> None:
    """Give a voice its name, in all lines that it says.

    Example: castline correct voice talk.mp4 "Speaker 1" "Ada King"
    """
    _correct(media, endpoint_url, lambda it: name_voice(it.view, it.corrections, shown, name))


@app.command()
def person(
    media: Media,
    who: Annotated[str, typer.Argument(help="Name or id of somebody in the recording.")],
    name: Annotated[str, typer.Argument(help="Who this is.")],
    is_not: Annotated[bool, typer.Option("--is-not", help="Say that it is not NAME.")] = False,
    endpoint_url: Endpoint = None,
) -> None:
    """Say whose face it is, or is not, in this recording only; castline people name does so in all.

    Example: castline correct person talk.mp4 "Person 2" "Ada King"
    """

    def edit(shown: Shown) -> Draft:
        people = shown.view.result.people
        found = next((each.id for each in people if who in (each.id, each.name)), who)
        return name_faces(shown.view, found, name, holds=not is_not)

    _correct(media, endpoint_url, edit)


@app.command()
def undo(
    media: Media,
    correction: Annotated[
        str, typer.Argument(help="Id of a correction in the history; default: the last change.")
    ] = "",
    endpoint_url: Endpoint = None,
) -> None:
    """Undo the last change, or one correction. Run again to undo the change before."""
    _correct(
        media,
        endpoint_url,
        lambda shown: withdraw(shown.corrections, correction) if correction else take_back(shown.corrections),
    )


@app.command()
def history(media: Media, as_json: AsJson = False, endpoint_url: Endpoint = None) -> None:
    """Show who changed what, and when."""
    with friendly_errors():
        corrections = _shown(media, connect(endpoint_url, read=True)).corrections
        if as_json:
            print_json(corrections.model_dump(mode="json"))
            return
        held = {each.id for each in corrections.now()}
        for change in corrections.changes:
            head = f"{change.number:>4}  {change.when:%Y-%m-%d %H:%M}  {escape(change.who)}"
            verb = f"undid {change.undoes}" if change.undoes is not None else "" if change.added else "removed"
            answer.print(f"{head}  {verb or ' '.join(change.removed)}".rstrip(), soft_wrap=True)
            for each in change.added:
                style = "" if each.id in held else "[dim]"
                end = "[/]" if style else ""
                beside(answer, f"        {style}{each.id}{end}  ", f"{style}{escape(what(each))}{end}")
        if not corrections.changes:
            console.print("nothing was corrected")


def _shown(media: str, there: Connection) -> Shown:
    refuse_classic(there.settings)
    shown = read_shown(media, there.store, there.settings)
    if shown is None:
        raise CorrectionError(why_no_result(media, there.store, there.settings))
    return shown


def _correct(media: str, endpoint_url: str | None, edit: Callable[[Shown], Draft]) -> None:
    with friendly_errors():
        there = connect(endpoint_url)
        refuse_classic(there.settings)
        shown = correct(media, there.who(), edit, there.store, there.settings)
        last = shown.corrections.changes[-1] if shown.corrections.changes else None
        said = "; ".join(map(what, last.added)) if last else ""
        wrapped(console, escape(said or "as transcribed"))


def _lines(asked: str, shown: Shown) -> tuple[int, int]:
    lines = shown.view.lines
    if asked.replace("-", "").isdecimal():
        one, _, other = asked.partition("-")
        first, last = int(one or 0) - 1, int(other or one or 0) - 1
        if not 0 <= first <= last < len(lines):
            raise CorrectionError(f"there are lines 1 to {len(lines)}")
        return first, last
    found = _TIME.fullmatch(asked)
    if not found:
        raise CorrectionError(f"{asked!r} is neither the number of a line nor a time (0:09.7)")
    at = int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + float(found[3])
    near = [n for n, line in enumerate(lines) if line.segment.start_s - 0.05 <= at <= line.segment.end_s]
    if not near:
        raise CorrectionError(f"nothing is said at {asked}")
    return near[-1], near[-1]
