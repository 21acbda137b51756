"""Login with an OpenID provider: authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

A login in progress is stored in a signed cookie of the browser that began it (``Begun``), so any task may complete it.
The provider's answer is accepted only with that cookie's ``state``, and the id token only with its ``nonce``, signed by
the provider, for this client.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import AfterValidator, BaseModel, ValidationError

from castline.errors import LoginRefused, ServiceError
from castline.service.settings import LOOPBACK, ServiceSettings
from castline.service.tokens import User

COOKIE = "castline_login"
BEGIN, BACK = "/login/oidc", "/login/oidc/back"
BEGUN_S = 600
_KEPT_S = 600.0
_SILENCE_S = 10.0
_SKEW_S = 60
#: Only algorithms with public keys: neither ``none`` nor ``HS256``, for which a public key would serve as the secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_Record = TypeVar("_Record", bound=BaseModel)


def is_safe(url: str) -> bool:
    """Whether a URL is https, or leads to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def _checked(url: str) -> str:
    if url and not is_safe(url):
        raise ValueError("neither https nor on this machine")
    return url


Address = Annotated[str, AfterValidator(_checked)]


class Discovered(BaseModel):
    """What the provider says about itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: Address
    token_endpoint: Address
    jwks_uri: Address
    userinfo_endpoint: Address = ""
    end_session_endpoint: Address = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Given(BaseModel):
    """The token endpoint's answer for a code."""

    id_token: str
    access_token: str


class _KeySet(BaseModel):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Begun:
    """A login in progress.

    Attributes:
        onward: path below the root to show afterwards.
    """

    state: str
    nonce: str
    verifier: str
    onward: str


