"""The library's pages over HTTP: what they show, to whom, and what they refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from castline import keys
from castline.archive.search import search
from castline.records import Failure
from castline.runs.common import read_result
from tests.service.conftest import Running, until
from tests.service.pages.conftest import Pages, browser

_HOSTILE = "<script>alert(1)</script> \u202e\"'&.mp4"


def _form_token(client: httpx.Client) -> str:
    found = re.search(r'data-form="([0-9a-f]{64})"', client.get("/").text)
    assert found
    return found[1]


def _fill(pages: Pages) -> None:
    make = pages.shelf.make
    people = [make.person(1, "Ada King", (0, 9), image="people/ada-king.jpg")]
    pages.shelf.publish("week 1/board.mp4", ["The budget is too small."], people)
    pages.shelf.publish(_HOSTILE, ["<img src=x onerror=alert(1)> budget"], [make.person(1, "<b>Eve</b>", (0, 9))])
    error = Failure(code="not_media", message="this is not media")
    pages.shelf.publish("bad.mp4", status="failed", error=error)


def test_home_shows_all_recordings_and_why_one_failed(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up, browser(up) as client:
        home = client.get("/").text
        assert "3 recordings" in home and "this is not media" in home
        assert 'href="/recordings/week%201%2Fboard.mp4/report.html"' in home
        failed = client.get("/?show=failed").text
        assert "bad.mp4" in failed and "board.mp4" not in failed
        assert client.get("/?sort=nonsense&offset=-5&show=x").status_code == 200


def test_requests_from_other_sites_do_nothing(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up, browser(up) as client:
        for path in ("/", "/?q=budget", "/people", "/?q=%3Cscript%3Ealert(1)%3C/script%3E"):
            answer = client.get(path)
            assert (
                "<script>alert" not in answer.text and "<img src=x" not in answer.text and "<b>Eve" not in answer.text
            )
            assert "\u202e" not in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy


def test_search_answers_like_the_command(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up, browser(up) as client:
        answer = client.get("/search", params={"q": "budget person:ada", "limit": 5})
        assert answer.content == search(up.app.state.shelf.index, "budget person:ada", limit=5).to_json()
        assert json.loads(answer.text)["hits"][0]["media"] == "week 1/board.mp4"
        wrong = client.get("/search", params={"q": "colour:red"})
        assert wrong.status_code == 400 and "colour: is not a field" in wrong.json()["detail"]
        page = client.get("/", params={"q": "budget person:ada"}).text
        assert "<mark>budget</mark>" in page and "report.html#t=0.000" in page
        assert "is not a field" in client.get("/", params={"q": "colour:red"}).text


@pytest.mark.parametrize(
    ("asked", "status", "body", "span"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=x", 200, b"0123456789", None),
    ],
)
def test_recordings_are_served_in_ranges(
    pages: Pages, asked: str | None, status: int, body: bytes | None, span: str | None
) -> None:
    pages.shelf.publish("a/b.mp4")
    pages.shelf.store.put("castline-input", "a/b.mp4", b"0123456789")
    with pages.open() as up, browser(up) as client:
        path = "/recordings/a%2Fb.mp4/b.mp4"
        answer = client.get(path, headers={"Range": asked} if asked else {})
        assert answer.status_code == status and answer.headers.get("content-range") == span
        assert body is None or answer.content == body
        if status != 416:
            etag = answer.headers["etag"]
            assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
            late = client.get(path, headers={"Range": "bytes=2-4", "If-Range": '"another"'})
            assert late.status_code == 200 and late.content == b"0123456789"


def test_a_shown_recording_s_proxy_is_served_in_ranges(pages: Pages) -> None:
    pages.shelf.publish("a/b.mpg")
    result = read_result("a/b.mpg", pages.shelf.store, pages.shelf.settings)
    assert result
    path = "/recordings/a%2Fb.mpg/proxy.mp4"
    with pages.open() as up, browser(up) as client:
        assert client.get(path).status_code == 404
        pages.shelf.store.put("castline-stage-1", keys.proxy_key("a/b.mpg", "0" * 16), b"of another upload")
        assert client.get(path).status_code == 404
        pages.shelf.store.put("castline-stage-1", keys.proxy_key("a/b.mpg", result.run), b"0123456789")
        answer = client.get(path, headers={"Range": "bytes=2-4"})
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, b"234", "video/mp4")


def test_only_files_of_recordings_are_served(pages: Pages) -> None:
    _fill(pages)
    store = pages.shelf.store
    store.put("castline-output", keys.result_key("week 1/board.mp4", "report.html"), b"<p>report")
    store.put("castline-output", "week 1/board.mp4/0123456789abcdef/parts/frames-0000.json", b"{}")
    store.put("castline-input", "week 1/board.mp4.json", b"{}")
    store.put("castline-input", "other.mp4", b"x")
    with pages.open() as up, browser(up) as client:
        report = client.get("/recordings/week%201%2Fboard.mp4/report.html")
        assert report.text == "<p>report" and report.headers["content-type"] == "text/html; charset=utf-8"
        for rest in (
            "week 1/board.mp4/0123456789abcdef/parts/frames-0000.json", "week 1/board.mp4.json", "other.mp4",
            "week 1/board.mp4/other.mp4", ".audit/x", "week 1/board.mp4/../../other.mp4", "",
        ):  # fmt: skip
            assert client.get(f"/recordings/{rest}").status_code == 404, rest
        assert client.get("/static/..%2Ftemplates%2Fbase.html.j2").status_code == 404
        assert client.get("/static/pages.css").headers["content-type"].startswith("text/css")


def test_without_a_login_only_this_machine_s_own_pages_may_ask(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up:
        with browser(up, Host="evil.example") as client:
            assert client.get("/").status_code == 401
        with browser(up, Origin="http://evil.example", **{"Sec-Fetch-Site": "cross-site"}) as client:
            assert client.get("/search?q=budget").status_code == 401
            assert client.post("/people/forget", data={"name": "Ada King"}).status_code == 401
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        with httpx.Client(base_url=up.url, headers=link) as client:
            assert client.get("/").status_code == 200
            assert client.post("/people/forget", data={"name": "Ada King"}).status_code == 401


def test_a_form_without_a_token_changes_nothing(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up, browser(up) as client:
        for path, data in (
            ("/people/forget", {"name": "Ada King"}),
            ("/people/merge", {"into": "a", "other": "b", "csrf": "0" * 64}),
            ("/people/undo", {}),
            ("/recordings/again", {"media": "bad.mp4"}),
        ):
            assert client.post(path, data=data).status_code == 403
        assert client.put("/uploads/new.mp4", content=b"x").status_code == 403
        assert ("castline-input", "new.mp4") not in pages.shelf.store.objects


def test_run_again_starts_the_splitter(pages: Pages) -> None:
    _fill(pages)
    with pages.open() as up, browser(up) as client:
        token = _form_token(client)
        assert client.post("/recordings/again", data={"media": "bad.mp4", "csrf": token}).status_code == 303
        assert client.post("/recordings/again", data={"media": "no.mp4", "csrf": token}).status_code == 400
    assert [call["FunctionName"] for call in pages.calls] == ["video-splitting"]


def test_uploads_are_stored_whole_and_never_overwrite_another(pages: Pages, tmp_path: Path) -> None:
    with pages.open(max_bytes=10_000_000) as up, browser(up) as client:
        own = {"X-Castline-Form": _form_token(client)}
        body = bytes(range(256)) * 20_000
        assert client.put("/uploads/a%20%2Fb%3F.mp4", content=body, headers=own).status_code == 201
        assert pages.shelf.store.objects["castline-input", "a /b?.mp4"] == body
        assert client.put("/uploads/a%20%2Fb%3F.mp4", content=b"y", headers=own).status_code == 409
        assert client.put("/uploads/notes.txt", content=b"y", headers=own).status_code == 400
        assert client.put("/uploads/a/%2E%2E/b.mp4", content=b"y", headers=own).status_code in (400, 201)
        assert client.put("/uploads/large.mp4", content=b"y" * 12_000_000, headers=own).status_code == 413
        assert ("castline-input", "large.mp4") not in pages.shelf.store.objects
        assert not list((tmp_path / "service" / "uploads").iterdir())


@contextmanager
def _login(up: Running, token: str) -> Iterator[httpx.Client]:
    with browser(up) as client:
        answer = client.post("/login", data={"token": token})
        assert answer.status_code == 303, answer.text
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        yield client


def test_from_elsewhere_people_log_in_with_their_token(pages: Pages) -> None:
    _fill(pages)
    with pages.open(pages_login="always") as up:
        with browser(up) as nobody:
            assert nobody.get("/").headers["location"] == "/login"
            assert nobody.get("/search?q=budget", headers={"Accept": "*/*"}).status_code == 401
            assert nobody.get("/recordings/bad.mp4/report.html", headers={"Accept": "*/*"}).status_code == 401
            assert nobody.get("/login").status_code == 200
            wrong = nobody.post("/login", data={"token": "root:wrong"})
            assert wrong.status_code == 403 and "set-cookie" not in wrong.headers
        with _login(up, up.admin) as client:
            assert "3 recordings" in client.get("/").text
            form = _form_token(client)
            forged = f"castline_session={client.cookies['castline_session']}x"
            with browser(up, Cookie=forged, Accept="*/*") as somebody:
                assert somebody.get("/search?q=budget").status_code == 401
            assert client.post("/logout", data={"csrf": form}).headers["location"] == "/login"
            assert client.get("/").headers["location"] == "/login"
        with up.client("root", up.admin) as program:
            assert program.get("/search", params={"q": "budget"}).status_code == 200


def test_a_session_ends_with_its_token(pages: Pages) -> None:
    with pages.open(pages_login="always") as up, _login(up, up.admin) as client:
        assert client.get("/").status_code == 200
        up.state.tokens.add("root", admin=True)
        assert client.get("/").headers["location"] == "/login"


def test_others_see_the_library_only_if_configured_and_change_nothing(pages: Pages) -> None:
    _fill(pages)
    with pages.open(pages_login="always") as up, _login(up, up.state.tokens.add("bob")) as client:
        assert client.get("/").status_code == 403
    with (
        pages.open(pages_login="always", pages_for="everybody") as up,
        _login(up, up.state.tokens.add("bob")) as client,
    ):
        assert "3 recordings" in client.get("/").text
        form = _form_token(client)
        assert client.post("/people/undo", data={"csrf": form}).status_code == 403
        assert client.put("/uploads/x.mp4", content=b"x", headers={"X-Castline-Form": form}).status_code == 403


def test_a_missing_stack_is_reported(pages: Pages) -> None:
    from castline.errors import LocalStackError
    from tests.service.conftest import running, service_settings

    def find() -> object:
        raise LocalStackError("no stack")

    with running(service_settings(pages._folder), None, find) as up, browser(up) as client:  # type: ignore[arg-type]
        for path in ("/", "/people", "/recordings/a.mp4/report.html"):
            answer = client.get(path)
            assert answer.status_code == 503 and "castline up" in answer.text
        assert client.get("/search?q=a").status_code == 503


def test_a_new_result_shows_itself(pages: Pages) -> None:
    with pages.open(pages_refresh_s=0.05) as up, browser(up) as client:
        pages.shelf.publish("new.mp4", ["Something about a budget."])
        until(lambda: client.get("/search?q=budget").json()["hits"])
        pages.shelf.remove("new.mp4")
        until(lambda: not client.get("/search?q=budget").json()["hits"])


def test_hits_are_downloaded_as_a_file(pages: Pages) -> None:
    pages.shelf.publish("=1+1.mp4", ["A budget."])
    with pages.open() as up, browser(up) as client:
        assert 'formaction="/search.edl"' in client.get("/?q=budget").text
        answer = client.get("/search.csv?q=budget")
        assert answer.headers["content-disposition"] == 'attachment; filename="moments.csv"'
        assert "'=1+1.mp4,0.000" in answer.text
        assert "FCM: DROP FRAME" in client.get("/search.edl?q=budget&rate=29.97df").text
        assert client.get("/search.otio?q=budget").json()["OTIO_SCHEMA"].startswith("Timeline")
        for wrong in ("/search.exe?q=a", "/search.edl?q=a&rate=x", "/search.csv?q=colour:red"):
            assert client.get(wrong).status_code == 400
    with pages.open(pages_login="always") as up, browser(up, Accept="application/json") as client:
        assert client.get("/search.csv?q=budget").status_code in (303, 401)
