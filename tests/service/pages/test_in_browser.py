"""Correcting in a real Chromium: by keyboard alone, two at once, hostile text, on a phone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import imageio_ffmpeg
import pytest

from castline import keys
from castline.media import make_proxy, probe
from castline.media.ffmpeg import Limits
from castline.runs.corrections import publish_again
from castline.service.pages import actions
from tests.archive.conftest import Shelf
from tests.axe import violations
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.people.conftest import People
from tests.service.conftest import Running
from tests.service.pages.conftest import Pages

__all__ = ["browser"]
_MEDIA = "week 1/board & <b>.mp4"
_PATH = "/recordings/week%201%2Fboard%20%26%20%3Cb%3E.mp4"
_LINES = [
    "Good morning, and welcome to the board.", "The buget is too small.", "Yes.", "We will talk about it next year.",
    "Thank you all.",
]  # fmt: skip
_CTRL, _ALT = 2, 1
Open = Callable[..., Visitor]


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    """Corrections are in no database, so one of the two is enough."""
    return sqlite_shelf


@pytest.fixture
def up(pages: Pages) -> Iterator[Running]:
    make = pages.shelf.make
    people = [
        make.person(1, "Ada King", (0, 9), (30, 40)),
        make.person(2, "", (20, 29), identity="unknown"),
    ]
    segments = [
        make.segment(at, text, 10.0 * at, 10.0 * at + 6, timed=True, speaker=f"Speaker {at % 2 + 1}")
        for at, text in enumerate(_LINES)
    ]
    pages.shelf.publish(_MEDIA, segments, people)
    publish_again(_MEDIA, pages.shelf.store, pages.shelf.settings)
    with pages.open(pages_refresh_s=0.1) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, up: Running) -> Iterator[Open]:
    opened: list[Visitor] = []

    def open_(path: str = f"{_PATH}/edit", **how: object) -> Visitor:
        page = Visitor(browser, **how)  # type: ignore[arg-type]
        opened.append(page)
        page.call("Page.bringToFront")
        page.visit(f"{up.url}{path}")
        page.wait("document.documentElement?.dataset.ready === 'true'")
        return page

    yield open_
    for page in opened:
        wrong = [line for line in page.problems() if "Content Security Policy" in line or "xception" in line]
        assert not wrong
        page.call("Page.close")


def _press(page: Visitor, key: str, modifiers: int = 0) -> None:
    codes = {"Enter": 13, "Backspace": 8, " ": 32, "Tab": 9, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Home": 36}
    text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "") if not modifiers else ""
    code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
    how = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
    page.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **how)
    page.call("Input.dispatchKeyEvent", type="keyUp", **how)


def _type(page: Visitor, text: str) -> None:
    page.call("Input.insertText", text=text)


def _texts(page: Visitor) -> list[str]:
    found: list[str] = page.js("[...document.querySelectorAll('#lines textarea')].map((each) => each.value)")
    return found


def _focused(page: Visitor) -> str:
    return str(page.js("document.activeElement.value || document.activeElement.textContent"))


def _saved(page: Visitor, changes: int) -> None:
    page.wait(f"document.querySelector('#history').dataset.last === 'change-{changes}'")


def _line(number: int) -> str:
    return f"document.querySelectorAll('#lines textarea')[{number}]"


def _select(page: Visitor, line: int) -> None:
    page.js(f"(() => {{ const text = {_line(line)}; text.focus(); text.select(); }})()")


def _file(pages: Pages, name: str) -> str:
    return pages.shelf.store.objects["castline-output", keys.result_key(_MEDIA, name)].decode()


def test_by_keyboard_alone(tab: Open, pages: Pages, up: Running) -> None:
    """From the report to corrected subtitles without a mouse: words, a split, a join, a line nobody says, undo."""
    page = tab(f"{_PATH}/report.html#t=11")
    page.wait("document.getElementById('correct').offsetParent !== null")
    page.js("document.getElementById('correct').focus()")
    _press(page, "Enter")
    page.wait("location.pathname.endsWith('/edit') && document.documentElement?.dataset.ready === 'true'")
    page.wait("document.activeElement.tagName === 'TEXTAREA'")
    assert _focused(page) == "The buget is too small."  # the moment shown in the report
    _press(page, "a", _CTRL)
    page.js("document.activeElement.select()")
    _type(page, "The budget is too small.")
    _press(page, "Enter")
    _saved(page, 1)
    assert _focused(page) == "Yes."
    _press(page, "Backspace")  # at its start: joined with the line before
    _saved(page, 2)
    assert _texts(page)[1] == "The budget is too small. Yes." and _focused(page) == _texts(page)[1]
    page.js("document.activeElement.setSelectionRange(10, 10)")
    _press(page, "Enter", _CTRL)  # and split elsewhere
    _saved(page, 3)
    assert _texts(page)[1:3] == ["The budget", "is too small. Yes."]
    _press(page, "ArrowDown", _ALT)
    _press(page, "ArrowDown", _ALT)
    assert _focused(page) == "Thank you all."
    for _ in range(4):  # its buttons: split, join, nobody says this
        if _focused(page) == "Nobody says this":
            break
        _press(page, "Tab")
    assert _focused(page) == "Nobody says this"
    _press(page, "Enter")
    _saved(page, 4)
    assert _texts(page) == [_LINES[0], "The budget", "is too small. Yes.", _LINES[3]]
    assert "The budget\n" in _file(pages, "transcript.txt").replace("Speaker 2: ", "")
    assert "Thank" not in _file(pages, "transcript.srt")
    page.js("document.getElementById('undo').focus()")
    _press(page, "Enter")
    _saved(page, 5)
    assert _texts(page)[-1] == "Thank you all."
    _select(page, 0)
    _type(page, "Something else")
    _press(page, "Escape")
    assert _texts(page)[0] == _LINES[0]
    page.wait("fetch('/search?q=budget').then((each) => each.json()).then((found) => found.hits.length === 1)")


def test_two_browsers_and_one_line(tab: Open, pages: Pages) -> None:
    """The second one learns what the line is now, keeps what it typed, and may put it there."""
    one, other = tab(), tab()
    _select(one, 1)
    _type(one, "The budget is tiny.")
    _press(one, "Enter")
    _saved(one, 1)
    _select(other, 1)
    _type(other, "The budget is huge.")
    _press(other, "Enter")
    other.wait("document.querySelector('.conflict') !== null")
    said = other.js("document.querySelector('.conflict span').textContent")
    assert "it is now “The budget is tiny.”" in said and "Yours was “The budget is huge.”" in said
    assert "budget is tiny" in _file(pages, "transcript.txt")
    assert _texts(other)[1] == "The budget is tiny."
    other.wait("document.activeElement.textContent === 'Put mine there'")
    _press(other, "Enter")
    _press(other, "Enter")
    _saved(other, 2)
    assert "budget is huge" in _file(pages, "transcript.txt")
    # Another line is no conflict, and what is being typed there stays.
    _select(one, 3)
    _type(one, "We talk next year.")
    _press(one, "Enter")
    _saved(one, 3)
    assert _texts(one)[1] == "The budget is huge."


def test_text_typed_in_other_lines_stays_while_one_is_saved(tab: Open) -> None:
    page = tab()
    _select(page, 1)
    _type(page, "One.")
    page.js(f"{_line(3)}.value = 'half of a sen'")
    _press(page, "Enter")
    _saved(page, 1)
    assert _texts(page)[1] == "One." and _texts(page)[3] == "half of a sen"
    page.js(f"{_line(3)}.value = {_line(3)}.defaultValue")


def test_hostile_text_is_only_text(tab: Open, pages: Pages, up: Running) -> None:
    page = tab()
    page.js("window.alert = () => { window.struck = true; }")
    _select(page, 1)
    _type(page, "</textarea><img src=x onerror=alert(1)><script>alert(2)</script>=1+1 \u202etxet")
    _press(page, "Enter")
    _saved(page, 1)
    assert _texts(page)[1] == "</textarea><img src=x onerror=alert(1)><script>alert(2)</script>=1+1 txet"
    faces = "document.querySelector('#desk form[data-person=person-2]')"
    page.js(f"{faces}.elements.name.value = '<img src=y onerror=alert(3)>'; {faces}.requestSubmit()")
    _saved(page, 2)
    for path in (f"{_PATH}/edit", f"{_PATH}/report.html", "/", "/people", "/?q=textarea"):
        page.visit(f"{up.url}{path}")
        page.wait("document.documentElement?.dataset.ready === 'true'")
        assert not page.js("window.struck === true || document.querySelector('img[src=x], img[src=y]') !== null"), path
    assert "'" not in _file(pages, "transcript.tsv").splitlines()[2].split("\t")[2][:1]
    page.visit(f"{up.url}{_PATH}/edit")
    page.wait("document.documentElement?.dataset.ready === 'true'")
    _select(page, 1)
    _type(page, "=1+1")
    _press(page, "Enter")
    _saved(page, 3)
    assert "\t'=1+1\t" in _file(pages, "transcript.tsv")


def test_a_face_is_denied_and_a_voice_is_named(tab: Open, pages: Pages) -> None:
    page = tab()
    ada = "document.querySelector('#desk form[data-person=person-1]')"
    page.js(f"{ada}.querySelectorAll('[name=appearance]')[0].click()")
    page.js(f"{ada}.querySelector('[data-not]').click()")
    _saved(page, 1)
    names = page.js("[...document.querySelectorAll('#desk .about strong')].map((each) => each.textContent)")
    assert names == ["Ada King", "Person 1", "Person 2"]
    voice = "document.querySelector('#desk form[data-voice=\"Speaker 2\"]')"
    page.js(f"{voice}.elements.name.value = 'Grace Hopper'; {voice}.requestSubmit()")
    _saved(page, 2)
    assert "<v Grace Hopper>The buget" in _file(pages, "transcript.vtt")


@pytest.mark.parametrize(("size", "dark"), [((1280, 800), False), ((390, 844), False), ((1280, 800), True)])
def test_nothing_is_wider_than_the_screen(tab: Open, size: tuple[int, int], dark: bool, tmp_path: Path) -> None:
    page = tab(size=size, dark=dark)
    _select(page, 1)
    _type(page, "The budget " + "Donaudampfschifffahrtsgesellschaft" * 3)
    _press(page, "Enter")
    _saved(page, 1)
    assert page.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    targets = page.js(
        "[...document.querySelectorAll('#desk button')].filter((each) => each.offsetParent)"
        ".map((each) => each.getBoundingClientRect().height)"
    )
    assert min(targets) >= 30
    if shown := os.environ.get("CASTLINE_TEST_PICTURES"):
        page.screenshot(Path(shown) / f"edit-{size[0]}{'-dark' if dark else ''}.png", whole=True)


def test_every_control_has_a_name(tab: Open) -> None:
    """As a screen reader sees it: Chromium's own accessibility tree."""
    operated = {"button", "textbox", "searchbox", "link", "checkbox", "combobox", "DisclosureTriangle"}
    for path in (f"{_PATH}/edit", "/people", "/people/of?name=Ada+King", "/"):
        page = tab(path)
        page.call("Accessibility.enable")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        found = [node for node in nodes if node["role"]["value"] in operated and not node["ignored"]]
        nameless = [node for node in found if not node.get("name", {}).get("value", "").strip()]
        assert len(found) > 5 and not nameless, (path, nameless)