class Provider:
    """The provider that the settings name.

    Raises:
        ServiceError: the settings cannot be used, or a package is missing.
    """

    def __init__(self, service: ServiceSettings, secret: bytes) -> None:
        self._service = service
        _refuse_mistakes(service)
        self.name = urlsplit(service.oidc_issuer).netloc
        self._back = f"{service.url.rstrip('/')}{BACK}"
        self._signer = URLSafeTimedSerializer(secret, salt="castline-oidc-begun")
        self._found: tuple[float, Discovered, dict[str, Any]] | None = None
        self._lock = threading.Lock()

    @property
    def rules(self) -> str:
        """A mark that changes with the rules: sessions end when it does."""
        service = self._service
        told = (service.oidc_issuer, service.oidc_client_id, service.oidc_read, service.oidc_edit, service.oidc_admin)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def begin(self, onward: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie that it keeps until it comes back.

        Raises:
            LoginRefused: the provider does not say where to log in.
        """
        begun = Begun(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32), onward)
        digest = hashlib.sha256(begun.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._service.oidc_client_id,
            "redirect_uri": self._back,
            "scope": self._service.oidc_scopes,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        place = self._discovered()[0].authorization_endpoint
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}", self._signer.dumps(asdict(begun))

    def end(self, cookie: str, answer: Mapping[str, str]) -> tuple[User, str]:
        """Complete a login: the user, and the path to show now.

        Args:
            answer: the query with which the browser came back.

        Raises:
            LoginRefused: the login is another browser's or too old, the provider refuses, its token is not for us, or
                no rule lets this person in.
        """
        try:
            begun = Begun(**self._signer.loads(cookie, max_age=BEGUN_S))
        except (BadSignature, TypeError) as error:
            raise LoginRefused("this login was not begun in this browser, or too long ago; try again") from error
        if not secrets.compare_digest(begun.state.encode(), answer.get("state", "").encode()):
            raise LoginRefused("this answer belongs to another login; try again")
        if answer.get("iss", self._service.oidc_issuer) != self._service.oidc_issuer:  # RFC 9207
            raise LoginRefused("this answer is of another provider")
        if "error" in answer or not answer.get("code"):
            raise LoginRefused(f"{self.name} says {answer.get('error', 'nothing')[:60]}")
        given = self._given(answer["code"], begun.verifier)
        claims = self._claims(given, begun.nonce)
        return self._user(claims), begun.onward

    def leave(self) -> str:
        """Where the browser can also log out of the provider; empty if unknown."""
        try:
            place = self._discovered()[0].end_session_endpoint
        except LoginRefused:
            return ""
        query = {
            "client_id": self._service.oidc_client_id,
            "post_logout_redirect_uri": f"{self._service.url.rstrip('/')}/login",
        }
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}" if place else ""

    def _discovered(self, newer_than: float = -_KEPT_S) -> tuple[Discovered, dict[str, Any]]:
        """What the provider says about itself, and its keys, both cached for ten minutes."""
        with self._lock:
            now = time.monotonic()
            if self._found is None or now - self._found[0] > _KEPT_S or self._found[0] < newer_than:
                issuer = self._service.oidc_issuer
                place = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                found = self._asked(Discovered, "GET", place)
                if found.issuer != issuer:
                    raise LoginRefused(f"{self.name} calls itself {found.issuer[:200]!r}, and not {issuer!r}")
                self._found = now, found, self._asked(_KeySet, "GET", found.jwks_uri).model_dump()
            return self._found[1:]

    def _given(self, code: str, verifier: str) -> _Given:
        service, found = self._service, self._discovered()[0]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": verifier,
            "client_id": service.oidc_client_id,
        }
        secret, basic = service.oidc_client_secret, None
        if secret and "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            basic = (quote(service.oidc_client_id, safe=""), quote(secret, safe=""))  # RFC 6749, 2.3.1
        elif secret:
            form["client_secret"] = secret
        return self._asked(_Given, "POST", found.token_endpoint, data=form, auth=basic)

    def _claims(self, given: _Given, nonce: str) -> dict[str, Any]:
        """The id token's claims, with those that only the userinfo endpoint gives."""
        claims = self._verified(given.id_token, nonce)
        place = self._discovered()[0].userinfo_endpoint
        if not place:
            return claims
        more = self._asked(_Anything, "GET", place, headers={"Authorization": f"Bearer {given.access_token}"})
        told = more.model_extra or {}
        if told.get("sub") != claims["sub"]:
            raise LoginRefused(f"{self.name} is about somebody else")
        return {**told, **claims}

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jwk import KeySet

        service = self._service
        registry = jwt.JWTClaimsRegistry(
            leeway=_SKEW_S,
            iss={"essential": True, "value": service.oidc_issuer},
            aud={"essential": True, "value": service.oidc_client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )

        def read(keys: dict[str, Any]) -> dict[str, Any]:
            found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims  # type: ignore[arg-type]
            registry.validate(found)
            return found

        asked = time.monotonic()
        try:
            try:
                claims = read(self._discovered()[1])
            except InvalidKeyIdError:  # the provider has a new key
                claims = read(self._discovered(newer_than=asked)[1])
        except (JoseError, ValueError, TypeError) as error:
            raise LoginRefused(f"the token of {self.name} is not valid: {error}", detail=repr(error)) from error
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims.get("azp", service.oidc_client_id if len(audiences) == 1 else None) != service.oidc_client_id:
            raise LoginRefused(f"the token of {self.name} is for another program")
        return claims

    def _user(self, claims: Mapping[str, Any]) -> User:
        service = self._service
        address = _address(claims)
        name = address or f"{claims['sub']} of {self.name}"
        if len(name) > 300 or not name.isprintable():
            raise LoginRefused(f"{self.name} gives a name that cannot be shown")
        admin, edits, reads = (
            any(_fits(rule, claims, address) for rule in rules)
            for rules in (service.oidc_admin, service.oidc_edit, service.oidc_read)
        )
        if not (admin or edits or reads):
            raise LoginRefused(f"{name} may not see this library; an administrator's setting says who may")
        return User(name, admin=admin, edits=edits, reads=True)

    def _asked(self, record: type[_Record], method: str, url: str, **how: Any) -> _Record:
        try:
            with httpx.Client(timeout=_SILENCE_S, headers={"Accept": "application/json"}) as client:
                answer = client.request(method, url, **how)
            if answer.status_code == 200:
                return record.model_validate_json(answer.content)
            reason = f"{answer.status_code} {answer.text[:200]}"
        except (httpx.HTTPError, httpx.InvalidURL, ValidationError) as error:
            raise LoginRefused(f"{self.name} gives no answer that can be used", detail=f"{url}: {error!r}") from error
        raise LoginRefused(f"{self.name} answers {answer.status_code}", detail=f"{url}: {reason}")


class _Anything(BaseModel, extra="allow"):
    """A JSON object."""


def _address(claims: Mapping[str, Any]) -> str:
    """The e-mail address, if the provider has verified it; else empty."""
    address, verified = claims.get("email"), claims.get("email_verified")
    if verified not in (True, "true") or not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        return ""
    return address.casefold()


def _fits(rule: str, claims: Mapping[str, Any], address: str) -> bool:
    if rule == "*":
        return True
    name, is_claim, value = rule.partition("=")
    if is_claim:
        told = claims.get(name)
        return value in (told if isinstance(told, list) else [told])
    rule = rule.casefold()
    return bool(address) and (address.endswith(rule) if rule.startswith("@") else address == rule)


def _refuse_mistakes(service: ServiceSettings) -> None:
    wrong = {
        "CASTLINE_SERVICE_OIDC_ISSUER is neither https nor on this machine": not is_safe(service.oidc_issuer),
        "CASTLINE_SERVICE_URL must say where browsers find the service, by https or on this machine": not is_safe(
            service.url
        ),
        "CASTLINE_SERVICE_OIDC_CLIENT_ID is missing": not service.oidc_client_id,
        "CASTLINE_SERVICE_OIDC_READ, _EDIT and _ADMIN let nobody in": not (
            service.oidc_read or service.oidc_edit or service.oidc_admin
        ),
    }
    for mistake, there in wrong.items():
        if there:
            raise ServiceError(mistake)
    try:
        import joserfc  # noqa: F401
    except ModuleNotFoundError as error:
        raise ServiceError("logging in by OIDC needs: pip install 'castline[service-oidc]'") from error
