"""Decides who may send requests, how many and how large, before a body is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from castline.errors import RequestRefused
from castline.gallery.load import MAX_PHOTO_BYTES
from castline.gate.origins import refuse_pages
from castline.service.pages.doorkeeper import PHOTOS, UPLOADS, Doorkeeper, is_open, is_page, onward
from castline.service.pages.render import page
from castline.service.settings import ServiceSettings
from castline.service.tokens import Tokens, User

ANONYMOUS = User("anonymous")
UNAUTHORIZED = "Invalid authorization token"
_OPEN = frozenset({"/health", "/docs", "/openapi.json"})
_MEDIA = ("/v1/audio/", "/asr", "/detect-language")
_JSON_BYTES = 1 << 20
_FORM_BYTES = 17 << 20  # bytes of a form around its file: the voices of four known speakers, and a little more


class Border:
    """ASGI middleware. An accepted request has its ``User`` in ``scope["state"]["user"]``."""

    def __init__(
        self, app: ASGIApp, *, service: ServiceSettings, tokens: Tokens, doorkeeper: Doorkeeper | None = None
    ) -> None:
        self._app, self._service, self._tokens = app, service, tokens
        self._doorkeeper = doorkeeper
        self._meter = _Meter(service.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path in _OPEN:
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        user = await self._user(headers)
        if self._doorkeeper and is_page(path):
            answer = await self._at_the_door(self._doorkeeper, scope, headers, path, user)
            if answer is not None:
                await answer(scope, receive, send)
                return
            user = scope["state"]["user"]
        if user is None:
            await refusal(path, 401, UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        wait_s = self._meter.wait_s(user.name)
        if wait_s:
            await refusal(path, 429, "Too many requests", {"Retry-After": str(wait_s)})(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = user
        limit = _limit(path, self._service.max_bytes)
        if int(_digits(headers.get("content-length", ""))) > limit:
            await refusal(path, 413, too_large(limit), {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, limit), send)

    async def _at_the_door(
        self, doorkeeper: Doorkeeper, scope: Scope, headers: Mapping[str, str], path: str, user: User | None
    ) -> Response | None:
        """Put the user of a page into the scope's state; returns an answer for users who may not see it."""
        if user in (None, ANONYMOUS):
            found = await run_sync(doorkeeper.user_of, headers, scope["method"])
        else:
            found = (user, f"token {user.name}") if user else None
        state = scope.setdefault("state", {})
        if found is None:
            state["user"], state["session"] = ANONYMOUS, ""
            if is_open(path):
                return None
            if scope["method"] == "GET" and "text/html" in headers.get("accept", "") and self._service.pages_need_login:
                return _to_the_login(Request(scope), headers.get("sec-fetch-site", ""))
            return refusal(path, 401, UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        state["user"], state["session"] = found
        state["csrf"] = doorkeeper.csrf_of(found[1])
        if not (doorkeeper.may_see(found[0]) or is_open(path) or path == "/logout"):
            return refusal(path, 403, "the library is for administrators here")
        return None

    async def _user(self, headers: Mapping[str, str]) -> User | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            user = await run_sync(self._tokens.user_of, token.strip())
            if user or not self._service.anonymous:
                return user
        if not self._service.anonymous:
            return None
        try:  # without a token, any page in a browser could send requests as well as the machine's user
            refuse_pages(headers)
        except RequestRefused:
            return None
        return ANONYMOUS


def _limit(path: str, max_bytes: int) -> int:
    """How many bytes a request may have.

    Args:
        max_bytes: of a recording.
    """
    if path.startswith(_MEDIA):
        return max_bytes + _FORM_BYTES
    if path.startswith(UPLOADS):
        return max_bytes
    return MAX_PHOTO_BYTES if path.startswith(PHOTOS) else _JSON_BYTES


def _to_the_login(request: Request, site: str) -> Response:
    """Links on other sites do not send the session (SameSite=Strict): a page of ours requests the target again."""
    root, query = request.scope.get("root_path", ""), request.url.query
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0].removeprefix(root)
    wanted = onward(f"{path}?{query}" if query else path)
    if site == "cross-site":
        return page(request, "onward.html.j2", to=f"{root}{wanted}")
    return RedirectResponse(f"{root}/login" if wanted == "/" else f"{root}/login?{urlencode({'next': wanted})}", 303)


def _bounded(receive: Receive, limit: int) -> Receive:
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, too_large(limit))
        return message

    return bounded


def too_large(limit: int) -> str:
    return f"More than {limit} bytes"


def refusal(path: str, status: int, message: str, headers: Mapping[str, str] | None = None, code: str = "") -> Response:
    """An error in the format of the API concerned."""
    body: dict[str, object] = {"detail": message}
    if path.startswith("/v1/"):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = {"error": {"message": message, "type": kind, "param": None, "code": code or _CODES.get(status)}}
    return JSONResponse(body, status, headers=dict(headers or {}))


_CODES = {401: "invalid_api_key", 404: "not_found", 413: "too_large", 429: "rate_limit_exceeded"}


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 19 else "0"


class _Meter:
    """A token bucket per user that holds a minute's requests and is refilled continuously."""

    _MOST = 10_000

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, user: str) -> int:
        """Seconds until the user may send another request; 0 for now."""
        now, rate = time.monotonic(), self._per_minute / 60
        with self._lock:
            left, seen = self._left.get(user, (float(self._per_minute), now))
            left = min(left + (now - seen) * rate, self._per_minute)
            if left < 1:
                return int((1 - left) / rate) + 1
            if len(self._left) >= self._MOST:
                self._left.clear()
            self._left[user] = (left - 1, now)
            return 0
