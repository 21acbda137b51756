"""Logging in with an OpenID provider that gives any answer a test wants: what is accepted, and what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from castline.errors import ServiceError, SettingsError
from castline.service.pages.doorkeeper import onward
from castline.service.settings import ServiceSettings, service_settings
from tests.answering import QuietHandler, answering
from tests.archive.conftest import Shelf
from tests.service.conftest import Running, free_port
from tests.service.pages.conftest import Pages, browser
from tests.service.pages.test_pages import _form_token

_RULES = {"oidc_read": "@example.org", "oidc_edit": "groups=desk", "oidc_admin": "ada@example.org"}
_PAGE = {"Accept": "text/html"}


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    return sqlite_shelf


class Issuer:
    """A provider whose every answer can be wrong. Codes work once, with their verifier and the secret."""

    def __init__(self) -> None:
        self.url, self.secret = "", "very & secret"
        self.key = ECKey.generate_key("P-256", parameters={"kid": "one", "use": "sig", "alg": "ES256"})
        self.alg = "ES256"
        self.person: dict[str, Any] = {"sub": "7", "email": "bob@example.org", "email_verified": True}
        self.discovery: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.sign: Callable[[dict[str, Any]], str] | None = None
        self.codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> dict[str, str]:
        """The result of a person's consent: the query with which the browser is sent back."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"].endswith("/login/oidc/back") and "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    def answer(self, path: str, form: dict[str, str], headers: Any) -> tuple[int, dict[str, Any]]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "jwks_uri": f"{self.url}/keys",
                "token_endpoint": f"{self.url}/token",
                **({"userinfo_endpoint": f"{self.url}/me"} if self.userinfo is not None else {}), **self.discovery,
            }  # fmt: skip
        if path == "/keys":
            return 200, dict(KeySet([self.key]).as_dict(private=False))
        if path == "/me":
            assert headers["Authorization"] == "Bearer access"
            return 200, self.userinfo or {}
        asked = self.codes.pop(form["code"], None)
        basic = base64.b64encode(b"castline:very%20%26%20secret").decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or headers["Authorization"] != f"Basic {basic}"
            or asked["code_challenge"] != challenge.decode()
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": "castline", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
                  **self.person, **self.claims}  # fmt: skip
        return 200, {"access_token": "access", "id_token": (self.sign or self.signed)(claims), "token_type": "Bearer"}

    def signed(self, claims: dict[str, Any], key: Any = None) -> str:
        key = key or self.key
        return jwt.encode({"alg": self.alg, "kid": key.kid}, claims, key, algorithms=[self.alg])


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, form: dict[str, str]) -> None:
            self.say(*made.answer(urlsplit(self.path).path, form, self.headers))

    with answering(Handler) as made.url:
        yield made


@pytest.fixture
def open_(pages: Pages, issuer: Issuer) -> Callable[..., Any]:
    def settings(**changed: Any) -> Any:
        known = {"oidc_issuer": issuer.url, "oidc_client_id": "castline", "oidc_client_secret": issuer.secret}
        return pages.open(**{"url": "http://127.0.0.1:1", **known, **_RULES, **changed})

    return settings


def _begin(client: httpx.Client, issuer: Issuer, next: str = "/") -> dict[str, str]:
    answer = client.get("/login/oidc", params={"next": next})
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/login/oidc" in cookie
    return issuer.authorize(answer.headers["location"])


def _log_in(client: httpx.Client, issuer: Issuer, next: str = "/") -> httpx.Response:
    return client.get("/login/oidc/back", params=_begin(client, issuer, next))


@contextmanager
def _somebody(up: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=up.url, headers=_PAGE, timeout=600) as client:
        yield client


def _refused(answer: httpx.Response, why: str) -> None:
    assert answer.status_code == 403 and why in answer.text, answer.text
    assert "castline_session" not in answer.headers.get("set-cookie", "")


