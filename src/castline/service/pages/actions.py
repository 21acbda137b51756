"""Changes made in the pages: names, uploads, runs. Forms carry their session's token."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from functools import cache
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse

from castline import keys, people
from castline.archive.shelves import seen_as
from castline.corrections import name_faces
from castline.display import counted
from castline.engines.process import Engines
from castline.errors import CastlineError
from castline.gallery.load import PhotoEmbedder
from castline.operations import rerun
from castline.operations.forget import forget_person
from castline.recognition.photo import embed_photo
from castline.runs.corrections import correct
from castline.service.pages.doorkeeper import Doorkeeper
from castline.service.pages.shelf import Deployment
from castline.service.pages.views import people_page, person_page, shelf_of
from castline.service.settings import ServiceSettings

router = APIRouter(include_in_schema=False)
_CSRF_HEADER = "x-castline-form"
_gallery = threading.Lock()  # one change of the gallery at a time


def own_form(request: Request, csrf: str) -> None:
    """
    Raises:
        HTTPException: 403, the form is from another session or another site, or its user may only look.
    """
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    if not doorkeeper.is_own_form(request.state.session, csrf):
        raise HTTPException(403, "this form is of another session; open the page again")
    if not request.state.user.editor:
        raise HTTPException(403, "only editors and administrators change something here")


def checked_header(request: Request) -> None:
    """As `own_form`, for requests from scripts and programs; no page of another site can send a token."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    given = request.headers.get(_CSRF_HEADER, "")
    sent_token = request.headers.get("authorization", "").lower().startswith("bearer ")
    own_form(request, doorkeeper.csrf_of(request.state.session) if sent_token else given)


