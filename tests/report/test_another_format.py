"""A seventh format, declared only by its writer, is known everywhere that the other six are."""

from __future__ import annotations

from typing import ClassVar

import pytest
from starlette.requests import Request

from castline import people as api
from castline.cost import S3_PUT_USD
from castline.operations import delete_media
from castline.records import Result
from castline.report import writers
from castline.service.pages.files import serve_file
from castline.service.pages.shelf import Deployment
from tests.people.conftest import People, people

__all__ = ["people"]

_MEDIA = "talk.mp4"
_KEY = f"{_MEDIA}/transcript.lrc"


class WriteLrc:
    """Lyrics: ``[00:01.20] a line``, headed by who is on screen."""

    extension: ClassVar[str] = "lrc"
    content_type: ClassVar[str] = "text/x-lrc; charset=utf-8"

    def write(self, result: Result) -> bytes:
        cast = ", ".join(person.name for person in result.people)
        lines = [f"[00:{cue.start_s:05.2f}] {' '.join(cue.lines)}" for cue in result.transcript.cues]
        return "\n".join([f"[ar:{cast}]", *lines, ""]).encode()


@pytest.fixture
def before(people: People) -> Result:
    """A result of the same recording from before the format existed."""
    return people.publish("before.mp4", [people.face("A", b"A-crop")], said="good morning")


@pytest.fixture
def shown(before: Result, people: People, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A result with the format, in which Ada is named."""
    monkeypatch.setitem(writers._WRITERS, WriteLrc.extension, WriteLrc())  # as if it were listed in the module
    people.enrolled(Ada=[b"A1", b"A2"])
    return people.publish(_MEDIA, [people.face("A", b"A-crop")], said="good morning")


def test_it_is_written_beside_the_others_and_the_report_links_it(shown: Result, people: People) -> None:
    files = people.published(_MEDIA)
    assert files["transcript.lrc"] == b"[ar:Ada]\n[00:00.00] good morning\n"
    assert b'href="transcript.lrc"' in files["report.html"]
    assert "transcript.lrc" not in people.published("before.mp4")


def test_it_is_stored_and_served_with_its_content_type(
    shown: Result, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {}
    put = people.store.put
    monkeypatch.setattr(people.store, "put", lambda bucket, key, body, **said: (
        kinds.update({key: said.get("content_type")}), put(bucket, key, body, **said))[1])  # fmt: skip
    people.store.delete(people.settings.output_bucket, [_KEY])
    people.reassemble(everything=True)
    assert kinds[_KEY] == WriteLrc.content_type
    there = Deployment(people.store, people.settings, "memory", lambda service: None)
    response = serve_file(_KEY, Request({"type": "http", "method": "GET", "headers": []}), there)
    assert (response.status_code, response.headers["content-type"]) == (200, WriteLrc.content_type)


def test_it_is_searched_when_forgetting_is_proven(shown: Result, people: People) -> None:
    old = people.published(_MEDIA)["transcript.lrc"]
    api.forget("Ada", people.store, people.settings)
    people.reassemble(everything=True)
    assert b"Ada" not in people.published(_MEDIA)["transcript.lrc"]
    assert api.prove_forgotten("Ada", people.store, people.settings).left == []
    people.store.put(people.settings.output_bucket, _KEY, old)
    people.store.put(people.settings.output_bucket, "notes/of others.lrc", b"[ar:Ada]")  # by other software
    left = {trace.where: trace.why for trace in api.prove_forgotten("Ada", people.store, people.settings).left}
    assert left == {
        f"s3://castline-output/{_KEY}": "not what its result says",
        "s3://castline-output/notes/of others.lrc": "not written by Castline",
    }


def test_it_is_deleted_with_its_recording(shown: Result, people: People) -> None:
    assert delete_media(_MEDIA, people.store, people.settings).left == ()
    assert not [key for _, key in people.store.objects if key.startswith(f"{_MEDIA}/")]


def test_it_costs_one_more_write(shown: Result, before: Result) -> None:
    writes = [next(item for item in result.processing.cost.items if item.what == "S3 writes")
              for result in (before, shown)]  # fmt: skip
    assert writes[1].quantity == writes[0].quantity + 1
    assert writes[1].usd - writes[0].usd == pytest.approx(S3_PUT_USD, abs=1e-8)
