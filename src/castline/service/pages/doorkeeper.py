"""Who is at the door of the pages: a session's cookie, a token, or this machine's own user."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from castline.errors import RequestRefused
from castline.gate.origins import refuse_pages
from castline.service.settings import ServiceSettings
from castline.service.tokens import Tokens, User

COOKIE = "castline_session"
SESSION_S = 30 * 24 * 3600
LOCAL = User("this machine", admin=True)
UPLOADS = "/uploads/"
PHOTOS = "/people/photos/"
_PAGES = ("/search.", "/recordings/", "/people", UPLOADS, "/static/", "/running")
_OPEN = ("/login", "/static/")


def is_page(path: str) -> bool:
    """Whether a path below the service's root is one of the library's."""
    return path in ("/", "/search", "/login", "/logout") or path.startswith(_PAGES)


def is_open(path: str) -> bool:
    """Whether nobody has to say who he is for it."""
    return path.startswith(_OPEN)


class Doorkeeper:
    def __init__(self, service: ServiceSettings, tokens: Tokens) -> None:
        self._service, self._tokens = service, tokens
        self._secret = _secret(service.folder / "session.key")
        self._signer = URLSafeTimedSerializer(self._secret, salt="castline-session")

    def user_of(self, headers: Mapping[str, str], method: str) -> tuple[User, str] | None:
        """Who asks, and the session; None for nobody.

        Args:
            headers: names in lower case.
        """
        if not self._service.pages_need_login:
            return (LOCAL, "local") if _of_this_machine(headers, method) else None
        session = _cookie(headers.get("cookie", ""))
        try:
            name, mark = self._signer.loads(session, max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        user, now = self._tokens.known(str(name))
        return (user, session) if user and hmac.compare_digest(now, str(mark)) else None

    def may_see(self, user: User) -> bool:
        return user.editor or self._service.pages_for == "everybody"

    def session_of(self, token: str) -> str | None:
        """The cookie of whoever has a token; None where it is nobody's. It ends when the token does."""
        user = self._tokens.user_of(token)
        if user is None:
            return None
        return self._signer.dumps([user.name, self._tokens.known(user.name)[1]])

    def csrf_of(self, session: str) -> str:
        """What a form of this session carries, and no other site's page can know."""
        return hmac.new(self._secret, f"csrf {session}".encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, session: str, given: str) -> bool:
        return hmac.compare_digest(self.csrf_of(session).encode(), given.encode(errors="replace"))


def _of_this_machine(headers: Mapping[str, str], method: str) -> bool:
    """A browser of this machine on these pages. Following a link from elsewhere may look, and change nothing."""
    seen = dict(headers)
    if method == "GET" and seen.get("sec-fetch-mode") == "navigate" and seen.get("sec-fetch-dest") == "document":
        seen.pop("sec-fetch-site", None)
    try:
        refuse_pages(seen)
    except RequestRefused:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _secret(path: Path) -> bytes:
    """The key that sessions are signed with; made once, its owner's alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        made = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        made.rename(path)
    return path.read_bytes()
