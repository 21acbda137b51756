"""The report as a document: what is in it, and what cannot get into it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from castline.records import AudioStream, Candidate, Failure, Probe, Transcript, UnitFailure
from castline.report import WRITERS, render_report
from castline.report.text import amount, clock, file_size, initials, length_of, money, seconds

PAYLOAD = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&<!--"


class Document(HTMLParser):
    """Elements, text and embedded data of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self.inside.append(tag)
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.raw[self.inside[-1]][-1] += data
        else:
            self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def data(self) -> Any:
        return json.loads(self.raw["script"][0])


def page(*args: Any, **kwargs: Any) -> Document:
    return Document(render_report(*args, **kwargs))


def test_people_and_words_are_shown_without_scripts(make: Any) -> None:
    people = [
        make.person(1, "Ada Lovelace", (0, 84)),
        make.person(2, "Grace Hopper", (8, 22), identity="ambiguous"),
        make.person(3, "", (30, 33), identity="unknown"),
    ]
    segments = [make.segment(1, "Good evening.", 61, 63, visible="Ada Lovelace")]
    text = " ".join(page(make.result(people=people, segments=segments)).text.split())
    for expected in ("Ada Lovelace", "maybe Grace Hopper?", "Person 3", "1:24", "Good evening.", "1:01", "on screen"):
        assert expected in text
    for expected in ("dlib-resnet-v1", "0123456789abcdef", "$0.000421", "2026-01-15", "8.3 s"):
        assert expected in text


def test_identities_look_different(make: Any) -> None:
    people = [
        make.person(i, f"P{i}", (0, 1), identity=kind) for i, kind in enumerate(("known", "ambiguous", "unknown"))
    ]
    rows = [
        attrs["class"] for attrs in page(make.result(people=people)).all("div") if "row" in (attrs.get("class") or "")
    ]
    assert rows[2:] == ["row known hue-0", "row ambiguous", "row unknown"]


@pytest.mark.parametrize("kind", ["complete", "failed", "audio"])
def test_hostile_strings_stay_strings(make: Any, kind: str) -> None:
    person = make.person(1, PAYLOAD, (0, 5))
    maybe = make.person(2, PAYLOAD, (0, 5), identity="ambiguous", candidates=(Candidate(name=PAYLOAD, similarity=1),))
    segment = make.segment(1, PAYLOAD, 0, 5, timed=True, visible=PAYLOAD)
    fields: dict[str, Any] = {
        "media": f"a/{PAYLOAD}.mp4",
        "warnings": (make.notice(PAYLOAD),),
        "engines": {PAYLOAD: PAYLOAD},
    }
    fields["failures"] = (UnitFailure(unit=PAYLOAD, start_s=0, end_s=1, error=Failure(code=PAYLOAD, message=PAYLOAD)),)
    if kind == "failed":
        fields |= {"status": "failed", "error": Failure(code=PAYLOAD, message=PAYLOAD, detail=PAYLOAD)}
    if kind == "audio":
        fields["probe"] = Probe(container="ogg", duration_s=5, video=None, audio=None)
    document = page(make.result(people=[person, maybe], segments=[segment], **fields), media_sources=(PAYLOAD,))
    assert len(document.raw["script"]) == 2
    assert not document.all("img")
    assert not [key for _, attrs in document.elements for key in attrs if key.startswith("on")]
    assert document.data["people"][0]["label"] == PAYLOAD
    assert document.data["sources"] == [PAYLOAD]
    assert PAYLOAD.split()[0] in document.text


