"""What axe (npm's ``axe-core``) says of each page in a real Chromium, light and wide, dark and on a phone: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.runs.corrections import publish_again
from tests.archive.conftest import Shelf
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.service.pages.conftest import Pages

__all__ = ["browser"]
_AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
_MEDIA = "week 1/board & <b>.mp4"
_PATH = "/recordings/week%201%2Fboard%20%26%20%3Cb%3E.mp4"
_PAGES = (
    "/", "/?q=budget", "/?q=colour:red", "/people", "/people/of?name=Ada+King", f"{_PATH}/edit", f"{_PATH}/report.html",
)  # fmt: skip
_LOOKS = (((1280, 800), False), ((390, 844), True))
_ASK = """axe.run().then((found) => [found.passes.length, found.violations.flatMap((each) =>
  each.nodes.map((node) => `${each.id}: ${node.target} ${node.failureSummary}`))])"""


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    return sqlite_shelf


def _complaints(browser: Browser, url: str, size: tuple[int, int], dark: bool) -> list[str]:
    tab = Visitor(browser, size=size, dark=dark)
    tab.call("Page.bringToFront")
    tab.visit(url)
    tab.wait("document.documentElement?.dataset.ready === 'true'")
    tab.js(f"{_AXE.read_text()}; undefined")
    passed, found = tab.js(_ASK)
    assert passed > 10, "it looked at nothing"
    tab.js("document.querySelector('h1').outerHTML = '<img src=x>'")
    assert tab.js(_ASK)[1], "it would not say"
    tab.call("Page.close")
    return list(found)


def test_axe_finds_nothing(browser: Browser, pages: Pages) -> None:
    if not _AXE.exists():
        pytest.skip("axe is not here: npm ci in tests/service/pages/node (make .venv/.dev)")
    make = pages.shelf.make
    people = [make.person(1, "Ada King", (0, 9), (30, 40)), make.person(2, "", (20, 29), identity="unknown")]
    lines = ["Good morning.", "The budget is too small."]
    segments = [make.segment(at, each, 9.0 * at, 9.0 * at + 6, timed=True) for at, each in enumerate(lines)]
    pages.shelf.publish(_MEDIA, segments, people)
    publish_again(_MEDIA, pages.shelf.store, pages.shelf.settings)
    found: dict[str, list[str]] = {}
    with pages.open() as up:
        for size, dark in _LOOKS:
            for path in _PAGES:
                found[f"{path} {size[0]} dark={dark}"] = _complaints(browser, f"{up.url}{path}", size, dark)
    with pages.open(pages_login="always") as up:
        for size, dark in _LOOKS:
            found[f"login {size[0]} dark={dark}"] = _complaints(browser, f"{up.url}/login", size, dark)
    assert {page: wrong for page, wrong in found.items() if wrong} == {}
