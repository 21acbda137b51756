"""The library in a real browser, over a real stack: upload, search, the moment, a name, and forgetting it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline.archive.place import index_path
from castline.local.stack import LocalStack
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
    """A stack of its own: in the one that tests share, others' recordings are found first."""
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
    """Send a form as a click does, and wait for the page that comes."""
    tab.js("document.documentElement.dataset.ready = 'old'")
    tab.js(f"document.querySelector({json.dumps(selector)}).click()")
    tab.wait("document.documentElement?.dataset.ready === 'true'", 300)


def _drop(tab: Visitor, path: Path, name: str) -> None:
    """Drop a file on the page. Its bytes reach the page in pieces: a message of the browser's has its limits."""
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
    # A file is dropped, and its recording appears by itself.
    _go(tab, library, "/")
    _drop(tab, demo, "week 1 & <i>2.mp4")
    tab.wait("document.querySelector('#uploads .soft')?.textContent === 'uploaded' || document.querySelector('.card')")
    tab.wait("document.querySelector('.card h2')?.textContent === 'week 1 & <i>2.mp4'", 900)

    # What was said is found, and its hit opens the player at that second.
    _go(tab, library, "/?q=navy")
    assert tab.js("document.querySelector('mark').textContent") == "Navy"
    at = float(tab.js("document.querySelector('.moment').href").partition("#t=")[2])
    tab.js("document.querySelector('.moment').click()")
    tab.wait("document.getElementById('media')?.readyState > 0")
    assert abs(tab.js("document.getElementById('media').currentTime") - at) < 0.1
    assert tab.js("location.pathname").startswith("/recordings/week%201%20%26%20%3Ci%3E2.mp4/")

    # Somebody unknown in that line gets a name, however hostile, and the line shows it.
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
    long = f"{'Wolfeschlegelsteinhausen' * 4}/1.jpg"  # enrolled, and in no recording
    pipeline.store.put(pipeline.settings.gallery_bucket, long, b"no picture")
    phone = Visitor(browser, size=(390, 844), dark=True)
    for path in ("/", "/?q=navy", "/people", "/?q=colour:red"):
        _go(phone, library, path)
        assert _overflow(phone) <= 0, path
    pipeline.store.delete(pipeline.settings.gallery_bucket, [long])
    assert phone.js("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"

    # Forgotten: the proof is shown, nothing is found, and no byte of the index has the name.
    _go(tab, library, "/people")
    tab.js("window.confirm = () => true")
    _submit(tab, ".faces .danger")
    assert tab.js("document.getElementById('proof').className") == "notice good", tab.js("document.body.innerText")
    _go(tab, library, "/?q=person:neil")
    assert tab.js("document.querySelectorAll('.moment').length") == 0
    index = index_path(_WHERE, pipeline.settings)
    assert not [file for file in index.parent.iterdir() if _HOSTILE.encode() in file.read_bytes()]
