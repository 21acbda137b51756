"""``corrections.json`` in the bucket: fenced, published in every format, searched, forgotten and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline import keys
from castline.archive.refresh import refresh, refresh_one
from castline.archive.search import search
from castline.archive.sqlite import SqliteIndex
from castline.corrections import Draft, change_lines, name_faces, name_voice, take_back
from castline.errors import CorrectionError
from castline.operations.delete import delete_media
from castline.operations.forget import forget_person
from castline.people import merge, prove_forgotten, rename, undo
from castline.records import Corrections, SaidLine
from castline.report import WRITERS
from castline.runs.complete import complete_run
from castline.runs.corrections import Shown, correct, publish_again, read_shown
from castline.runs.written import read_written
from tests.people.conftest import People, people

__all__ = ["people"]
_MEDIA = "week 1/board.mp4"


def _say(people: People, text: str, who: str = "eve") -> Shown:
    def edit(shown: Shown) -> Draft:
        return change_lines(shown.view, shown.corrections, 0, 0, [SaidLine(text=text)])

    return correct(_MEDIA, who, edit, people.store, people.settings)


def _name(people: People, name: str) -> None:
    correct(_MEDIA, "eve", lambda shown: name_faces(shown.view, "person-1", name), people.store, people.settings)


def _board(people: People) -> None:
    people.publish(_MEDIA, [people.face("A", b"A-crop")], [people.face("A")], said="The buget is too small.")


def test_every_format_but_the_result_shows_the_corrections(people: People) -> None:
    _board(people)
    before = people.published(_MEDIA)
    _say(people, "The budget is too small.")
    after = people.published(_MEDIA)
    assert after[keys.RESULT] == before[keys.RESULT]
    texts = [f"transcript.{extension}" for extension in WRITERS] + [keys.REPORT]
    assert all(b"budget" in after[name] and b"buget" not in after[name] for name in texts)
    correct(_MEDIA, "eve", lambda shown: take_back(shown.corrections), people.store, people.settings)
    assert people.published(_MEDIA) == before


def test_the_flat_transcript_shows_them_too(people: People) -> None:
    people.settings = people.settings.model_copy(update={"transcript_layout": "flat"})
    _board(people)
    _say(people, "The budget is too small.")
    assert b"budget" in people.store.objects[people.settings.output_bucket, "week 1/board.txt"]


def test_every_assembly_publishes_the_corrections(people: People) -> None:
    """All four orchestrations end in `complete_run`; so do binding names again and processing again."""
    _board(people)
    _say(people, "The budget is too small.")
    people.publish(_MEDIA, [people.face("A", b"A-crop")], said="the buget is too small", run="f" * 16)
    assert people.result(_MEDIA).transcript.text == "the buget is too small"
    assert people.published(_MEDIA)["transcript.txt"] == b"The budget is too small.\n"
    people.enrolled(Ada=[b"A"])
    people.reassemble()
    assert b"budget" in people.published(_MEDIA)["transcript.txt"]
    people.publish(_MEDIA, [people.face("A", b"A-crop")], said="Who has seen my hat?", run="e" * 16)
    assert people.published(_MEDIA)["transcript.txt"] == b"Who has seen my hat?\n"
    assert b"fits nothing here any more" in people.published(_MEDIA)[keys.REPORT]


def test_a_correction_during_publishing_is_not_overwritten(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The correction comes after the publisher has read the corrections, and before its views are written."""
    _board(people)
    put, done = people.store.put, []

    def late(bucket: str, key: str, body: bytes, **options: object) -> bool:
        if key.endswith("transcript.srt") and not done:
            done.append(True)
            _say(people, "The budget is too small.")
        return put(bucket, key, body, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(people.store, "put", late)
    people.store.delete(people.settings.output_bucket, [keys.result_key(_MEDIA, "transcript.srt")])
    assert complete_run(_MEDIA, people.result(_MEDIA).run, people.store, people.settings, people.embed)
    assert done
    published = people.published(_MEDIA)
    assert all(b"budget" in published[f"transcript.{extension}"] for extension in WRITERS)


def test_two_writers_at_once_both_count(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    _board(people)
    put, raced = people.store.put, []

    def race(bucket: str, key: str, body: bytes, **options: object) -> bool:
        if key.endswith(keys.CORRECTIONS) and not raced:
            raced.append(True)
            _name(people, "Grace")
        return put(bucket, key, body, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(people.store, "put", race)
    shown = _say(people, "The budget is too small.")
    assert [change.number for change in shown.corrections.changes] == [1, 2]
    assert [person.name for person in shown.view.result.people] == ["Grace"]
    assert b"budget" in people.published(_MEDIA)["transcript.vtt"]


def test_the_index_has_a_correction_at_its_next_refresh(people: People, tmp_path: Path) -> None:
    _board(people)
    index = SqliteIndex(tmp_path / "index.db")
    refresh(index, people.store, people.settings)
    assert len(search(index, "buget").hits) == 1
    _say(people, "The budget is too small.")
    _name(people, "Grace")
    assert refresh(index, people.store, people.settings).written == (_MEDIA,)
    assert refresh(index, people.store, people.settings).written == ()
    assert not search(index, "buget").hits
    assert search(index, "budget person:grace").hits[0].people[0].name == "Grace"
    correct(_MEDIA, "eve", lambda shown: take_back(shown.corrections), people.store, people.settings)
    assert refresh_one(_MEDIA, index, people.store, people.settings)
    assert refresh(index, people.store, people.settings).written == ()
    assert "called grace" in search(index, "budget person:grace").notes[0]


def test_forgetting_reaches_corrections_and_their_history(people: People) -> None:
    _board(people)
    _name(people, "Grace Hopper")
    _say(people, "Hello Grace Hopper.")
    where = f"s3://{people.settings.output_bucket}/{_MEDIA}"
    left = {trace.where for trace in prove_forgotten("Grace Hopper", people.store, people.settings).left}
    assert f"{where}/corrections.json" in left and f"{where}/report.html" in left
    forgotten = forget_person("Grace Hopper", people.store, people.settings, people.embed, tell=pytest.fail)
    assert not forgotten.proof.left and forgotten.faces == 2
    assert f"{where}/corrections.json" in {trace.where for trace in forgotten.proof.alone}  # somebody says it
    corrections = read_written(_MEDIA, people.store, people.settings).corrections
    assert [change.number for change in corrections.changes] == [2]
    assert people.published(_MEDIA)["transcript.txt"] == b"Hello Grace Hopper.\n"


def test_a_voice_is_forgotten_too(people: People) -> None:
    _board(people)

    def edit(shown: Shown) -> Draft:
        return change_lines(shown.view, shown.corrections, 0, 0, [SaidLine(text="Hello.", speaker="Grace")])

    correct(_MEDIA, "eve", edit, people.store, people.settings)
    assert b"<v Grace>" in people.published(_MEDIA)["transcript.vtt"]
    assert not forget_person("Grace", people.store, people.settings, people.embed, tell=pytest.fail).proof.left
    assert b"Grace" not in people.published(_MEDIA)["transcript.vtt"]
    with pytest.raises(CorrectionError):
        correct(
            _MEDIA, "eve", lambda it: name_voice(it.view, it.corrections, "Grace", "Ada"), people.store, people.settings
        )


def test_they_are_deleted_with_the_media_file(people: People) -> None:
    _board(people)
    _say(people, "The budget.")
    assert not delete_media(_MEDIA, people.store, people.settings).left
    assert not [key for bucket, key in people.store.objects if key.startswith(_MEDIA)]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"schema_version": 9}', b"\xff" * 20])
def test_unreadable_corrections_are_left_and_never_overwritten(people: People, body: bytes) -> None:
    _board(people)
    people.store.put(people.settings.output_bucket, keys.result_key(_MEDIA, keys.CORRECTIONS), body)
    with pytest.raises(CorrectionError, match="left as it is"):
        _say(people, "The budget.")
    assert publish_again(_MEDIA, people.store, people.settings)
    shown = read_shown(_MEDIA, people.store, people.settings)
    assert shown and shown.view.result.transcript.text == "The buget is too small."
    assert people.store.objects[people.settings.output_bucket, keys.result_key(_MEDIA, keys.CORRECTIONS)] == body


def test_a_recording_without_a_result_cannot_be_corrected(people: People) -> None:
    with pytest.raises(CorrectionError, match="there is no recording"):
        _say(people, "The budget.")
    people.store.put(people.settings.input_bucket, _MEDIA, b"uploaded, and not processed yet")
    with pytest.raises(CorrectionError, match="no result"):
        _say(people, "The budget.")


def test_the_object_is_a_record_of_its_own(people: People) -> None:
    _board(people)
    shown = _say(people, "The budget.", who="bob")
    body = people.store.objects[people.settings.output_bucket, f"{_MEDIA}/corrections.json"]
    assert Corrections.from_json(body) == shown.corrections
    assert shown.corrections.changes[0].who == "bob"


def test_a_person_denied_by_one_name_is_not_shown_under_another(people: People) -> None:
    people.enrolled(Ada=[b"A"])
    _board(people)

    def deny(shown: Shown) -> Draft:
        return name_faces(shown.view, "person-1", "Ada", holds=False)

    def shown_names() -> list[str]:
        found = read_shown(_MEDIA, people.store, people.settings)
        assert found
        return [person.name for person in found.view.result.people]

    correct(_MEDIA, "eve", deny, people.store, people.settings)
    assert shown_names() == ["Person 1"]
    rename("Ada", "Ada King", people.store, people.settings)
    people.reassemble()
    assert people.names(_MEDIA) == [("Ada King", "known")] and shown_names() == ["Person 1"]
    undo(people.store, people.settings)
    people.reassemble()
    assert people.names(_MEDIA) == [("Ada", "known")] and shown_names() == ["Person 1"]
    people.enrolled({"Countess": [b"C"]})
    merge("Countess", ["Ada"], people.store, people.settings)
    people.reassemble()
    assert people.names(_MEDIA) == [("Countess", "known")] and shown_names() == ["Person 1"]
