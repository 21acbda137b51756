"""Identifies the user of a page: by a session's cookie, a token, or as this machine's own user."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from castline.errors import RequestRefused
from castline.gate.origins import refuse_pages
from castline.service.pages.oidc import Provider
from castline.service.settings import ServiceSettings
from castline.service.tokens import Tokens, User

COOKIE = "castline_session"
SESSION_S = 30 * 24 * 3600
LOCAL = User("this machine", admin=True)
UPLOADS = "/uploads/"
PHOTOS = "/people/photos/"
_PAGES = ("/search.", "/recordings/", "/people", UPLOADS, "/static/", "/running", "/login/")
_OPEN = ("/login", "/static/")
_NOT_ONWARD = (*_OPEN, "/logout", UPLOADS, "/running")
_PLAIN = re.compile(r"[!-\[\]-~]*")  # no backslash, which browsers treat as a slash, and no characters that they drop
_LONGEST = 2000


def is_page(path: str) -> bool:
    """Whether a path below the service's root is one of the library's."""
    return path in ("/", "/search", "/login", "/logout") or path.startswith(_PAGES)


def is_open(path: str) -> bool:
    """Whether a path is open to everybody."""
    return path.startswith(_OPEN)


def onward(path: str) -> str:
    """The page that somebody requested before logging in, if it is one of the library's; else its first one.

    Args:
        path: path and query below the root; untrusted.
    """
    safe = len(path) <= _LONGEST and path.startswith("/") and _PLAIN.fullmatch(path) and not path.startswith("//")
    return path if safe and is_page(path.partition("?")[0]) and not path.startswith(_NOT_ONWARD) else "/"


class Doorkeeper:
    """Attributes:
    provider: with which people may log in; None for none.
    """

    def __init__(self, service: ServiceSettings, tokens: Tokens) -> None:
        self._service, self._tokens = service, tokens
        self._secret = service.session_key.encode() or _secret(service.folder / "session.key")
        self._signer = URLSafeTimedSerializer(self._secret, salt="castline-session")
        self._guests = URLSafeTimedSerializer(self._secret, salt="castline-oidc-session")
        self.provider = Provider(service, self._secret) if service.oidc_issuer else None

    def user_of(self, headers: Mapping[str, str], method: str) -> tuple[User, str] | None:
        """The user who sent a request, and the session; None for nobody.

        Args:
            headers: names in lower case.
        """
        if not self._service.pages_need_login:
            return (LOCAL, "local") if _of_this_machine(headers, method) else None
        session = _cookie(headers.get("cookie", ""))
        if guest := self._guest(session):
            return guest, session
        try:
            name, mark = self._signer.loads(session, max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        user, now = self._tokens.known(str(name))
        return (user, session) if user and hmac.compare_digest(now, str(mark)) else None

    def may_see(self, user: User) -> bool:
        return user.editor or user.reads or self._service.pages_for == "everybody"

    def session_of(self, token: str) -> str | None:
        """A cookie for the holder of a token; None if the token is nobody's. It ends when the token does."""
        user = self._tokens.user_of(token)
        if user is None:
            return None
        return self._signer.dumps([user.name, self._tokens.known(user.name)[1]])

    def session_of_guest(self, user: User) -> tuple[str, int]:
        """A cookie for a person admitted by the provider, and its lifetime in seconds; it ends if the rules change."""
        rules = self.provider.rules if self.provider else ""
        return self._guests.dumps([user.name, user.admin, user.edits, rules]), int(self._service.oidc_session_s)

    def _guest(self, session: str) -> User | None:
        if self.provider is None:
            return None
        try:
            name, admin, edits, rules = self._guests.loads(session, max_age=int(self._service.oidc_session_s))
        except (BadSignature, ValueError, TypeError):
            return None
        return User(name, admin=admin, edits=edits, reads=True) if rules == self.provider.rules else None

    def csrf_of(self, session: str) -> str:
        """The secret that a form of this session carries, and that no other site's page can know."""
        return hmac.new(self._secret, f"csrf {session}".encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, session: str, given: str) -> bool:
        return hmac.compare_digest(self.csrf_of(session).encode(), given.encode(errors="replace"))


def _of_this_machine(headers: Mapping[str, str], method: str) -> bool:
    """Whether this is a browser of this machine on these pages. Links from elsewhere may only open pages."""
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
    """The key with which sessions are signed; made once, accessible only to its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        made = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        made.rename(path)
    return path.read_bytes()