def test_roles_follow_the_rules(open_: Callable[..., Any], issuer: Issuer, pages: Pages) -> None:
    with open_() as up:
        seen = {}
        for who, changed in {
            "reads": {},
            "edits": {"groups": ["all", "desk"], "email": "x@elsewhere.net"},
            "admin": {"email": "Ada@Example.org"},
        }.items():
            issuer.claims = changed
            with _somebody(up) as client:
                answer = _log_in(client, issuer, "/people?said=hello")
                assert answer.status_code == 200 and 'id="onward" href="/people?said=hello"' in answer.text
                cookies = answer.headers.get_list("set-cookie")
                [session] = [each for each in cookies if each.startswith("castline_session=")]
                assert "HttpOnly" in session and "SameSite=strict" in session and "Max-Age=43200" in session
                assert "castline_login" not in client.cookies
                assert client.get("/").status_code == 200
                form = {"csrf": _form_token(client)}
                seen[who] = [
                    client.post("/people/undo", data=form).status_code != 403,
                    client.post("/people/forget", data={**form, "name": "Nobody"}).status_code != 403,
                ]
                left = client.post("/logout", data=form)
                assert left.headers["location"] == "/login?left=1"
                assert client.get("/").headers["location"] == "/login"
        assert seen == {"reads": [False, False], "edits": [True, False], "admin": [True, True]}
        # Their session opens only the pages.
        with _somebody(up) as client:
            _log_in(client, issuer)
            assert client.get("/transcription/").status_code == client.get("/metrics").status_code == 401


def test_a_session_ends_with_the_rules_that_admitted_it(open_: Callable[..., Any], issuer: Issuer) -> None:
    with open_() as up, _somebody(up) as client:
        _log_in(client, issuer)
        session = {"Cookie": f"castline_session={client.cookies['castline_session']}"}
    for changed, status in (({}, 200), ({"oidc_read": "@example.net"}, 303), ({"oidc_issuer": ""}, 303)):
        with open_(pages_login="always", **changed) as up, _somebody(up) as client:
            assert client.get("/", headers=session).status_code == status


def test_an_answer_belongs_to_the_browser_that_began_the_login(open_: Callable[..., Any], issuer: Issuer) -> None:
    with open_() as up, _somebody(up) as ada, _somebody(up) as eve:
        answer = _begin(ada, issuer)
        _refused(eve.get("/login/oidc/back", params=answer), "not begun in this browser")  # eve has no cookie
        other = _begin(eve, issuer)
        _refused(eve.get("/login/oidc/back", params=answer), "belongs to another login")
        _begin(eve, issuer)
        _refused(eve.get("/login/oidc/back", params={**other, "state": "forged"}), "belongs to another login")
        for state in ({}, {"state": ""}, {"state": "é"}):
            _begin(eve, issuer)
            _refused(eve.get("/login/oidc/back", params={"code": "code-0", **state}), "belongs to another login")
        eve.cookies.set("castline_login", "forged.forged.forged", path="/login/oidc")
        _refused(eve.get("/login/oidc/back", params=other), "not begun in this browser")
        eve.cookies.clear()
        # It works once, and not again, even with the earlier cookie.
        begun = ada.cookies["castline_login"]
        assert ada.get("/login/oidc/back", params=answer).status_code == 200
        _refused(ada.get("/login/oidc/back", params=answer), "not begun in this browser")
        again = {"Cookie": f"castline_login={begun}"}
        _refused(eve.get("/login/oidc/back", params=answer, headers=again), "answers 400")
        # Somebody else's code in one's own login: its verifier is missing.
        own, others = _begin(eve, issuer), _begin(ada, issuer)
        _refused(eve.get("/login/oidc/back", params={**own, "code": others["code"]}), "answers 400")
        own = _begin(eve, issuer)
        _refused(eve.get("/login/oidc/back", params={**own, "iss": "https://evil.example"}), "another provider")
        own = _begin(eve, issuer)
        said = {"state": own["state"], "error": "<script>access_denied"}
        _refused(eve.get("/login/oidc/back", params=said), "&lt;script&gt;access_denied")


_NOW = int(time.time())
_CLAIMS = {
    "another's audience": {"aud": "another"},
    "no audience": {"aud": []},
    "two audiences": {"aud": ["castline", "another"]},
    "another's party": {"aud": ["castline", "another"], "azp": "another"},
    "one audience, another's party": {"azp": "another"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"iat": _NOW - 900, "exp": _NOW - 600},
    "never expires": {"exp": None},
    "from the future": {"iat": _NOW + 3600, "exp": _NOW + 7200},
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "nobody": {"sub": ""},
}


