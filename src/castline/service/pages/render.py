"""Renders pages from templates. Names, words and keys are hostile: everything is escaped, and only our files run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse

from castline.archive.moments import Moment, recording_path
from castline.report.html import environment
from castline.report.text import clock, initials, length_of
from castline.service.pages.doorkeeper import LOCAL

STATIC = Path(__file__).parent / "static"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page(request: Request, template: str, status: int = 200, also: str = "", **values: Any) -> HTMLResponse:
    """A page as HTML, with its user and what a form needs.

    Args:
        also: an origin to which its scripts may send requests, besides ours.
    """
    state = request.state
    user = getattr(state, "user", None)
    body = _environment().get_template(template).render(
        root=request.scope.get("root_path", ""),
        user=user,
        local=user is LOCAL,
        csrf=getattr(state, "csrf", ""),
        here=request.url.path,
        **values,
    )  # fmt: skip
    policy = _POLICY.replace("connect-src 'self'", f"connect-src 'self' {also}".rstrip())
    return HTMLResponse(body, status, headers={**HEADERS, "Content-Security-Policy": policy})


def pieces(moment: Moment) -> Iterator[tuple[str, bool]]:
    """The text of a hit in pieces, and whether each piece matches the query."""
    at = 0
    for start, end in moment.marks:
        if start >= at:
            yield moment.text[at:start], False
            yield moment.text[start:end], True
            at = end
    yield moment.text[at:], False


def file_path(media: str, name: str) -> str:
    """Where a published file of a recording is, below the root."""
    return f"/recordings/{quote(media, safe='')}/{quote(name)}"


@cache
def _environment() -> Environment:
    made = environment(Path(__file__).parent / "templates")
    made.filters.update({"clock": clock, "initials": initials, "length_of": length_of, "pieces": pieces})
    made.globals.update({"file_path": file_path, "recording_path": recording_path})
    return made
