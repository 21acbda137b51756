"""The report in a real browser: clicks, keys, playback, hostile data, a long recording."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from castline.media import make_proxy, probe
from castline.media.ffmpeg import Limits
from castline.records import AudioStream, Failure, Probe, Speaker
from castline.records.result import Attribution
from castline.report import WRITERS, render_report, writer_for
from castline.report.index import Entry, render_index
from tests.axe import violations

Open = Callable[..., Any]

PAYLOAD = "</script><img src=x onerror=\"document.documentElement.dataset.owned='yes'\"><script>alert(1)</script>"


@pytest.fixture
def result(make: Any) -> Any:
    segments = [
        make.segment(1, "Good evening, and welcome.", 1, 5, timed=True),
        make.segment(2, "Thank you for the invitation.", 6, 10),
        make.segment(3, "Then let us begin.", 40, 44, timed=True),
    ]
    people = [
        make.person(1, "Ada Lovelace", (0, 12), (26, 47)),
        make.person(2, "Grace Hopper", (8, 22), identity="ambiguous"),
    ]
    return make.result(people=people, segments=segments)


def now(page: Any) -> str:
    return str(page.js("document.getElementById('now-time').textContent"))


def current(page: Any) -> str | None:
    text = page.js("document.querySelector('.segment.current .words')?.textContent ?? null")
    return None if text is None else str(text)


def test_the_timeline_works_without_the_media_file(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result))
    page.wait("!document.getElementById('pick').hidden")
    page.click("#canvas .row:nth-child(3) .track", fraction=0.705)
    assert now(page) == "0:42"
    assert current(page) == "Then let us begin."
    assert page.js("document.getElementById('now-who').textContent") == "Ada Lovelace"
    assert page.js("document.querySelectorAll('.label.on').length") == 1
    assert page.js("document.querySelector('.saying').textContent") == "us"
    page.click("#canvas .row:nth-child(4) .label")
    assert now(page) == "0:08"
    assert current(page) == "Thank you for the invitation."
    assert page.problems() == []


def test_voices_have_their_people_s_colours(make: Any, open_report: Open) -> None:
    """A person seen and heard has one colour, a person only heard another; a voice without a name is hollow."""
    off = Attribution(outcome="off_screen", reasons=("no mouth on screen moves",))
    maybe = Attribution(outcome="maybe", name="Grace Hopper", confidence=0.6, reasons=("her mouth moves",))
    said = [
        make.segment(1, "Good evening.", 1, 5, speaker="Ada Lovelace"),
        make.segment(2, "Good evening to you.", 6, 10, speaker="Bob"),
        make.segment(3, "May I?", 20, 24, speaker="Speaker 1", said_by=maybe),
        make.segment(4, "No.", 30, 34, speaker="Speaker 2", said_by=off),
    ]
    heard = [
        Speaker(id=f"speaker-{number}", name=name, voice_s=4, identity=identity)
        for number, (name, identity) in enumerate(
            (("Ada Lovelace", "known"), ("Bob", "known"), ("Speaker 1", "ambiguous"), ("Speaker 2", "unknown")), 1
        )
    ]
    found = make.result(people=[make.person(1, "Ada Lovelace", (0, 12))], segments=said)
    found = found.model_copy(update={"transcript": found.transcript.model_copy(update={"speakers": tuple(heard)})})
    page = open_report(render_report(found))
    bars = page.js("""
        [...document.querySelectorAll("#canvas .row")].filter((row) => row.querySelector(".name")).map((row) => {
          const style = getComputedStyle(row.querySelector(".bar"));
          return [row.querySelector(".name").textContent, style.fill, style.stroke];
        })
    """)
    looks: dict[str, list[list[str]]] = {}
    for name, *look in bars:
        looks.setdefault(name, []).append(look)
    voice, face = looks["Ada Lovelace"]
    assert voice == face and voice[0] == voice[1], "one person, one colour, and it is filled"
    ((fill, stroke),) = looks["Bob"]
    assert fill == stroke != voice[1]
    for name in ("Speaker 1", "Speaker 2"):
        ((fill, stroke),) = looks[name]
        assert fill != stroke, "hollow"
        assert stroke not in (voice[1], looks["Bob"][0][1])
    hints = page.js("[...document.querySelectorAll('.segment')].map((line) => line.querySelector('.hints').innerText)")
    assert [" ".join(hint.split()) for hint in hints] == [
        "Ada Lovelace says",
        "Bob says",
        "Speaker 1 says maybe Grace Hopper",
        "Speaker 2 says somebody off screen",
    ]
    assert page.problems() == []


def test_the_transcript_is_operable_by_keyboard(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result))
    page.js("document.querySelectorAll('.at')[2].focus()")
    page.key("Enter")
    assert now(page) == "0:40"
    page.js("document.getElementById('ruler').focus()")
    page.key("ArrowRight")
    assert now(page) == "0:41"
    page.key("End")
    assert now(page) == "1:00"
    assert page.js("document.getElementById('ruler').getAttribute('aria-valuetext')") == "1:00"


def test_search_filters_and_marks(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result), "#t=41")

    def search(text: str, visible: int) -> None:
        page.js(f"search.value = {json.dumps(text)}; search.dispatchEvent(new Event('input'))")
        page.wait(f"document.querySelectorAll('.segment:not([hidden])').length === {visible}")

    search("THE", 2)
    assert page.js("[...document.querySelectorAll('mark')].map(m => m.textContent)") == ["the", "The"]
    search("(.*", 0)
    assert page.js("document.getElementById('nothing-found').hidden") is False
    search("", 3)
    assert page.js("document.querySelectorAll('mark').length") == 0
    words = page.js("[...document.querySelectorAll('.words')].map(p => p.textContent)")
    assert words == [segment.text for segment in result.transcript.segments]
    assert page.problems() == []


def test_hostile_names_and_words_do_nothing(make: Any, open_report: Open) -> None:
    people = [make.person(i, PAYLOAD, (0, 9), identity=kind) for i, kind in ((1, "known"), (2, "ambiguous"))]
    segments = [make.segment(1, PAYLOAD, 0, 9, timed=True, visible=PAYLOAD)]
    page = open_report(render_report(make.result(media=f"{PAYLOAD}.mp4", people=people, segments=segments)), "#t=3")
    page.js("search.value = '<img'; search.dispatchEvent(new Event('input'))")
    page.wait("document.querySelector('mark') !== null")
    assert page.js("document.documentElement.dataset.owned ?? null") is None
    assert page.js("document.querySelectorAll('img, script').length") == 2
    assert page.js("document.querySelector('.face span').textContent") == PAYLOAD
    assert page.problems() == []


def test_the_policy_stops_whatever_escaping_misses(make: Any, open_report: Open) -> None:
    html = render_report(make.result()).replace("</footer>", f"</footer>{PAYLOAD.removeprefix('</script>')}")
    page = open_report(html)
    assert page.js("document.documentElement.dataset.owned ?? null") is None
    assert any("Content Security Policy" in problem for problem in page.problems())


def test_a_failed_result_has_no_script_errors(make: Any, open_report: Open) -> None:
    error = Failure(code="not_media", message="this is text")
    page = open_report(render_report(make.result(status="failed", error=error, probe=None, duration_s=None)))
    assert page.problems() == []
    assert page.js("document.querySelector('[role=alert]').textContent.includes('this is text')")


@pytest.mark.parametrize("size", [(1400, 900), (390, 844)])
def test_two_hours_fifty_people_stay_usable(make: Any, open_report: Open, size: tuple[int, int]) -> None:
    people = [make.person(i, f"Person with a long name {i}", *((t + i, t + i + 20) for t in range(0, 7000, 500)))
              for i in range(1, 51)]  # fmt: skip
    segments = [make.segment(i, "So we went on and on.", i * 3.6, i * 3.6 + 3.2, timed=True) for i in range(2000)]
    page = open_report(render_report(make.result(people=people, segments=segments, duration_s=7200.0)), size=size)
    # There is no film: once that is known, its place closes, and what is below moves up.
    page.wait("document.body.classList.contains('no-media') && !document.getElementById('pick').hidden")
    assert page.js("document.documentElement.scrollWidth <= innerWidth"), "the page itself scrolls sideways"
    # What a step changes limits its cost, on any machine; 2 000 segments and 50 lanes stay as they are.
    changed = page.js(
        "(() => { const ruler = document.getElementById('ruler'), seen = new MutationObserver(() => {});"
        "seen.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});"
        "for (let i = 0; i < 200; i++) ruler.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageUp'}));"
        "return seen.takeRecords().length / 200 })()"
    )
    assert now(page) == "33:20"
    assert 0 < changed < 60, f"{changed:.1f} changes per step"
    for _ in range(6):
        page.click("#zoom-in")
    assert page.js("document.querySelectorAll('.tick').length < 40")
    visible = "(r => r.left >= 0 && r.right <= innerWidth)(document.getElementById('playhead').getBoundingClientRect())"
    assert page.js(visible), "zooming lost the playhead"
    in_view = "(([a, b]) => a.top >= b.top && a.bottom <= b.bottom)"
    boxes = "['.segment.current', '.segments'].map(s => document.querySelector(s).getBoundingClientRect())"
    page.wait(f"!!document.querySelector('.segment.current') && {in_view}({boxes})")  # marked with the next frame
    assert page.problems() == []


def test_wheel_with_control_zooms_around_the_pointer(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result))
    page.wait("!document.getElementById('pick').hidden")  # content above the lanes moves them
    box = page.js("(b => [b.x, b.y, b.width, b.height])(document.querySelector('.ruler').getBoundingClientRect())")
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-300, modifiers=2)
    page.wait("document.getElementById('lanes').scrollLeft > 0")
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert now(page) in ("0:29", "0:30")


def test_subtitles_pass_the_browser_s_own_parser(make: Any, open_report: Open) -> None:
    said = [r"a --> b & <c.x> {\an8} \N", "]]> &lt; שלום 👩‍👧", "1\n\n00:00:01.000 --> 00:00:02.000"]
    segments = [make.segment(i, text, 3 * i, 3 * i + 2, visible=PAYLOAD) for i, text in enumerate(said)]
    vtt = writer_for("vtt").write(make.result(segments=segments)).decode()
    page = open_report(render_report(make.result()))
    shown = page.js(
        f"""new Promise((resolve, reject) => {{
          const track = document.createElement('track');
          track.src = URL.createObjectURL(new Blob([{json.dumps(vtt)}], {{type: 'text/vtt'}}));
          track.onload = () => resolve([...track.track.cues].map(c => [c.startTime, c.getCueAsHTML().textContent]));
          track.onerror = reject;
          document.querySelector('video').append(track);
          track.track.mode = 'hidden';
        }})"""
    )
    assert shown == [[3 * i, " ".join(text.split())] for i, text in enumerate(said)]


def test_browsers_read_the_ttml_as_xml(make: Any, open_report: Open) -> None:
    text = "a < b && ]]> <!-- \x00\x1b\ufffe 👩‍👧"
    result = make.result(segments=[make.segment(1, text, 0, 3, visible=PAYLOAD)])
    page = open_report(render_report(result))
    ttml = json.dumps(writer_for("ttml").write(result).decode())
    page.js(f"const xml = new DOMParser().parseFromString({ttml}, 'application/xml')")
    assert page.js("xml.querySelectorAll('parsererror').length") == 0
    assert page.js("[...xml.querySelectorAll('p')].map((p) => p.textContent)") == ["a < b && ]]> <!-- 👩‍👧"]
    assert page.js("xml.querySelector('p').getAttributeNS('urn:castline:hint', 'visible')") == PAYLOAD


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def record(ffmpeg: str, path: Path, *codec: str) -> None:
    """Four seconds of test picture and tone."""
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4"]
    command += ["-f", "lavfi", "-i", "sine=440:d=4", *codec, f"file:{path}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=300)


@pytest.mark.parametrize("name", ["Été 2026 + party.webm", "a#b?%41.webm"])
def test_video_beside_the_page_plays(result: Any, open_report: Open, tmp_path: Path, ffmpeg: str, name: str) -> None:
    record(ffmpeg, tmp_path / name, "-c:v", "libvpx", "-c:a", "libopus")
    page = open_report(render_report(result.model_copy(update={"media": f"week1/{name}"})), "#t=2.5")
    page.wait("document.getElementById('media').currentTime === 2.5")
    assert page.js("document.getElementById('pick').hidden")
    # The box of Ada at 2.5 s: between the sightings at 2 s and 3 s, in fractions of the picture.
    left = page.js(
        "((box, frame) => (box.left - frame.left) / frame.width)"
        "(document.querySelector('.face').getBoundingClientRect(), frame.getBoundingClientRect())"
    )
    assert left == pytest.approx(0.08 + 0.025, abs=0.003)
    page.js("document.getElementById('media').muted = true; document.getElementById('media').play()")
    page.wait("document.getElementById('now-time').textContent === '0:03'")
    page.click("#faces-toggle")
    assert page.js("document.getElementById('faces').hidden")
    assert page.problems() == []
    # "data:" URLs are the icons of the browser's own player.
    assert not [url for url in page.requests() if not url.startswith(("file:", "data:"))]


def test_the_requested_moment_is_kept_while_the_media_file_loads(
    result: Any, page_of: Any, tmp_path: Path, ffmpeg: str
) -> None:
    """The element has metadata, at 0 s, before it reports them: a link followed then must lead to the moment, too."""
    record(ffmpeg, tmp_path / "clip.webm", "-c:v", "libvpx", "-c:a", "libopus")
    (tmp_path / "report.html").write_text(render_report(result.model_copy(update={"media": "clip.webm"})))
    page = page_of()
    early = """addEventListener("loadedmetadata", ({target}) => {
      const button = document.getElementById("copy-link");
      Object.defineProperty(navigator, "clipboard", {value: {writeText: async (text) => { window.copied = text; }}});
      window.stood = target.currentTime;
      button.click();
    }, {capture: true, once: true})"""
    page.call("Page.addScriptToEvaluateOnNewDocument", source=early)
    page.open(tmp_path / "report.html", "#t=2.5")
    page.wait("document.getElementById('media').currentTime === 2.5")
    assert page.js("window.stood") == 0
    assert page.js("window.copied").endswith("#t=2.5")


def test_a_format_browsers_cannot_decode_is_explained(
    result: Any, open_report: Open, tmp_path: Path, ffmpeg: str
) -> None:
    record(ffmpeg, tmp_path / "clip.mpg", "-c:v", "mpeg1video", "-c:a", "mp2")
    page = open_report(render_report(result.model_copy(update={"media": "clip.mpg"})))
    page.wait("!document.getElementById('pick').hidden")
    assert "“clip.mpg” is not beside this page, or is in a format" in page.js("document.body.innerText")


def test_sources_are_tried_in_turn(result: Any, open_report: Open, tmp_path: Path, ffmpeg: str) -> None:
    record(ffmpeg, tmp_path / "there.webm", "-c:v", "libvpx", "-c:a", "libopus")
    page = open_report(render_report(result, media_sources=("./not-there.mp4", "./there.webm")))
    page.wait("document.getElementById('media').readyState > 0")
    assert page.js("document.getElementById('pick').hidden")


def test_a_chosen_file_plays_from_the_reader_s_position(
    result: Any, open_report: Open, tmp_path: Path, ffmpeg: str
) -> None:
    record(ffmpeg, tmp_path / "elsewhere.webm", "-c:v", "libvpx", "-c:a", "libopus")
    page = open_report(render_report(result), "#t=3")
    page.wait("!document.getElementById('pick').hidden")
    node = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=node, selector="#pick-file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / "elsewhere.webm")])
    page.wait("document.getElementById('media').currentTime === 3")
    assert page.js("document.getElementById('pick').hidden")


def test_sound_alone_plays(make: Any, open_report: Open, tmp_path: Path, ffmpeg: str) -> None:
    record(ffmpeg, tmp_path / "memo.ogg", "-map", "1:a", "-c:a", "libopus")
    probe = Probe(
        container="ogg", duration_s=4, video=None, audio=AudioStream(codec="opus", sample_rate=48000, channels=1)
    )
    segments = [make.segment(1, "Only a voice.", 1, 3)]
    page = open_report(render_report(make.result(media="memo.ogg", probe=probe, duration_s=4.0, segments=segments)))
    page.wait("document.getElementById('media').readyState > 0")
    page.click(".segment")
    page.wait("document.getElementById('media').currentTime === 1")
    assert current(page) == "Only a voice."
    assert page.problems() == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(result: Any, open_report: Open, dark: bool) -> None:
    """WCAG AA (4.5:1) for the text colours on their backgrounds."""
    page = open_report(render_report(result), dark=dark)
    ratios = page.js(
        """(() => {
          const style = getComputedStyle(document.documentElement), probe = document.body;
          const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
          const luminance = name => {
            probe.style.color = style.getPropertyValue(name);
            const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number).map(channel);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = ['ink page', 'ink card', 'soft page', 'soft card', 'soft wash', 'soft accent-wash',
            'accent card', 'accent accent-wash', 'bad bad-wash', 'warn warn-wash', 'good good-wash', 'warn card',
            'ink mark', 'amber accent-wash', 'amber card', 'card accent', 'ink bad-wash', 'ink warn-wash'];
          return Object.fromEntries(pairs.map(pair => {
            const [a, b] = pair.split(' ').map(name => luminance('--' + name)).sort((x, y) => y - x);
            return [pair, (a + 0.05) / (b + 0.05)];
          }));
        })()"""
    )
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < 4.5} == {}


def test_a_moment_is_copied_as_a_link_and_opened_by_one(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result), "#t=8.5")
    page.wait("!document.getElementById('pick').hidden")  # it moves the buttons
    page.js("window.setTimeout = () => 0; undefined")  # "Copied" stays
    page.js("navigator.clipboard.writeText = async (text) => { window.copied = text; }; undefined")
    page.click("#copy-link")
    page.wait("window.copied?.endsWith('report.html#t=8.5')")
    assert page.js("document.getElementById('copy-link').textContent") == "Copied"
    page.js("location.hash = '#t=41'")
    page.wait("document.getElementById('now-time').textContent === '0:41'")
    page.click("#copy-text")
    page.wait("window.copied.startsWith('0:01  Good evening')")
    # Pages without the clipboard permission still copy.
    page.js(
        "navigator.clipboard.writeText = async () => { throw new Error(); };"
        "document.execCommand = () => { window.copied = document.activeElement.value; return true; }; undefined"
    )
    page.click("#copy-link")
    page.wait("window.copied.endsWith('#t=41')")
    assert page.problems() == []


def test_words_and_people_are_found_and_stepped_through(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result))
    page.wait("!document.getElementById('pick').hidden")

    def search(text: str) -> None:
        page.js(
            f"document.getElementById('search').value = {json.dumps(text)};"
            "document.getElementById('search').dispatchEvent(new Event('input'))"
        )

    search("grace")  # nobody says it; she may be on screen from 0:08 on
    page.wait("document.getElementById('found').textContent === '1 of 3'")
    page.click("#hit-next")
    assert (now(page), current(page)) == ("0:06", "Thank you for the invitation.")
    search("e")
    page.wait("document.getElementById('found').textContent === '3 of 3'")
    page.click("#hit-next")
    assert now(page) == "0:40"
    page.click("#hit-next")
    assert now(page) == "0:01"
    page.click("#hit-previous")
    assert now(page) == "0:40"
    assert page.js("document.getElementById('found').textContent") == "3 of 3"
    page.js(
        "document.getElementById('search').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', shiftKey: true, bubbles: true, cancelable: true}))"
    )
    assert now(page) == "0:06"
    search("")
    page.wait("document.getElementById('hit-next').disabled")


def test_arrow_keys_move_and_the_speed_can_be_chosen(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result))
    page.wait("!document.getElementById('pick').hidden")
    press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true, cancelable: true}))"
    page.js(press % "ArrowRight")
    page.js(press % "ArrowRight")
    assert now(page) == "0:10"
    page.js(press % "ArrowLeft")
    assert now(page) == "0:05"
    page.js("(s => { s.value = '1.5'; s.dispatchEvent(new Event('change')); })(document.getElementById('speed'))")
    assert page.js("document.getElementById('media').playbackRate") == 1.5


@pytest.mark.parametrize("end_s", [3.0, 7.98])  # the picture is from the middle of the film, and from its very end
def test_a_picture_stands_for_the_film_until_it_plays_from_its_start(
    result: Any, open_report: Open, tmp_path: Path, ffmpeg: str, end_s: float
) -> None:
    record(ffmpeg, tmp_path / "film.webm", "-c:v", "libvpx", "-c:a", "libopus")
    ada = result.people[0]
    ada = ada.model_copy(update={"ranges": (ada.ranges[0].model_copy(update={"start_s": 0.0, "end_s": end_s}),)})
    page = open_report(render_report(result.model_copy(update={"media": "film.webm", "people": (ada,)})))
    page.wait("!document.getElementById('play').hidden")
    page.wait("document.getElementById('media').currentTime > 1")
    assert now(page) == "0:00"
    assert page.js("document.getElementById('now-who').textContent") == "", "its picture is from another moment"
    assert not page.js("document.getElementById('media').controls"), "they would show another time"
    page.js("media.muted = true; media.addEventListener('playing', () => { window.began = media.currentTime; })")
    page.click("#play")
    page.wait("document.getElementById('media').controls && !document.getElementById('media').paused")
    page.wait("window.began < 1")
    assert page.js("document.getElementById('media').currentTime < 3")
    assert page.js("document.getElementById('now-who').textContent") == "Ada Lovelace"
    assert page.js("document.getElementById('play').hidden")
    page.wait("media.currentTime > 1")
    assert page.problems() == []


def test_on_a_phone_the_downloads_come_before_the_transcript(result: Any, open_report: Open) -> None:
    page = open_report(render_report(result), size=(390, 844))
    assert page.js("document.documentElement.scrollWidth") <= 390
    top = "document.querySelector('%s').getBoundingClientRect().top"
    assert page.js(top % ".take") < page.js(top % "#segments")
    assert page.js("[...document.querySelectorAll('.take a')].map((a) => a.getAttribute('href'))") == [
        f"transcript.{extension}" for extension in WRITERS
    ]


def test_the_list_of_results_links_to_them_and_runs_no_script(tmp_path: Path, page_of: Any) -> None:
    hostile = Entry(media=f"{PAYLOAD}.mp4", status="complete", duration_s=12.0, people=(PAYLOAD,), words=PAYLOAD)
    (tmp_path / "week 1#").mkdir()
    (tmp_path / "week 1#" / "report.html").write_text("<title>the report</title>")
    path = tmp_path / "index.html"
    path.write_text(render_index([("week 1#", hostile)]), encoding="utf-8")
    page = page_of(size=(390, 844))
    page.call("Page.navigate", url=path.as_uri())
    page.wait("document.querySelector('.result a') !== null")
    assert page.js("document.documentElement.scrollWidth") <= 390
    assert page.js("document.documentElement.dataset.owned ?? null") is None
    page.click(".result a", fraction=0.1)
    page.wait("document.title === 'the report'")


def test_a_film_shorter_than_its_poster_s_time_has_none(
    make: Any, open_report: Open, ffmpeg: str, tmp_path: Path
) -> None:
    record(ffmpeg, tmp_path / "film.webm", "-c:v", "libvpx", "-c:a", "libopus")
    page = open_report(render_report(make.result(media="film.webm", duration_s=60.0)))
    page.wait("media.readyState > 0")
    assert page.js("[document.getElementById('play').hidden, media.currentTime]") == [True, 0]


@pytest.mark.parametrize(("suffix", "codecs"), [(".mpg", ("mpeg1video", "mp2")), (".mkv", ("libx265", "ac3"))])
def test_a_proxy_plays_if_the_recording_does_not(
    make: Any, open_report: Open, ffmpeg: str, tmp_path: Path, suffix: str, codecs: tuple[str, str]
) -> None:
    film = tmp_path / f"film{suffix}"
    record(ffmpeg, film, "-c:v", codecs[0], "-c:a", codecs[1], "-pix_fmt", "yuv420p")
    limits = Limits(program=ffmpeg, timeout_s=60)
    assert make_proxy(film, probe(film, limits), limits, 60, tmp_path / "proxy.mp4")
    page = open_report(render_report(make.result(media=film.name)))
    page.wait("document.getElementById('media').videoWidth === 320")
    assert page.js("media.currentSrc").endswith("/proxy.mp4")
    page.js("document.getElementById('media').muted = true; document.getElementById('media').play()")
    page.wait("document.getElementById('media').currentTime > 1")
    assert page.js("document.getElementById('pick').hidden") is True
    assert page.problems() == []


@pytest.mark.parametrize(("size", "dark"), [((1280, 800), False), ((390, 844), False), ((1280, 800), True)])
def test_axe_finds_nothing(
    make: Any, result: Any, page_of: Any, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    page = page_of(size=size, dark=dark)
    failed = Failure(code="not_media", message="it is no media file")
    shown = {
        "with all": result,
        "with nothing": make.result(people=(), segments=()),
        "failed": result.model_copy(update={"status": "failed", "error": failed}),
    }
    found = {}
    for name, each in shown.items():
        path = tmp_path / "report.html"
        path.write_text(render_report(each), encoding="utf-8")
        page.open(path)
        page.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found[name] = violations(page)
    page.open(path, "#t=41")
    page.js("search.value = 'the'; search.dispatchEvent(new Event('input'))")
    page.wait("document.querySelector('mark') !== null")
    found["a search"] = violations(page)
    path = tmp_path / "index.html"
    entries = [
        (name, Entry(media=f"{name}.mp4", status=status, duration_s=12.0, people=("Ada",), words="Good evening"))
        for name, status in (("one", "complete"), ("two", "partial"), ("three", "failed"))
    ]
    path.write_text(render_index(entries), encoding="utf-8")
    page.call("Page.navigate", url=path.as_uri())
    page.wait("document.querySelector('.result a') !== null")
    found["the index"] = violations(page)
    assert not {name: lines for name, lines in found.items() if lines}