@pytest.mark.parametrize("claims", _CLAIMS.values(), ids=_CLAIMS)
def test_a_token_for_another_login_is_refused(
    open_: Callable[..., Any], issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.claims = claims
    with open_() as up, _somebody(up) as client:
        _refused(_log_in(client, issuer), "the token of 127.0.0.1")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_invalid_signatures_are_refused(open_: Callable[..., Any], issuer: Issuer) -> None:
    """Unsigned; with the public key as a secret; with a foreign key; altered."""
    public = {"pem": issuer.key.as_pem(private=False), "der": issuer.key.as_der(private=False),
              "json": json.dumps(issuer.key.as_dict(private=False)).encode()}  # fmt: skip
    own = ECKey.generate_key("P-256", parameters={"kid": "one"})

    def by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], str]:
        def made(claims: dict[str, Any]) -> str:
            text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
            return f"{text}.{_b64(sign(text.encode()))}"

        return made

    def altered(claims: dict[str, Any]) -> str:
        head, _, mark = issuer.signed(claims).split(".")
        return f"{head}.{_b64(json.dumps({**claims, 'email': 'ada@example.org'}).encode())}.{mark}"

    forged: dict[str, Callable[[dict[str, Any]], str]] = {
        "none": by_hand({"alg": "none"}, lambda _: b""),
        "None": by_hand({"alg": "None", "kid": "one"}, lambda _: b""),
        "own": lambda claims: issuer.signed(claims, own),
        "inside": by_hand({"alg": "ES256", "jwk": own.as_dict(private=False)}, lambda _: b"x" * 64),
        "altered": altered,
        "nonsense": lambda _: "a.b.c.d",
        "empty": lambda _: "",
        **{
            f"HS256 {kind}": by_hand(
                {"alg": "HS256", "kid": "one"}, lambda text, key=key: hmac.new(key, text, "sha256").digest()  # type: ignore[misc]
            )
            for kind, key in public.items()
        },
    }  # fmt: skip
    with open_() as up, _somebody(up) as client:
        for name, sign in forged.items():
            issuer.sign = sign
            _refused(_log_in(client, issuer), "is not valid")
            assert "castline_session" not in client.cookies, name
        issuer.sign = None
        assert _log_in(client, issuer).status_code == 200


def test_the_provider_s_new_key_is_fetched(open_: Callable[..., Any], issuer: Issuer) -> None:
    with open_() as up, _somebody(up) as client:
        assert _log_in(client, issuer).status_code == 200
        issuer.key, issuer.alg = RSAKey.generate_key(2048, parameters={"kid": "two"}), "RS256"
        assert _log_in(client, issuer).status_code == 200


def test_claims_that_only_userinfo_has(open_: Callable[..., Any], issuer: Issuer) -> None:
    issuer.person = {"sub": "7"}
    with open_() as up, _somebody(up) as client:
        _refused(_log_in(client, issuer), "7 of 127.0.0.1")
    with open_() as up, _somebody(up) as client:
        issuer.userinfo = {"sub": "7", "email": "bob@example.org", "email_verified": "true"}
        assert _log_in(client, issuer).status_code == 200
        assert "Log out bob@example.org" in client.get("/").text
        issuer.userinfo = {**issuer.userinfo, "sub": "8"}
        _refused(_log_in(client, issuer), "is about somebody else")


_NOBODY = {
    "an address that nobody verified": {"email": "ada@example.org", "email_verified": False},
    "nor says so": {"email": "ada@example.org", "email_verified": None},
    "another domain": {"email": "ada@evil-example.org"},
    "a domain below": {"email": "ada@x.example.org"},
    "two domains": {"email": "ada@example.org@evil.example"},
    "a domain in the name": {"email": '"ada@example.org"@evil.example'},
    "a group like it": {"email": "", "groups": ["desktop"]},
    "a group in another's shape": {"email": "", "groups": {"desk": "desk"}},
}


@pytest.mark.parametrize("claims", _NOBODY.values(), ids=_NOBODY)
def test_a_person_without_a_rule_is_not_admitted(
    open_: Callable[..., Any], issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.claims = claims
    with open_() as up, _somebody(up) as client:
        _refused(_log_in(client, issuer), "may not see this library")


def test_hostile_names(open_: Callable[..., Any], issuer: Issuer) -> None:
    with open_(oidc_read="*") as up, _somebody(up) as client:
        issuer.person = {"sub": "<script>alert(1)</script>"}
        assert _log_in(client, issuer).status_code == 200
        assert "<script>alert" not in client.get("/").text
        for name in ("a\nb", "‮abc", "x" * 300):
            issuer.person = {"sub": name}
            _refused(_log_in(client, issuer), "cannot be shown")


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": 7},
     {"authorization_endpoint": "javascript:alert(1)"}, {"end_session_endpoint": "ftp://x"}, {"jwks_uri": "file:///x"}],
)  # fmt: skip
def test_a_provider_with_an_invalid_discovery_document_is_refused(
    open_: Callable[..., Any], issuer: Issuer, discovery: dict[str, Any]
) -> None:
    issuer.discovery = discovery
    with open_() as up, _somebody(up) as client:
        _refused(client.get("/login/oidc"), "127.0.0.1")