def test_the_policy_lets_only_our_script_and_style_run(make: Any) -> None:
    document = page(make.result())
    (policy,) = [a["content"] or "" for a in document.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for name, text in (("script-src", document.raw["script"][1]), ("style-src", document.raw["style"][0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    assert not [attrs for _, attrs in document.elements if "style" in attrs]


def test_nothing_is_requested_from_elsewhere(make: Any) -> None:
    html = render_report(make.result(people=[make.person(1, "Ada", (0, 5), image="people/ada.jpg")]))
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", html)
    links = {attrs["href"] for attrs in Document(html).all("a")}
    assert links == {"result.json", *(f"transcript.{extension}" for extension in WRITERS)}


@pytest.mark.parametrize(
    ("media", "source"),
    [
        ("week1/Été 2026 + party.MP4", "./%C3%89t%C3%A9%202026%20%2B%20party.MP4"),
        ("a#b?.mp4", "./a%23b%3F.mp4"),
        ("javascript:alert(1).mp4", "./javascript%3Aalert%281%29.mp4"),
    ],
)
def test_a_media_file_beside_the_page_is_addressed_by_its_encoded_name(make: Any, media: str, source: str) -> None:
    assert page(make.result(media=media)).data["sources"] == [source, "./proxy.mp4"]


def test_crops_are_embedded_and_missing_ones_become_initials(make: Any) -> None:
    people = [
        make.person(1, "Ada Lovelace", (0, 5), image="people/a.jpg"),
        make.person(2, "Grace Hopper", (0, 5), image="x"),
    ]
    document = page(make.result(people=people), {"people/a.jpg": b"\xff\xd8jpeg"})
    (image,) = document.all("img")
    assert image["src"] == "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8jpeg").decode()
    assert "GH" in document.text


def test_a_failed_result_explains_itself_and_shows_no_empty_panels(make: Any) -> None:
    error = Failure(code="not_media", message="notes.mp4 is text", detail="moov atom not found")
    nothing = Transcript(engine=None, language=None, text="", segments=(), cues=())
    document = page(
        make.result(status="failed", error=error, probe=None, duration_s=None, engines={}, transcript=nothing)
    )
    for expected in ("This file cannot be read as a video", "notes.mp4 is text", "not_media", "moov atom not found"):
        assert expected in document.text
    for tag in ("video", "audio", "main", "ol"):
        assert not document.all(tag)
    assert document.data["kind"] == "none"


def test_a_partial_result_names_what_is_missing(make: Any) -> None:
    error = Failure(code="unit_unreadable", message="bad zip")
    failures = (UnitFailure(unit="frames-0002", start_s=60, end_s=90, error=error),)
    text = page(make.result(status="partial", failures=failures, warnings=(make.notice("audio starts late"),))).text
    for expected in ("partial", "frames-0002", "1:00", "1:30", "bad zip", "audio starts late"):
        assert expected in text


def test_audio_gets_an_audio_player(make: Any) -> None:
    audio = AudioStream(codec="opus", sample_rate=48000, channels=1)
    document = page(make.result(media="memo.ogg", probe=Probe(container="ogg", duration_s=9, video=None, audio=audio)))
    assert document.all("audio")
    assert not document.all("video")
    assert "no faces" not in document.text


def test_a_face_seen_once_has_a_bar(make: Any) -> None:
    document = page(make.result(people=[make.person(1, "Ada", (41, 41))]))
    assert document.data["people"][0]["ranges"] == [[41, 41.25]]


def test_numbers_are_formatted_for_readers() -> None:
    assert [clock(x) for x in (None, 0, 59.9, 61, 3723)] == ["–", "0:00", "0:59", "1:01", "1:02:03"]
    assert [seconds(x) for x in (None, 0, 0.03, 1.42, 14.4, 200, 120, 3900, 7200)] == [
        *("–", "0.0 s", "0.03 s", "1.4 s", "14 s", "3 min 20 s", "2 min", "1 h 5 min", "2 h"),
    ]
    assert [length_of(x) for x in (3, 59, 60, 200)] == ["3.0 s", "59 s", "1:00", "3:20"]
    assert [money(x) for x in (0, 1e-9, 0.000421, 0.0123, 2.5)] == [
        "$0",
        "< $0.000001",
        "$0.000421",
        "$0.0123",
        "$2.50",
    ]
    assert [amount(x) for x in (0, 3.5e-05, 0.000651, 18.3712, 3, 12_345.6)] == [
        "0",
        "0.000035",
        "0.000651",
        "18.37",
        "3",
        "12346",
    ]
    assert [file_size(x) for x in (0, 999, 1234, 999_700, 12_300_000, 5e12)] == [
        *("0 bytes", "999 bytes", "1.2 kB", "1.0 MB", "12 MB", "5000 GB"),
    ]
    assert [initials(x) for x in ("Ada Lovelace", "李", "", "a b c")] == ["AL", "李", "?", "AC"]


def test_a_name_or_a_key_does_not_change_the_page_s_reading_direction(make: Any) -> None:
    turned = "Ada\u202e ecalevoL\u2069"
    result = make.result(
        people=[make.person(1, turned, (0, 5))], segments=[make.segment(1, "so\u202e she says", 0, 2, timed=True)]
    ).model_copy(update={"media": "gpj\u202e4pm.mp4"})
    html = render_report(result)
    assert not set("\u202e\u2069") & set(html)
    assert "Ada‹U+202E› ecalevoL‹U+2069›" in html
    assert "gpj‹U+202E›4pm.mp4" in html
    assert "so she says" in html
    json_escapes = json.dumps(Document(html).data)
    assert "u202e" not in json_escapes
