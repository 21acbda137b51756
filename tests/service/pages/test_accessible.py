"""axe (npm's ``axe-core``) finds no fault in any page in a real Chromium: light and wide, dark and on a phone."""

from __future__ import annotations

import pytest

from castline.runs.corrections import publish_again
from tests.archive.conftest import Shelf
from tests.axe import violations
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.service.pages.conftest import Pages

__all__ = ["browser"]
_MEDIA = "week 1/board & <b>.mp4"
_PATH = "/recordings/week%201%2Fboard%20%26%20%3Cb%3E.mp4"
_PAGES = (
    "/", "/?q=budget", "/?q=colour:red", "/people", "/people/of?name=Ada+King", f"{_PATH}/edit", f"{_PATH}/report.html",
)  # fmt: skip
_LOOKS = (((1280, 800), False), ((390, 844), True))


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    return sqlite_shelf


def _complaints(browser: Browser, url: str, size: tuple[int, int], dark: bool) -> list[str]:
    tab = Visitor(browser, size=size, dark=dark)
    tab.call("Page.bringToFront")
    tab.visit(url)
    tab.wait("document.documentElement?.dataset.ready === 'true'")
    found = violations(tab)
    tab.js("document.querySelector('h1').outerHTML = '<img src=x>'")
    assert violations(tab), "axe did not answer"
    tab.call("Page.close")
    return found


def test_axe_finds_nothing(browser: Browser, pages: Pages) -> None:
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
