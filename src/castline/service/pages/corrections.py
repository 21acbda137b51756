"""Corrections of a recording in the browser, or by a program: lines, cuts, voices, names; undo and the history.

A change refers to its object by a mark of the state that the user saw (``If-Match``). If that has changed since, the
answer is 412 with the present state and who changed it; changes that others made elsewhere meanwhile are no conflict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from castline import keys
from castline.corrections import (
    Draft,
    Line,
    change_lines,
    name_faces,
    name_voice,
    not_undone,
    take_back,
    what,
    withdraw,
)
from castline.cues import clean
from castline.errors import CorrectionConflict, CorrectionError
from castline.records import Change, Person, SaidLine
from castline.records.corrections import MAX_LINES
from castline.runs.corrections import Shown, correct, read_shown
from castline.service.pages.actions import checked_header
from castline.service.pages.render import HEADERS, page
from castline.service.pages.views import shelf_of

router = APIRouter(tags=["library"])
_HISTORY = 50
_APPEARANCES = 200


class Asked(BaseModel):
    """A change. ``If-Match`` has the marks of the lines or of the person it is about, or of the last change.

    Attributes:
        said: the lines that replace the marked ones; an empty list removes them.
        person: id of somebody in the recording, with ``appearances`` only some of theirs.
        holds: whether they are ``name`` or are not.
        voice: as in the lines.
        correction: id of the correction to remove.
    """

    model_config = ConfigDict(extra="forbid")

    do: Literal["lines", "faces", "voice", "undo", "withdraw"]
    at: float = 0.0
    said: list[SaidLine] = Field(default_factory=list, max_length=MAX_LINES)
    person: str = Field("", max_length=200)
    appearances: list[str] | None = Field(None, max_length=5000)
    holds: bool = True
    name: str = Field("", max_length=300)
    voice: str = Field("", max_length=300)
    correction: str = Field("", max_length=40)


@router.get("/recordings/{media:path}/edit", include_in_schema=False)
def edit_page(request: Request, media: str) -> Response:
    """The page on which a recording is corrected."""
    return page(request, "edit.html.j2", q="", **_values(media, _shown(request, media)))


@router.get("/recordings/{media:path}/corrections")
def corrections(request: Request, media: str) -> Response:
    """The lines, people and voices of a recording with their marks, and its corrections."""
    return _answer(request, media, _shown(request, media))


@router.post("/recordings/{media:path}/corrections", dependencies=[Depends(checked_header)])
def change(request: Request, media: str, asked: Asked) -> Response:
    """Make a correction. 412: the state no longer matches ``If-Match``; nothing was changed."""
    shelf = shelf_of(request)
    there = shelf.deployment
    marks = [mark.strip().strip('"') for mark in request.headers.get("if-match", "").split(",") if mark.strip()]
    if not marks and asked.do in ("lines", "faces", "undo"):
        raise HTTPException(428, "If-Match says what was seen of what is to be changed")
    try:
        shown = correct(
            media, request.state.user.name, lambda now: _draft(asked, marks, now), there.store, there.settings
        )
    except CorrectionConflict as error:
        raise HTTPException(412, error.message) from error
    except CorrectionError as error:
        raise HTTPException(400, error.message) from error
    shelf.wake()
    return _answer(request, media, shown)


def _draft(asked: Asked, marks: Sequence[str], shown: Shown) -> Draft:
    view, history = shown.view, shown.corrections
    if asked.do == "lines":
        first = _found(marks, view.lines)
        if first is None:
            raise CorrectionConflict(_said_now(asked.at, shown))
        return change_lines(view, history, first, first + len(marks) - 1, asked.said)
    if asked.do == "faces":
        person = next((each for each in view.result.people if each.id == asked.person), None)
        if person is None or marks != [mark_of_person(person)]:
            who = f"; it is now {person.name}" if person else ""
            raise CorrectionConflict(f"somebody else changed who this is{who}")
        return name_faces(view, asked.person, asked.name, holds=asked.holds, tracks=asked.appearances)
    if asked.do == "voice":
        return name_voice(view, history, asked.voice, asked.name)
    if asked.do == "withdraw":
        return withdraw(history, asked.correction)
    if marks != [mark_of_last(shown)]:
        last = history.changes[-1] if history.changes else None
        raise CorrectionConflict(f"{_by(last)} meanwhile; the last change is now another one")
    return take_back(history)


def _found(marks: Sequence[str], lines: Sequence[Line]) -> int | None:
    """Number of the first of the consecutive lines that have these marks."""
    all_ = [mark_of_line(line) for line in lines]
    return next((at for at in range(len(all_)) if all_[at : at + len(marks)] == list(marks)), None)


def _said_now(at: float, shown: Shown) -> str:
    lines = shown.view.lines
    near = min(lines, key=lambda line: abs(line.segment.start_s - at), default=None)
    change = next(
        (each for each in reversed(shown.corrections.changes) if near and any(
            added.id == near.correction for added in each.added
        )), None,
    )  # fmt: skip
    now = f"; it is now “{near.segment.text.strip()}”" if near else "; nothing is said there now"
    return f"{_by(change)}{now}"


def _by(change: Change | None) -> str:
    if change is None:
        return "this was changed, or the recording ran again"
    return f"{change.who} changed this at {change.when:%H:%M} UTC"


def mark_of_line(line: Line) -> str:
    segment = line.segment
    return _mark(segment.start_s, segment.end_s, segment.text, segment.speaker, segment.suspect, line.correction)


def mark_of_person(person: Person) -> str:
    return _mark(person.id, person.name, person.identity, [track.id for track in person.tracks])


def mark_of_last(shown: Shown) -> str:
    return f"change-{shown.corrections.changes[-1].number if shown.corrections.changes else 0}"


def _mark(*seen: object) -> str:
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def _shown(request: Request, media: str) -> Shown:
    there = shelf_of(request).deployment
    shown = read_shown(media, there.store, there.settings) if keys.is_media(media) else None
    if shown is None:
        raise HTTPException(404, "there is no result for this recording")
    return shown


def _answer(request: Request, media: str, shown: Shown) -> Response:
    """The present state: the parts of the page that change, or JSON."""
    values = _values(media, shown)
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "desk.html.j2", **values)
    return JSONResponse(
        {
            "media": media,
            "lines": values["lines"],
            "people": [
                {"id": each["id"], "mark": each["mark"], "name": each["name"], "identity": each["identity"],
                 "appearances": each["appearances"]} for each in values["people"]
            ],
            "voices": values["voices"],
            "left": values["left"],
            "history": values["history"],
            "last": values["last"],
        },
        headers=HEADERS,
    )  # fmt: skip


def _values(media: str, shown: Shown) -> dict[str, Any]:
    view, history = shown.view, shown.corrections
    held = {each.id for each in history.now()}
    can_be_undone = not_undone(history)
    return {
        "media": media,
        "title": media.rpartition("/")[2],
        "place": f"/recordings/{quote(media, safe='')}",
        "source": quote(keys.disk_name(media.rpartition("/")[2]), safe=""),
        "proxy": keys.PROXY,
        "video": shown.machine.probe is None or shown.machine.probe.video is not None,
        "lines": [
            {
                "mark": mark_of_line(line),
                "start_s": line.segment.start_s,
                "end_s": line.segment.end_s,
                "text": clean(line.segment.text),
                "speaker": clean(line.segment.speaker or ""),
                "suspect": line.segment.suspect,
                "heard": " / ".join(clean(each.text) for each in line.heard) if line.correction else "",
            }
            for line in view.lines
        ],
        "voices": [clean(speaker.name) for speaker in view.result.transcript.speakers],
        "people": [
            {
                "id": person.id,
                "mark": mark_of_person(person),
                "name": person.name,
                "identity": person.identity,
                "maybe": person.candidates[0].name if person.identity == "ambiguous" and person.candidates else "",
                "image": person.image,
                "on_screen_s": person.on_screen_s,
                "appearances": [
                    {"id": track.id, "start_s": track.start_s, "end_s": track.end_s}
                    for track in person.tracks[:_APPEARANCES]
                ],
            }
            for person in view.result.people
        ],
        "left": [{"id": each.id, "what": what(each)} for each in view.left],
        "history": [
            {
                "number": each.number,
                "who": each.who,
                "when": f"{each.when:%Y-%m-%d %H:%M}",
                "what": [what(added) for added in each.added],
                "undoes": each.undoes,
                "holds": bool(each.added) and all(added.id in held for added in each.added),
            }
            for each in history.changes[: -_HISTORY - 1 : -1]
        ],
        "last": mark_of_last(shown),
        "undo": [what(added) for added in can_be_undone[-1].added] if can_be_undone else None,
    }
