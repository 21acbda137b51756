"""The library in a real browser, on a real stack: upload, search, the moment, a name, and forgetting it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from castline.archive.place import index_path
from castline.local.stack import LocalStack
from castline.operations import rerun
from castline.runs.corrections import read_shown
from castline.service.pages.shelf import Deployment
from castline.settings import Settings
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.service.conftest import Running, running, service_settings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
__all__ = ["browser"]
_HOSTILE = '<b>O"Neil & Söhne'
_WHERE = "test"


@pytest.fixture(scope="module")
def pipeline(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    """A separate stack: in the shared one, other tests' recordings would be found first."""
    config = make_settings(prefix="shelf")
    with LocalStack(config, slots=2) as stack:
        yield attach(stack, config)


@pytest.fixture(scope="module")
def library(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    there = Deployment(pipeline.store, pipeline.settings, _WHERE, pipeline.stack.client)
    service = service_settings(tmp_path_factory.mktemp("service"), pages_refresh_s=0.2)
    with running(service, pipeline.settings, lambda: there) as up:
        yield up


@pytest.fixture
def tab(browser: Browser, library: Running) -> Iterator[Visitor]:
    page = Visitor(browser)
    yield page
    refused = [line for line in page.problems() if "Content Security Policy" in line or "exception" in line.lower()]
    assert not refused


def _go(tab: Visitor, library: Running, path: str) -> None:
    tab.visit(f"{library.url}{path}")
    tab.wait("document.documentElement?.dataset.ready === 'true'")


def _submit(tab: Visitor, selector: str) -> None:
    """Submit a form as a click does, and wait for the next page."""
    tab.js("document.documentElement.dataset.ready = 'old'")
    tab.js(f"document.querySelector({json.dumps(selector)}).click()")
    tab.wait("document.documentElement?.dataset.ready === 'true'", 300)


def _drop(tab: Visitor, path: Path, name: str) -> None:
    """Drop a file on the page. Its bytes reach the page in pieces, because the browser limits its messages."""
    import base64

    tab.js("window.pieces = []")
    body = base64.b64encode(path.read_bytes()).decode()
    for at in range(0, len(body), 400_000):
        tab.js(f"window.pieces.push({json.dumps(body[at : at + 400_000])})")
    tab.js(
        "(() => { const bytes = Uint8Array.from(atob(window.pieces.join('')), (c) => c.charCodeAt(0));"
        f"const files = new DataTransfer(); files.items.add(new File([bytes], {json.dumps(name)}));"
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })); })()"
    )