def test_axe_finds_nothing_in_a_conflict_or_with_all_open(tab: Open) -> None:
    page, other = tab(size=(390, 844)), tab()
    for each, text in ((page, "The budget is huge."), (other, "The budget is tiny.")):
        _select(each, 1)
        _type(each, text)
    _press(other, "Enter")
    _saved(other, 1)
    page.call("Page.bringToFront")
    _press(page, "Enter")
    page.wait("document.querySelector('.conflict') !== null")
    found = {"the conflict": violations(page)}
    for path in ("/", "/?q=morning", "/people", "/people/of?name=Ada+King", f"{_PATH}/edit"):
        page.visit(f"{page.js('location.origin')}{path}")
        page.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found[path] = violations(page)
    assert not {path: lines for path, lines in found.items() if lines}


def test_a_search_being_typed_outlives_a_new_recording(tab: Open, pages: Pages) -> None:
    """The home page reloads when a recording appears, which once interfered with Enter in the search box."""
    page = tab("/")
    page.js("document.getElementById('q').focus(); window.same = true")
    _type(page, "buget")
    pages.shelf.publish("new.mp4", ["Something else."])
    page.wait("performance.getEntriesByType('resource').some((each) => each.name.endsWith('/running'))")
    asked = "performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/running')).length"
    before = page.js(asked)
    page.wait(f"{asked} >= {before + 2}")  # it knows of the new one
    assert page.js("fetch('/running').then((each) => each.headers.get('X-Castline-Recordings'))") == "2"
    assert page.js("window.same === true && document.getElementById('q').value === 'buget'")
    _press(page, "Enter")
    page.wait("location.search === '?q=buget' && document.documentElement?.dataset.ready === 'true'")
    assert page.js("document.querySelector('mark').textContent") == "buget"
    assert urlsplit(page.js("document.querySelector('.moment').href")).path == f"{_PATH}/report.html"
    assert json.loads(page.js("JSON.stringify(history.length > 1)"))


