"""People in the browser over HTTP: a person's page, a wrong merge split, a wrong face, photos with their reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest

from castline.service.pages import actions
from tests.people.conftest import People
from tests.service.conftest import Running
from tests.service.pages.conftest import Pages, browser
from tests.service.pages.test_pages import _form_token, _login


@pytest.fixture
def people(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> People:
    """A gallery and results on the pages' store, with photos whose first letter says who is on them."""
    found = People()
    found.store, found.settings = pages.shelf.store, pages.shelf.settings
    monkeypatch.setattr(actions, "_embedder", lambda there: found.embed)
    return found


@contextmanager
def _open(pages: Pages) -> Iterator[tuple[Running, httpx.Client, str]]:
    with pages.open() as up, browser(up) as client:
        yield up, client, _form_token(client)


def test_a_wrong_merge_is_split_and_restored(pages: Pages, people: People) -> None:
    people.enrolled(Ada=[b"A", b"A2"], Grace=[b"G"])
    people.publish("board.mp4", [people.face("A", b"A-crop"), people.face("G", b"G-crop", left=0.6)])
    with _open(pages) as (_, client, csrf):
        client.post("/people/merge", data={"csrf": csrf, "into": "Ada", "other": "Grace"})
        assert {key.partition("/")[0] for key in people.gallery()} == {"Ada"}
        page = client.get("/people/of", params={"name": "Ada"}).text
        photos = re.findall(r'name="photo" value="([^"]+)"', page)
        assert len(photos) == 3
        hers = next(key for key in photos if people.gallery()[key] == b"G")
        shown = client.get("/people/photo", params={"key": hers})
        assert shown.content == b"G" and shown.headers["content-type"] == "image/jpeg"
        parted = client.post("/people/split", data={"csrf": csrf, "name": "Ada", "photo": [hers], "into": "Grace"})
        assert parted.status_code == 303
        assert sorted(people.names("board.mp4")) == [("Ada", "known"), ("Grace", "known")]
        assert "given to Grace" in client.get("/people").text
        client.post("/people/undo", data={"csrf": csrf})
        assert client.get("/people/of", params={"name": "Grace"}).status_code == 404
        assert set(people.gallery().values()) == {b"A", b"A2", b"G"}
        assert all(key.startswith("Ada/") for key in people.gallery())
        again = client.post("/people/split", data={"csrf": csrf, "name": "Ada", "photo": ["Ada/none.jpg"], "into": "X"})
        assert again.status_code == 400 and "none of these photos" in again.text


def test_a_denied_person_stays_denied_when_the_recording_runs_again(pages: Pages, people: People) -> None:
    people.enrolled(Ada=[b"A"])
    for run in ("0" * 16, "1" * 16):
        people.publish("board.mp4", [people.face("A", b"A-crop")], said="Hello.", run=run)
        with _open(pages) as (_, client, csrf):
            if run[0] == "0":
                (label,) = re.findall(r'name="label" value="([^"]+)"', client.get("/people/of?name=Ada").text)
                data = {"csrf": csrf, "media": "board.mp4", "label": label, "name": "Ada"}
                assert client.post("/people/not", data=data).status_code == 303
            page = client.get("/people").text
            assert "0 known by name" in page and 'in board.mp4"' in page
            assert client.get("/search?q=person:ada").json()["notes"]
        assert people.names("board.mp4") == [("Ada", "known")]  # what recognition says


@pytest.mark.parametrize(
    ("file", "body", "says"),
    [
        ("a.jpg", b"A", None),
        ("poor.JPG", b"A-blurred", "small or blurred"),
        ("nobody.png", b"?", "no face found"),
        ("a.heic", b"A", "save it as one of them"),
        ("notes.txt", b"A", "save it as one of them"),
    ],
)
def test_each_photo_is_accepted_or_refused_with_its_reason(
    pages: Pages, people: People, file: str, body: bytes, says: str | None
) -> None:
    with _open(pages) as (_, client, csrf):
        own = {"X-Castline-Form": csrf, "Accept": "application/json"}
        answer = client.put(f"/people/photos/{file}", params={"name": "Ada"}, content=body, headers=own)
        if body == b"?" or file.endswith(("heic", "txt")):
            assert answer.status_code == 400 and says and says in answer.json()["detail"]
            assert not people.gallery()
        else:
            assert answer.status_code == 201 and (says or "") in answer.json()["remark"]
            assert list(people.gallery().values()) == [body]


def test_photos_need_a_form_token_a_name_and_a_size(pages: Pages, people: People) -> None:
    with _open(pages) as (up, client, csrf):
        own = {"X-Castline-Form": csrf, "Accept": "application/json"}
        assert client.put("/people/photos/a.jpg?name=Ada", content=b"A").status_code == 403
        assert client.put("/people/photos/a.jpg?name=a%2Fb", content=b"A", headers=own).status_code == 400
        large = client.put("/people/photos/a.jpg?name=Ada", content=b"A" * (65 << 20), headers=own)
        assert large.status_code == 413
        assert client.get("/people/photo?key=.changes/000000.json").status_code == 404
        assert client.get("/people/photo?key=../x.jpg").status_code == 404
    with pages.open(pages_login="always", pages_for="everybody") as up, _login(up, up.state.tokens.add("bob")) as bob:
        own = {"X-Castline-Form": _form_token(bob), "Accept": "application/json"}
        assert bob.put("/people/photos/a.jpg?name=Ada", content=b"A", headers=own).status_code == 403
    assert not people.gallery()


def test_a_person_with_a_hostile_name_has_a_page(pages: Pages, people: People) -> None:
    name = "<script>alert(1)<b> O\"Neil & 'Söhne"
    people.enrolled({name: [b"A"]})
    people.publish("board.mp4", [people.face("A", b"A-crop")])
    with _open(pages) as (_, client, csrf):
        page = client.get(f"/people/of?name={quote(name)}")
        assert page.status_code == 200 and "<script>alert" not in page.text and "board.mp4" in page.text
        assert client.get("/people/of?name=Nobody").status_code == 404
        forgotten = client.post("/people/forget", data={"csrf": csrf, "name": name}).text
        assert "is forgotten" in forgotten