def _checked(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    own_form(request, csrf)


def _by_admin(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    own_form(request, csrf)
    if not request.state.user.admin:
        raise HTTPException(403, "only administrators forget people")


Checked = Depends(_checked)
Text = Annotated[str, Form(max_length=2000)]


@router.post("/people/name", dependencies=[Checked])
def name(request: Request, media: Text, label: Text, name: Text) -> Response:
    """Give somebody in a recording a name, there and in all others."""
    there = shelf_of(request).deployment

    def do(embed: PhotoEmbedder) -> str:
        photos = people.name_person(media, label, name, there.store, there.settings, embed)
        return f"{counted(len(photos), 'picture')} enrolled as {name}; {_bound(there, embed)}"

    return _change(request, do)


@router.post("/people/merge", dependencies=[Checked])
def merge(request: Request, into: Text, other: Text) -> Response:
    there = shelf_of(request).deployment

    def do(embed: PhotoEmbedder) -> str:
        count = people.merge(into, [other], there.store, there.settings)
        return f"{counted(count, 'photo')} of {other} given to {into}; {_bound(there, embed)}"

    return _change(request, do)


@router.post("/people/split", dependencies=[Checked])
def split(request: Request, name: Text, into: Text, photo: Annotated[list[str], Form(max_length=1000)]) -> Response:
    """Move some of a person's photos to somebody else."""
    there = shelf_of(request).deployment

    def do(embed: PhotoEmbedder) -> str:
        count = people.split(name, photo, into, there.store, there.settings)
        return f"{counted(count, 'photo')} of {name} given to {into}; {_bound(there, embed)}"

    return _change(request, do)


@router.post("/people/not", dependencies=[Checked])
def not_this_person(request: Request, media: Text, label: Text, name: Text) -> Response:
    """Say that somebody in one recording is not the named person; this is kept when it is processed again."""
    shelf = shelf_of(request)
    there = shelf.deployment
    try:
        correct(
            media, request.state.user.name, lambda shown: name_faces(shown.view, label, name, holds=False),
            there.store, there.settings,
        )  # fmt: skip
    except CastlineError as error:
        return person_page(request, name, problem=error.message, status=400)
    shelf.look()
    left = seen_as(shelf.index, name) or people.list_people(there.store, there.settings).get(name)
    said = f"{name} is not in {media}; to undo this, use its page of corrections"
    where = f"/people/of?name={quote(name)}&said={quote(said)}" if left else f"/people?said={quote(said)}"
    return RedirectResponse(f"{request.scope.get('root_path', '')}{where}", 303)


@router.put("/people/photos/{file}")
async def add_photo(request: Request, file: str, name: str) -> Response:
    """Add a photo of somebody, sent as the body; 400 with the reason if it cannot be used. `bind` follows."""
    await run_in_threadpool(checked_header, request)
    there = shelf_of(request).deployment
    body = await request.body()

    def add() -> str:
        keys.check_person_name(name)
        picture = people.picture_from(file, body, _embedder(there))
        with _gallery:
            people.enrol(name, [picture], there.store, there.settings)
        return picture.remark

    try:
        remark = await run_in_threadpool(add)
    except CastlineError as error:
        raise HTTPException(400, error.message.removeprefix(f"{file}: ")) from error
    return JSONResponse({"name": keys.spelled(name), "remark": remark}, 201)


@router.post("/people/bind", dependencies=[Checked])
def bind(request: Request) -> Response:
    """Bind names again after photos were added."""
    there = shelf_of(request).deployment
    return _change(request, lambda embed: _bound(there, embed))


@router.post("/people/undo", dependencies=[Checked])
def undo(request: Request) -> Response:
    there = shelf_of(request).deployment

    def do(embed: PhotoEmbedder) -> str:
        change = people.undo(there.store, there.settings)
        return f"undone: {change}; {_bound(there, embed)}"

    return _change(request, do)


@router.post("/people/forget", dependencies=[Depends(_by_admin)])
def forget(request: Request, name: Text) -> Response:
    """Forget somebody, and show the proof."""
    shelf = shelf_of(request)
    there = shelf.deployment
    with _gallery:
        try:
            called = people.called(name, there.store, there.settings)
            done = forget_person(
                called, there.store, there.settings, _embedder(there), who=request.state.user.name, tell=_ignore
            )
        except CastlineError as error:
            return people_page(request, problem=error.message, status=400)
        shelf.look()
    return people_page(request, forgotten=(called, done))


@router.post("/recordings/again", dependencies=[Checked])
def again(request: Request, media: Text) -> Response:
    """Run a recording again; its present result stays until then."""
    there = shelf_of(request).deployment
    try:
        rerun(media, there.client, there.store, there.settings)
    except CastlineError as error:
        raise HTTPException(400, error.message) from error
    return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)


@router.put("/uploads/{key:path}")
async def upload(request: Request, key: str) -> Response:
    """Store a media file, sent as the body, in the input bucket; an existing one is never overwritten."""
    await run_in_threadpool(own_form, request, request.headers.get(_CSRF_HEADER, ""))
    there = shelf_of(request).deployment
    try:
        keys.check_media_key(key)
    except CastlineError as error:
        raise HTTPException(400, error.message) from error
    if not keys.is_media(key):
        raise HTTPException(400, f"{key} does not have the name of a video or sound recording")
    if await run_in_threadpool(there.store.head, there.settings.input_bucket, key):
        raise HTTPException(409, f"there is already a recording called {key}")
    service: ServiceSettings = request.app.state.service.service
    place = service.folder / "uploads"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = place / secrets.token_hex(16)
    try:
        with path.open("wb") as file:
            async for block in request.stream():
                await run_in_threadpool(file.write, block)
        await run_in_threadpool(there.store.put, there.settings.input_bucket, key, path)
    finally:
        path.unlink(missing_ok=True)
    shelf_of(request).wake()
    return JSONResponse({"media": key}, 201)


def _change(request: Request, do: Callable[[PhotoEmbedder], str]) -> Response:
    """Change the gallery, and show the people afterwards."""
    shelf = shelf_of(request)
    with _gallery:
        try:
            said = do(_embedder(shelf.deployment))
        except CastlineError as error:
            return people_page(request, problem=error.message, status=400)
        shelf.look()
    return RedirectResponse(f"{request.scope.get('root_path', '')}/people?said={quote(said)}", 303)


def _embedder(there: Deployment) -> PhotoEmbedder:
    engines = Engines(there.settings)
    return cache(lambda body: embed_photo(body, engines))


def _bound(there: Deployment, embed: PhotoEmbedder) -> str:
    """Bind names anew; says in how many recordings."""
    done = list(people.reassemble(there.store, there.settings, embed, tell=_ignore))
    return f"{counted(len(done), 'recording')} brought up to date"


def _ignore(_line: str) -> None:
    """Ignore skipped objects, which are in the log."""
