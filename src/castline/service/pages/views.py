"""The pages to look at: home and search, the recording, people; and ``GET /search`` as JSON."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from castline import keys
from castline.archive.exports import DEFAULT_RATE, EXPORTS, RATES, export
from castline.archive.search import PAGE, search
from castline.archive.shelves import Only, Sort, counts, known_people, recordings, seen_as, strangers
from castline.errors import LocalStackError, SearchError
from castline.gallery.changes import Change
from castline.people import last_change, list_people, photo_remarks
from castline.service.pages.files import serve_file, serve_photo
from castline.service.pages.render import HEADERS, STATIC, page
from castline.service.pages.shelf import Shelf, origin_of

router = APIRouter(include_in_schema=False)
_SHOWN = 48
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_EXAMPLES = (
    "budget",
    '"next year"',
    'person:"Ada King"',
    "budget person:Ada with:Grace",
    "after:2026-03 file:interview",
)


def shelf_of(request: Request) -> Shelf:
    shelf: Shelf = request.app.state.shelf
    return shelf


@router.get("/search", include_in_schema=True, tags=["library"])
def search_json(request: Request, q: str, limit: int = PAGE, after: str | None = None) -> Response:
    """Moments in all recordings, as ``castline search --json`` prints them."""
    try:
        answer = search(shelf_of(request).index, q, limit=limit, after=after)
    except SearchError as error:
        raise HTTPException(400, error.message) from error
    except LocalStackError as error:
        raise HTTPException(503, error.message) from error
    return Response(answer.to_json(), media_type="application/json", headers=HEADERS)


@router.get("/search.{kind}", include_in_schema=True, tags=["library"])
def search_export(request: Request, kind: str, q: str, rate: str = DEFAULT_RATE) -> Response:
    """All moments of a query as a file: csv, or edl or otio for editing software."""
    try:
        body = export(shelf_of(request).index, q, kind, rate)
    except SearchError as error:
        raise HTTPException(400, error.message) from error
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="moments.{kind}"'}
    return Response(body, media_type=EXPORTS[kind].content_type, headers=headers)


@router.get("/")
def home(
    request: Request, q: str = "", sort: str = "new", show: str = "all", offset: int = 0, after: str = ""
) -> Response:
    """All recordings, or the moments that match a query."""
    shelf = shelf_of(request)
    try:
        index = shelf.index
    except LocalStackError as error:
        return page(request, "nothing.html.j2", 503, reason=error.message)
    if q.strip():
        return _found(request, shelf, q, after)
    order: Sort = sort if sort in get_args(Sort) else "new"  # type: ignore[assignment]
    only: Only = show if show in get_args(Only) else "all"  # type: ignore[assignment]
    offset = min(max(offset, 0), 1 << 40)
    shown = recordings(index, order, only, offset, _SHOWN + 1)
    whole, failed, length_s = counts(index)
    more = {"sort": order, "show": only, "offset": offset + _SHOWN} if len(shown) > _SHOWN else None
    direct = _direct(shelf)
    return page(
        request, "home.html.j2", also=direct, direct=direct, q="", sort=order, show=only,
        recordings=shown[:_SHOWN], whole=whole, failed=failed, length_s=length_s,
        more=more and urlencode(more), examples=_EXAMPLES, **_running(shelf),
    )  # fmt: skip


@router.get("/running")
def running(request: Request) -> Response:
    """The part of the home page that updates itself."""
    shelf = shelf_of(request)
    answer = page(request, "running.html.j2", **_running(shelf))
    answer.headers["X-Castline-Recordings"] = str(counts(shelf.index)[0])
    return answer


@router.get("/recordings/{rest:path}")
def recording(request: Request, rest: str) -> Response:
    """The report of a recording, its other files, and the recording itself."""
    return serve_file(rest, request, shelf_of(request).deployment)


@router.get("/people")
def people(request: Request, said: str = "") -> Response:
    return people_page(request, said)


@router.get("/people/of")
def person(request: Request, name: str, said: str = "") -> Response:
    """A known person: the photos, and where they are seen."""
    return person_page(request, name, said)


@router.get("/people/photo")
def photo(request: Request, key: str) -> Response:
    return serve_photo(key, request, shelf_of(request).deployment)


@router.get("/static/{name}")
def static(name: str) -> Response:
    path = STATIC / name
    if path.parent != STATIC or path.suffix not in _TYPES or not path.is_file():
        raise HTTPException(404, "there is no such file")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={**HEADERS, "Cache-Control": "no-cache"})


def people_page(request: Request, said: str = "", problem: str = "", status: int = 200, **values: Any) -> Response:
    """Everybody in the gallery and in the recordings, and the outcome of the last action."""
    shelf = shelf_of(request)
    known = known_people(shelf.index)
    named = {face.name for face in known}
    there = shelf.deployment
    enrolled = [name for name in list_people(there.store, there.settings) if name not in named]
    last = _last(shelf)
    return page(
        request, "people.html.j2", status, q="", known=known, strangers=strangers(shelf.index), unseen=enrolled,
        said=said, problem=problem, last=str(last) if last else "", forgotten=values.get("forgotten"),
        shown=keys.shown, proof_shown=_SHOWN,
    )  # fmt: skip


def person_page(request: Request, name: str, said: str = "", problem: str = "", status: int = 200) -> Response:
    """A known person, and the outcome of the last action."""
    shelf = shelf_of(request)
    there = shelf.deployment
    photos = list_people(there.store, there.settings).get(name, [])
    seen = seen_as(shelf.index, name)
    if not photos and not seen:
        return people_page(request, problem=f"nobody is called {keys.shown(name)}", status=404)
    remarks = photo_remarks(there.store, there.settings)
    last = _last(shelf)
    return page(
        request, "person.html.j2", status, q="", name=name, seen=seen, said=said, problem=problem,
        photos=[(key, remarks.get(key, "")) for key in photos], last=str(last) if last else "",
        others=[face.name for face in known_people(shelf.index) if face.name != name],
    )  # fmt: skip


def _last(shelf: Shelf) -> Change | None:
    return last_change(shelf.deployment.store, shelf.deployment.settings)


def _direct(shelf: Shelf) -> str:
    """The origin to which a browser uploads; empty if uploads go through the service."""
    return origin_of(shelf.deployment)


def _running(shelf: Shelf) -> dict[str, Any]:
    return {"under_way": shelf.under_way, "waiting": shelf.waiting}


def _found(request: Request, shelf: Shelf, q: str, after: str) -> Response:
    try:
        answer = search(shelf.index, q, after=after or None)
    except SearchError as error:
        return page(request, "found.html.j2", 400, q=q, answer=None, problem=error.message, more="", examples=_EXAMPLES)
    more = urlencode({"q": q, "after": answer.next}) if answer.next else ""
    return page(
        request, "found.html.j2", q=q, answer=answer, problem="", more=more, examples=_EXAMPLES, formats=EXPORTS,
        rates=RATES, rate=DEFAULT_RATE,
    )  # fmt: skip