def test_dropped_photos_each_report_what_became_of_them(
    tab: Open, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = People()
    monkeypatch.setattr(actions, "_embedder", lambda there: gallery.embed)
    page = tab("/people")
    page.js("document.querySelector('#add summary').click()")
    page.js("document.getElementById('new-name').value = '<b>Eve'")
    files = (("a.jpg", "A"), ("nobody.jpg", "?"), ("<i>.heic", "A"), ("poor.png", "A-blurred"))
    made = ", ".join(f"new File([{json.dumps(body)}], {json.dumps(name)})" for name, body in files)
    page.js(
        f"(() => {{ const files = new DataTransfer(); for (const file of [{made}]) files.items.add(file);"
        "document.querySelector('#add .drop-face').dispatchEvent("
        "new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })); })()"
    )
    page.wait("document.activeElement.textContent.startsWith('Bind the name')")
    said = page.js("[...document.querySelectorAll('#add .uploads li')].map((each) => each.innerText.split('\\n'))")
    assert [each[0] for each in said] == [name for name, _ in files]
    assert said[0][1] == "added" and said[1][1] == "refused: no face found in the photo"
    assert said[2][1].startswith("refused: photos are .avif") and said[3][1].startswith("added, but small or blurred")
    _press(page, "Enter")
    page.wait("location.search.startsWith('?said=') && document.documentElement?.dataset.ready === 'true'")
    assert page.js("document.querySelector('.notice.good').textContent").endswith("brought up to date")
    photos = [key for bucket, key in pages.shelf.store.objects if bucket.endswith("gallery") and key[0] != "."]
    assert len(photos) == 2 and all(key.startswith("<b>Eve/") for key in photos)
    page.js("[...document.querySelectorAll('a')].find((each) => each.textContent === '<b>Eve').click()")
    page.wait("location.pathname === '/people/of' && document.documentElement?.dataset.ready === 'true'")
    assert page.js("document.querySelectorAll('[name=photo]').length") == 2


@pytest.mark.parametrize(("suffix", "codecs"), [(".mpg", ("mpeg1video", "mp2")), (".mkv", ("libx265", "ac3"))])
def test_a_recording_that_chromium_cannot_play_plays_by_its_proxy(
    pages: Pages, tab: Open, ffmpeg: Callable[..., None], tmp_path: Path, suffix: str, codecs: tuple[str, str]
) -> None:
    media = f"week 1/film #1{suffix}"
    film, proxy = tmp_path / f"film{suffix}", tmp_path / "proxy.mp4"
    sources = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-f", "lavfi", "-i", "sine=440:d=4")
    ffmpeg(*sources, "-c:v", codecs[0], "-c:a", codecs[1], "-pix_fmt", "yuv420p", film)
    limits = Limits(program=imageio_ffmpeg.get_ffmpeg_exe(), timeout_s=60)
    assert make_proxy(film, probe(film, limits), limits, 60, proxy)
    store = pages.shelf.store
    result = pages.shelf.publish(media, _LINES)
    publish_again(media, store, pages.shelf.settings)
    store.put("castline-input", media, film.read_bytes())
    store.put("castline-stage-1", keys.proxy_key(media, result.run), proxy.read_bytes())
    for path in ("report.html", "edit"):
        page = tab(f"/recordings/{quote(media, safe='')}/{path}#t=2.5")
        page.wait("document.getElementById('media').videoWidth === 320")
        assert page.js("media.currentSrc").endswith("/proxy.mp4"), path
        page.wait("media.currentTime >= 2.5")
        page.js("media.muted = true; media.play()")
        page.wait("media.currentTime > 3")
