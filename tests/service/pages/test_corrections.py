"""Correcting a recording over HTTP: who may, how conflicts are handled, and what becomes of hostile text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from castline import keys
from castline.runs.corrections import publish_again
from tests.archive.conftest import Shelf
from tests.service.conftest import Running
from tests.service.pages.conftest import Pages, browser
from tests.service.pages.test_pages import _form_token, _login

_MEDIA = "week 1/board & <b>.mp4"
_PATH = "/recordings/week%201%2Fboard%20%26%20%3Cb%3E.mp4"
_HOSTILE = "=HYPERLINK(1)</textarea><script>alert(1)</script> \u202eevil"


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    """Corrections are in no database, so one of the two is enough."""
    return sqlite_shelf


class Desk:
    """What a page's script does."""

    def __init__(self, client: httpx.Client) -> None:
        self.client, self._form = client, _form_token(client)

    def look(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{_PATH}/corrections", headers={"Accept": "*/*"}).json()
        return found

    def ask(self, marks: list[str] | None, **asked: Any) -> httpx.Response:
        headers = {"X-Castline-Form": self._form, "Accept": "application/json"}
        if marks is not None:
            headers["If-Match"] = ", ".join(f'"{mark}"' for mark in marks)
        return self.client.post(f"{_PATH}/corrections", json=asked, headers=headers)

    def say(self, line: int, *texts: str, seen: dict[str, Any] | None = None) -> httpx.Response:
        shown = (seen or self.look())["lines"][line]
        said = [{"text": text} for text in texts]
        return self.ask([shown["mark"]], do="lines", at=shown["start_s"], said=said)


@contextmanager
def _open(pages: Pages, **settings: Any) -> Iterator[Running]:
    make = pages.shelf.make
    people = [make.person(1, "Ada King", (0, 9), image="people/ada-king.jpg")]
    pages.shelf.publish(_MEDIA, ["The buget is too small.", "Yes."], people)
    publish_again(_MEDIA, pages.shelf.store, pages.shelf.settings)
    with pages.open(**settings) as up:
        yield up


def _file(pages: Pages, name: str) -> str:
    return pages.shelf.store.objects["castline-output", keys.result_key(_MEDIA, name)].decode()


def test_a_line_is_corrected_found_and_restored(pages: Pages) -> None:
    with _open(pages) as up, browser(up) as client:
        desk = Desk(client)
        now = desk.say(0, "The budget", "is too small.").json()
        assert [line["text"] for line in now["lines"]] == ["The budget", "is too small.", "Yes."]
        assert now["lines"][0]["heard"] == "The buget is too small."
        assert [(each["who"], each["what"]) for each in now["history"]] == [
            ("this machine", ["at 0:00.0 “The buget is too small.” is “The budget” / “is too small.”"])
        ]
        up.app.state.shelf.look()
        assert client.get("/search?q=budget").json()["hits"] and not client.get("/search?q=buget").json()["hits"]
        assert "The budget" in client.get(f"{_PATH}/report.html").text
        marks = [line["mark"] for line in now["lines"]]
        joined = desk.ask(marks[:2], do="lines", said=[{"text": "The budget is too small."}]).json()
        assert joined["lines"][0]["text"] == "The budget is too small."
        assert desk.ask([now["last"]], do="undo").status_code == 412
        assert desk.ask([joined["last"]], do="undo").json()["lines"][0]["text"] == "The budget"
        assert desk.ask(["x"], do="lines", said=[]).status_code == 412
        assert desk.ask(None, do="lines", said=[]).status_code == 428


def test_two_browsers_change_one_line_and_two_lines(pages: Pages) -> None:
    """The second of two browsers learns what the line is now, and by whom; other lines are no conflict."""
    with _open(pages, pages_login="always", pages_for="everybody") as up:
        ada, bob = (up.state.tokens.add(name, edits=True) for name in ("ada", "bob"))
        with _login(up, ada) as one, _login(up, bob) as other:
            first, second = Desk(one), Desk(other)
            seen = second.look()
            assert first.say(0, "The budget is tiny.").status_code == 200
            late = second.say(0, "The budget is huge.", seen=seen)
            assert late.status_code == 412
            assert late.json()["detail"].startswith("ada changed this at ")
            assert late.json()["detail"].endswith("it is now “The budget is tiny.”")
            assert second.say(1, "Yes!", seen=seen).status_code == 200
            assert [line["text"] for line in first.look()["lines"]] == ["The budget is tiny.", "Yes!"]
            assert [change["who"] for change in first.look()["history"]] == ["bob", "ada"]


def test_faces_and_voices(pages: Pages) -> None:
    with _open(pages) as up, browser(up) as client:
        desk = Desk(client)
        (ada,) = desk.look()["people"]
        answer = desk.ask([ada["mark"]], do="faces", person=ada["id"], name="Ada King", holds=False)
        assert [each["name"] for each in answer.json()["people"]] == ["Person 1"]
        assert desk.ask([ada["mark"]], do="faces", person=ada["id"], name="Eve").status_code == 412
        (person,) = desk.look()["people"]
        assert desk.ask([person["mark"]], do="faces", person=ada["id"], name="a/b").status_code == 400
        assert desk.ask([person["mark"]], do="faces", person=ada["id"], name="Grace").status_code == 200
        up.app.state.shelf.look()
        assert "Grace" in client.get("/people").text
        assert desk.ask(None, do="voice", voice="Speaker 1", name="Ada").status_code == 400
        line = desk.look()["lines"][0]
        said = [{"text": line["text"], "speaker": "Ada"}]
        assert desk.ask([line["mark"]], do="lines", said=said).json()["voices"] == ["Ada"]
        assert desk.ask(None, do="voice", voice="Ada", name="Grace").json()["lines"][0]["speaker"] == "Grace"


@pytest.mark.parametrize("role", ["nobody", "reader", "editor", "program"])
def test_who_may_correct(pages: Pages, role: str) -> None:
    with _open(pages, pages_login="always", pages_for="everybody") as up:
        token = up.state.tokens.add(role, edits=role in ("editor", "program"))
        if role == "nobody":
            with browser(up, Accept="*/*") as client:
                assert client.get(f"{_PATH}/corrections").status_code == 401
                assert client.post(f"{_PATH}/corrections", json={"do": "undo"}).status_code == 401
        elif role == "program":  # a browser's form cannot set a token in a header
            with up.client("program", token) as client:
                mark = client.get(f"{_PATH}/corrections").json()["lines"][0]["mark"]
                asked = {"do": "lines", "said": [{"text": "The budget."}]}
                answer = client.post(f"{_PATH}/corrections", json=asked, headers={"If-Match": mark})
                assert answer.status_code == 200 and answer.json()["history"][0]["who"] == "program"
        else:
            with _login(up, token) as client:
                assert Desk(client).say(0, "The budget.").status_code == (200 if role == "editor" else 403)
                assert ("<textarea" in client.get(f"{_PATH}/edit").text) is (role == "editor")
                no_form = client.post(f"{_PATH}/corrections", json={"do": "undo"}, headers={"If-Match": "change-0"})
                assert no_form.status_code == 403
                forgets = client.post("/people/forget", data={"csrf": _form_token(client), "name": "Ada King"})
                assert forgets.status_code == 403


def test_hostile_text_is_only_text_everywhere(pages: Pages) -> None:
    with _open(pages) as up, browser(up) as client:
        desk = Desk(client)
        now = desk.say(0, _HOSTILE, "<img src=x onerror=alert(1)>").json()
        assert now["lines"][0]["text"] == "=HYPERLINK(1)</textarea><script>alert(1)</script> evil"
        for path in (f"{_PATH}/edit", f"{_PATH}/corrections", "/?q=hyperlink", f"{_PATH}/report.html"):
            page = client.get(path).text
            assert "<script>alert" not in page and "<img src=x" not in page and "\u202e" not in page, path
        assert "\t'=HYPERLINK(1)" in _file(pages, "transcript.tsv")
        assert "<script>" not in _file(pages, "transcript.vtt") and "\u202e" not in _file(pages, "transcript.srt")
        assert "default-src 'none'" in client.get(f"{_PATH}/edit").headers["content-security-policy"]
        (ada,) = desk.look()["people"]
        for name in ("\u202eevil", "a\x00b", "", " ", "../up"):
            assert desk.ask([ada["mark"]], do="faces", person=ada["id"], name=name).status_code == 400, name
        named = desk.ask([ada["mark"]], do="faces", person=ada["id"], name="<b>Eve\"'")
        assert named.status_code == 200 and "<b>Eve" not in client.get(f"{_PATH}/edit").text


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"do": "format"}, {"do": "lines", "said": [{"text": 1}]}, {"do": "lines", "said": [{"text": "x" * 6000}]},
        {"do": "lines", "said": [{"text": "x"}] * 101}, {"do": "lines", "more": 1}, {"do": "lines", "at": "x"},
    ],
)  # fmt: skip
def test_invalid_changes_are_refused(pages: Pages, asked: dict[str, Any]) -> None:
    with _open(pages) as up, browser(up) as client:
        desk = Desk(client)
        assert desk.ask([desk.look()["lines"][0]["mark"]], **asked).status_code == 422
        assert not desk.look()["history"]


def test_only_recordings_have_such_a_page(pages: Pages) -> None:
    with _open(pages) as up, browser(up) as client:
        for media in ("no.mp4", ".audit", "week%201", "..%2F..%2Fx.mp4"):
            assert client.get(f"/recordings/{media}/edit").status_code == 404
        assert client.get(f"{_PATH}/corrections.json").status_code == 404