def _overflow(tab: Visitor) -> int:
    return int(tab.js("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_from_a_dropped_file_to_a_forgotten_name(
    browser: Browser, tab: Visitor, library: Running, pipeline: Any, demo: Path
) -> None:
    # A file is dropped, and its recording appears without a reload.
    _go(tab, library, "/")
    _drop(tab, demo, "week 1 & <i>2.mp4")
    tab.wait("document.querySelector('#uploads .soft')?.textContent === 'uploaded' || document.querySelector('.card')")
    tab.wait("document.querySelector('.card h2')?.textContent === 'week 1 & <i>2.mp4'", 900)

    # What was said is found, and its hit opens the player at that second.
    _go(tab, library, "/?q=navy")
    assert tab.js("document.querySelector('mark').textContent") == "Navy"
    at = float(tab.js("document.querySelector('.moment').href").partition("#t=")[2])
    tab.js("document.querySelector('.moment').click()")
    tab.wait(f"Math.abs(document.getElementById('media')?.currentTime - {at}) < 0.1")
    assert tab.js("location.pathname").startswith("/recordings/week%201%20%26%20%3Ci%3E2.mp4/")

    # An unknown person in that line gets a name, however hostile, and the line shows it.
    _go(tab, library, "/people")
    card = "[...document.querySelectorAll('.faces li')].find((li) => li.textContent.includes('Person 2'))"
    tab.js(f"{card}.querySelector('[name=name]').value = {json.dumps(_HOSTILE)}; {card}.id = 'wanted'")
    _submit(tab, "#wanted form button")
    assert tab.js("document.querySelector('.notice.good') !== null"), tab.js("document.body.innerText")
    assert tab.js("document.querySelector('.faces .face strong').textContent") == _HOSTILE
    _go(tab, library, "/?q=navy")
    assert tab.js("document.querySelector('.who .known').textContent") == _HOSTILE
    _go(tab, library, "/?q=person:neil")
    assert tab.js("document.querySelectorAll('.moment').length") > 0

    # On a phone nothing is wider than the screen.
    long = f"{'Wolfeschlegelsteinhausen' * 4}/1.jpg"  # enrolled, but in no recording
    pipeline.store.put(pipeline.settings.gallery_bucket, long, b"no picture")
    phone = Visitor(browser, size=(390, 844), dark=True)
    for path in ("/", "/?q=navy", "/people", "/?q=colour:red"):
        _go(phone, library, path)
        assert _overflow(phone) <= 0, path
    pipeline.store.delete(pipeline.settings.gallery_bucket, [long])
    assert phone.js("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"

    # Forgotten: the proof is shown, nothing is found, and no byte of the index contains the name.
    _go(tab, library, "/people")
    tab.js("window.confirm = () => true")
    _submit(tab, ".faces .danger")
    assert tab.js("document.getElementById('proof').className") == "notice good", tab.js("document.body.innerText")
    _go(tab, library, "/?q=person:neil")
    assert tab.js("document.querySelectorAll('.moment').length") == 0
    index = index_path(_WHERE, pipeline.settings)
    assert not [file for file in index.parent.iterdir() if _HOSTILE.encode() in file.read_bytes()]


_AGAIN = ("story/one.mp4", "story/two.mp4")
_SIZES = (((1280, 800), False), ((390, 844), False), ((1280, 800), True))


def test_corrections_outlive_a_second_run(
    browser: Browser, tab: Visitor, library: Running, pipeline: Any, demo: Path
) -> None:
    """A line is corrected, a person named everywhere and denied in one file; both run again; the name is forgotten."""
    before = pipeline.results([pipeline.upload(demo, key) for key in _AGAIN])
    one, two = _AGAIN

    # From a hit to the report, to its lines, to the corrected one.
    tab.wait("location.href === 'about:blank'")
    tab.call("Page.bringToFront")
    _go(tab, library, "/")
    tab.wait("fetch('/search?q=navy+file:story').then((each) => each.json()).then((found) => found.hits.length >= 2)")
    _go(tab, library, "/?q=navy+file:story/one")
    tab.js("document.querySelector('.moment').click()")
    tab.wait("document.getElementById('correct')?.offsetParent != null")
    tab.wait("document.documentElement.dataset.ready === 'true'")
    tab.js("document.getElementById('correct').click()")
    tab.wait("location.pathname.endsWith('/edit') && document.activeElement?.tagName === 'TEXTAREA'")
    heard = tab.js("document.activeElement.value")
    assert "Navy" in heard
    right = heard.replace("Navy", "<b>Fleet</b>")
    tab.js("document.activeElement.select()")
    tab.call("Input.insertText", text=right)
    tab.key("Enter")
    tab.wait("document.querySelector('#history').dataset.last === 'change-1'")
    tab.wait("document.getElementById('media').readyState > 0")  # it plays the line's moment

    # An unknown person gets a name, which both recordings show. In the second one it is somebody else.
    _go(tab, library, "/people")
    of = "[...document.querySelectorAll('form.name')].find((each) => each.elements.media.value.startsWith('story/'))"
    tab.js(f"{of}.elements.name.value = {json.dumps(_HOSTILE)}; {of}.id = 'wanted'")
    _submit(tab, "#wanted button")
    shows = tab.js("document.querySelector('.faces').innerText")
    assert re.search("[23] recordings", shows), tab.js("document.body.innerText")
    tab.js("document.querySelector('.faces a[href*=\"/people/of\"]').click()")
    tab.wait("location.pathname === '/people/of' && document.documentElement?.dataset.ready === 'true'")
    _pictures(browser, library, {"edit": f"/recordings/{quote(one, safe='')}/edit", "people": "/people",
                                 "person": tab.js("location.pathname + location.search")})  # fmt: skip
    card = f"[...document.querySelectorAll('.faces li')].find((li) => li.textContent.includes({json.dumps(two)}))"
    tab.js(f"{card}.id = 'other'")
    seen = tab.js("document.querySelectorAll('form[action$=\"/people/not\"]').length")
    _submit(tab, "#other form button")
    assert tab.js("document.querySelectorAll('form[action$=\"/people/not\"]').length") == seen - 1

    # One is processed with other options, the other one with the same.
    pipeline.store.put(pipeline.settings.input_bucket, f"{one}.json", b'{"interval_s": 0.7, "beam": 1}')
    bucket, result = pipeline.settings.output_bucket, f"{two}/result.json"
    written = pipeline.store.head(bucket, result).last_modified
    rerun(two, pipeline.stack.client, pipeline.store, pipeline.settings)
    _when(lambda: pipeline.store.head(bucket, result).last_modified > written)
    _when(lambda: (now := pipeline.look(one).result) and now.run != before[one].run)
    published = pipeline.output(one)
    assert "Navy" in pipeline.look(one).result.transcript.text
    assert b"Fleet" in published["transcript.txt"] and b"Fleet" in published["transcript.ttml"]
    assert b"Navy" not in published["transcript.srt"]
    _go(tab, library, "/?q=fleet")
    tab.wait("fetch('/search?q=fleet').then((each) => each.json()).then((found) => found.hits.length === 1)")
    _go(tab, library, "/?q=fleet")
    assert tab.js("document.querySelector('mark').textContent") == "Fleet"
    found = tab.js("fetch('/search?q=navy+file:story').then((each) => each.json())")
    assert {hit["media"] for hit in found["hits"]} == {two}
    shown = read_shown(two, pipeline.store, pipeline.settings)
    assert shown and _HOSTILE not in {person.name for person in shown.view.result.people}
    assert _HOSTILE in {person.name for person in shown.machine.people}

    # Forgotten: in no file, in no history, and nothing is found.
    _go(tab, library, "/people")
    tab.js("window.confirm = () => true")
    _submit(tab, ".faces .danger")
    assert tab.js("document.getElementById('proof').className") == "notice good", tab.js("document.body.innerText")
    for media in _AGAIN:
        for name, body in pipeline.output(media).items():
            assert b"Neil" not in body, (media, name)
    _go(tab, library, "/?q=person:neil")
    assert tab.js("document.querySelectorAll('.moment').length") == 0
    assert b"Fleet" in pipeline.output(one)["transcript.txt"]  # spoken words stay


def _when(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)


def _pictures(browser: Browser, library: Running, pages: dict[str, str]) -> None:
    """Every page on three screens: nothing is too wide; takes pictures of the pages on request."""
    for name, path in pages.items():
        for size, dark in _SIZES:
            page = Visitor(browser, size=size, dark=dark)
            _go(page, library, path)
            assert _overflow(page) <= 0, (name, size)
            if folder := os.environ.get("CASTLINE_TEST_PICTURES"):
                page.wait("[...document.images].every((each) => each.complete || each.loading === 'lazy')")
                time.sleep(1)  # the player's first picture
                page.screenshot(Path(folder) / f"{name}-{size[0]}{'-dark' if dark else ''}.png")
            page.call("Page.close")
