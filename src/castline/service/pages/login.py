"""Login and logout: a token or an OpenID provider's answer gives a cookie that scripts and other sites cannot use."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from castline.errors import LoginRefused
from castline.service.pages import oidc
from castline.service.pages.doorkeeper import COOKIE, SESSION_S, Doorkeeper, onward
from castline.service.pages.oidc import BACK, BEGIN, BEGUN_S, Provider
from castline.service.pages.render import page
from castline.service.settings import ServiceSettings

router = APIRouter(include_in_schema=False)
logger = logging.getLogger(__name__)
Text = Annotated[str, Form(max_length=2000)]


@router.get("/login")
def login_page(request: Request, next: str = "/", left: bool = False) -> Response:
    provider = _doorkeeper(request).provider
    return _page(request, onward(next), leave=provider.leave() if provider and left else "")


@router.post("/login")
def login(request: Request, token: Text, next: Text = "/") -> Response:
    session = _doorkeeper(request).session_of(token.strip())
    if session is None:
        return _page(request, onward(next), "this token is not valid")
    answer = RedirectResponse(f"{_root(request)}{onward(next)}", 303)
    _give(answer, request, session, SESSION_S)
    return answer


@router.get(BEGIN)
def begin(request: Request, next: str = "/") -> Response:
    """Send the browser to the provider."""
    provider = _provider(request)
    try:
        place, begun = provider.begin(onward(next))
    except LoginRefused as error:
        return _refused(request, error)
    answer = RedirectResponse(place, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    # Lax: it must be sent when the provider sends the browser back.
    answer.set_cookie(
        oidc.COOKIE, begun, max_age=BEGUN_S, path=f"{_root(request)}{BEGIN}", httponly=True, samesite="lax",
        secure=_is_https(request),
    )  # fmt: skip
    return answer


@router.get(BACK)
def back(request: Request) -> Response:
    """Return from the provider. The session is SameSite=Strict, so a page of ours has to request the next one."""
    doorkeeper = _doorkeeper(request)
    try:
        user, to = _provider(request).end(request.cookies.get(oidc.COOKIE, ""), request.query_params)
    except LoginRefused as error:
        return _refused(request, error)
    answer = page(request, "onward.html.j2", to=f"{_root(request)}{to}")
    answer.delete_cookie(oidc.COOKIE, path=f"{_root(request)}{BEGIN}")
    _give(answer, request, *doorkeeper.session_of_guest(user))
    return answer


@router.post("/logout")
def logout(request: Request, csrf: Text = "") -> Response:
    doorkeeper = _doorkeeper(request)
    if not doorkeeper.is_own_form(request.state.session, csrf):
        raise HTTPException(403, "this form is of another session; open the page again")
    answer = RedirectResponse(f"{_root(request)}/login{'?left=1' if doorkeeper.provider else ''}", 303)
    answer.delete_cookie(COOKIE, path=f"{_root(request)}/")
    return answer


def _give(answer: Response, request: Request, session: str, seconds: int) -> None:
    answer.set_cookie(
        COOKIE, session, max_age=seconds, path=f"{_root(request)}/", httponly=True, samesite="strict",
        secure=_is_https(request),
    )  # fmt: skip


def _page(request: Request, next: str, problem: str = "", leave: str = "") -> Response:
    provider = _doorkeeper(request).provider
    return page(
        request, "login.html.j2", 403 if problem else 200, problem=problem, next=next, leave=leave,
        provider=provider.name if provider else "",
    )  # fmt: skip


def _refused(request: Request, error: LoginRefused) -> Response:
    logger.warning("%s %s", error.message, error.detail)
    answer = _page(request, "/", error.message)
    answer.delete_cookie(oidc.COOKIE, path=f"{_root(request)}{BEGIN}")
    return answer


def _provider(request: Request) -> Provider:
    provider = _doorkeeper(request).provider
    if provider is None:
        raise HTTPException(404, "there is no OpenID provider here")
    return provider


def _doorkeeper(request: Request) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _is_https(request: Request) -> bool:
    service: ServiceSettings = request.app.state.service.service
    told = request.headers.get("x-forwarded-proto", request.url.scheme)
    return told == "https" or service.url.startswith("https:")