def test_an_unreachable_provider_keeps_nobody_else_out(open_: Callable[..., Any]) -> None:
    with open_(oidc_issuer=f"http://127.0.0.1:{free_port()}") as up, _somebody(up) as client:
        _refused(client.get("/login/oidc"), "no answer that can be used")
        assert client.get("/login", params={"left": "1"}).status_code == 200
        assert client.post("/login", data={"token": up.admin}).headers["location"] == "/"


def test_logging_out_links_to_the_provider_s_logout(open_: Callable[..., Any], issuer: Issuer) -> None:
    issuer.discovery = {"end_session_endpoint": f"{issuer.url}/out?x=1"}
    with open_() as up, _somebody(up) as client:
        text = client.get("/login", params={"left": "1"}).text
        assert f"{issuer.url}/out?x=1&amp;client_id=castline&amp;post_logout_redirect_uri=http" in text


@pytest.mark.parametrize(
    ("asked", "given"),
    [("/people?said=x", "/people?said=x"), ("/recordings/a%2Fb/edit#t=9.5", "/recordings/a%2Fb/edit#t=9.5"),
     ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil.example/people", "/"), ("/people\\..", "/"),
     ("javascript:alert(1)", "/"), ("/\t/evil.example", "/"), ("/people\r\nSet-Cookie: a=b", "/"), ("", "/"),
     ("/.//evil.example", "/"), ("/logout", "/"), ("/login?next=/", "/"), ("/docs", "/"),
     (f"/people?{'x' * 3000}", "/"), ("/peoplé", "/"), ("people", "/"),
     ("/people/../..//evil.example", "/people/../..//evil.example")],
)  # fmt: skip
def test_nobody_is_redirected_elsewhere(asked: str, given: str, open_: Callable[..., Any]) -> None:
    assert onward(asked) == given
    from urllib.parse import urljoin

    assert urlsplit(urljoin("https://library.example/", given)).netloc == "library.example"


def test_a_token_leads_to_the_requested_page(open_: Callable[..., Any]) -> None:
    with open_() as up, browser(up) as client:
        wanted = "/recordings/a%2Fb.mp4/report.html?x=1"
        assert client.get(wanted).headers["location"] == f"/login?{httpx.QueryParams({'next': wanted})}"
        assert f'value="{wanted}"' in client.get("/login", params={"next": wanted}).text
        assert client.post("/login", data={"token": up.admin, "next": wanted}).headers["location"] == wanted
        assert client.post("/login", data={"token": up.admin, "next": "//evil"}).headers["location"] == "/"
        other = client.get(wanted, headers={"Sec-Fetch-Site": "cross-site", "Cookie": "x=y"})
        assert other.status_code == 200


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"oidc_issuer": "http://id.example.org"}, "neither https"), ({"url": "http://library.example.org"}, "_URL"),
     ({"url": ""}, "_URL"), ({"oidc_client_id": ""}, "CLIENT_ID"),
     ({"oidc_read": "", "oidc_edit": "", "oidc_admin": ""}, "let nobody in"),
     ({"oidc_issuer": "https:///"}, "neither https")],
)  # fmt: skip
def test_senseless_settings_are_refused(open_: Callable[..., Any], changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ServiceError, match=why), open_(**changed):
        pass


def test_malformed_rules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in ("ada", "a b@c", "=x", "groups="):
        with pytest.raises(ValueError, match="oidc_read"):
            ServiceSettings(oidc_read=rule)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="session_key"):
        ServiceSettings(session_key="short")
    service_settings.cache_clear()
    monkeypatch.setenv("CASTLINE_SERVICE_SESSION_KEY", "a secret")
    with pytest.raises(SettingsError, match="CASTLINE_SERVICE_SESSION_KEY: String should match") as told:
        service_settings()
    assert "a secret" not in f"{told.value}{told.value.detail}"
    monkeypatch.delenv("CASTLINE_SERVICE_SESSION_KEY")
    assert ServiceSettings(oidc_read="*, @a.org ,g=x=y").oidc_read == ("*", "@a.org", "g=x=y")  # type: ignore[arg-type]
