"""A forgotten person's data leaves the parts, and results that can no longer be assembled."""

from __future__ import annotations

import numpy as np
import pytest

from castline import keys
from castline.errors import GalleryError
from castline.operations.forget import forget_person
from castline.people import Likeness, erase_from_parts, forget, prove_forgotten, unname
from castline.people.erase import without
from castline.recognition.sightings import Enrolled
from castline.records import Attribution, FramesPart, Mouths, Speaker, SpeakingFace, Usage
from castline.runs.audit import digest

_MEDIA = "week 1/talk.mp4"
_UNREAD = "it cannot be read, and may contain them"


def _embeddings(people) -> list[str]:
    """Every embedding that is left in any part."""
    found = []
    for info in people.store.find(people.settings.output_bucket):
        parsed = keys.parse_part(info.key)
        if parsed and parsed[0].kind == "frames":
            part = FramesPart.from_json(people.store.get(people.settings.output_bucket, info.key))
            found += [face.embedding.data for frame in part.frames for face in frame.faces]
    return found


def _erase(people, name: str = "Ada"):
    return erase_from_parts(Likeness(name, people.store, people.settings), people.store, people.settings)


def _forget(people, name: str = "Ada"):
    return forget_person(name, people.store, people.settings, people.embed, tell=pytest.fail)


def _two_results(people) -> None:
    people.enrolled(Ada=[b"A1"], Grace=[b"B1"])
    seen = [people.face("A", b"A-crop"), people.face("B", b"B-crop", left=0.6)]
    people.publish(_MEDIA, seen, seen)
    people.publish("other.mp4", [people.face("A", b"A-crop")])


def test_one_person_s_faces_are_removed_from_all_parts_and_the_others_stay(people) -> None:
    _two_results(people)
    erased = _erase(people)
    assert (erased.faces, len(erased.parts)) == (3, 2)
    assert _embeddings(people) == [people.look("B").data] * 2
    forget("Ada", people.store, people.settings)
    people.reassemble(everything=True)
    assert people.names(_MEDIA) == [("Grace", "known")]
    assert people.names("other.mp4") == []
    assert prove_forgotten("Ada", people.store, people.settings).left == []


def test_a_part_s_faces_are_compared_with_the_gallery_in_one_matrix(people, monkeypatch: pytest.MonkeyPatch) -> None:
    _two_results(people)
    compared: list[int] = []
    alike = Enrolled.alike

    def counted(known: Enrolled, faces: np.ndarray, grades: list[str]) -> np.ndarray:
        compared.append(len(faces))
        return alike(known, faces, grades)

    people.publish("empty.mp4", [])
    monkeypatch.setattr(Enrolled, "alike", counted)
    assert _erase(people).faces == 3
    assert sorted(compared) == [1, 4]


def test_a_part_without_a_result_loses_them_too(people) -> None:
    _two_results(people)
    people.store.delete(people.settings.output_bucket, [f"{_MEDIA}/result.json", "other.mp4/result.json"])
    assert _erase(people).faces == 3
    assert people.look("A").data not in _embeddings(people)


@pytest.mark.parametrize("body", [b"{", b"[" * 60_000, b"null", b"\xff"], ids=range(4))
def test_an_unreadable_part_does_not_prevent_forgetting_and_the_proof_names_it(people, body) -> None:
    _two_results(people)
    unit = keys.UnitId("other.mp4", people.result("other.mp4").run, "frames", 0)
    people.store.put(people.settings.output_bucket, unit.part_key, body)
    people.store.delete(people.settings.output_bucket, [keys.result_key("other.mp4")])  # nobody assembles it meanwhile
    done = _forget(people)
    assert done.faces == 2
    where = f"s3://{people.settings.output_bucket}/{unit.part_key}"
    assert (where, _UNREAD) in [tuple(trace) for trace in done.proof.left]
    assert not done.proof.parts


def test_a_part_of_an_unknown_model_may_contain_anybody(people) -> None:
    _two_results(people)
    unit = keys.UnitId("other.mp4", people.result("other.mp4").run, "frames", 0)
    part = FramesPart.from_json(people.store.get(people.settings.output_bucket, unit.part_key))
    foreign = part.model_copy(update={"embedder": "nobody-knows"})
    people.store.put(people.settings.output_bucket, unit.part_key, foreign.to_json())
    assert _erase(people).faces == 2
    assert _UNREAD in [trace.why for trace in prove_forgotten("Ada", people.store, people.settings).left]


def test_nobody_is_forgotten_because_something_is_unreadable(people) -> None:
    _two_results(people)
    unit = keys.UnitId("other.mp4", people.result("other.mp4").run, "frames", 0)
    people.store.put(people.settings.output_bucket, unit.part_key, b"{")
    with pytest.raises(GalleryError):
        _forget(people, "Nobody")


def test_the_proof_searches_parts_for_faces(people) -> None:
    """A face put back after its removal is found, although no photo and no result says whose it is."""
    _two_results(people)
    store, bucket = people.store, people.settings.output_bucket
    unit = keys.UnitId("other.mp4", people.result("other.mp4").run, "frames", 0)
    before, likeness = store.get(bucket, unit.part_key), Likeness("Ada", store, people.settings)
    erase_from_parts(likeness, store, people.settings)
    forget("Ada", store, people.settings)
    people.reassemble(everything=True)
    assert prove_forgotten("Ada", store, people.settings, likeness).left == []
    store.put(bucket, unit.part_key, before)
    proof = prove_forgotten("Ada", store, people.settings, likeness)
    assert [tuple(trace) for trace in proof.left] == [
        (f"s3://{bucket}/{unit.part_key}", "a face, recognised as theirs")
    ]
    assert proof.parts == 1


def test_a_part_written_during_forgetting_loses_them_too(people, monkeypatch: pytest.MonkeyPatch) -> None:
    _two_results(people)
    store, bucket = people.store, people.settings.output_bucket
    key = keys.UnitId("other.mp4", people.result("other.mp4").run, "frames", 0).part_key
    late, delete = store.get(bucket, key), store.delete

    def photos_gone(where: str, gone: list[str]) -> None:
        delete(where, gone)
        if where == people.settings.gallery_bucket and any(each.startswith("Ada/") for each in gone):
            store.put(bucket, key, late)

    monkeypatch.setattr(store, "delete", photos_gone)
    done = _forget(people)
    assert (done.proof.left, done.faces) == ([], 4)
    assert people.look("A").data not in _embeddings(people)


def test_results_whose_parts_expired_lose_the_name(people) -> None:
    _two_results(people)
    expired = [info.key for info in people.store.find(people.settings.output_bucket) if keys.parse_part(info.key)]
    people.store.delete(people.settings.output_bucket, expired)
    forget("Ada", people.store, people.settings)
    people.reassemble(everything=True)
    assert prove_forgotten("Ada", people.store, people.settings).left
    assert sorted(unname("Ada", people.store, people.settings)) == ["other.mp4", _MEDIA]
    assert people.names(_MEDIA) == [("Person 1", "unknown"), ("Grace", "known")]
    assert "people/person-1.jpg" in people.published(_MEDIA)
    assert "people/ada.jpg" not in people.published(_MEDIA)
    assert prove_forgotten("Ada", people.store, people.settings).left == []
    assert list(unname("Ada", people.store, people.settings)) == []


def test_everything_else_of_a_result_stays(people) -> None:
    people.enrolled(Ada=[b"A1"])
    result = people.publish(_MEDIA, [people.face("A", b"A-crop")], said="Good morning.")
    anonymous = without(result, "Ada")
    assert [person.tracks for person in anonymous.people] == [person.tracks for person in result.people]
    assert anonymous.transcript.text == result.transcript.text
    assert "Ada" not in anonymous.model_dump_json()
    assert without(result, "Grace") == result


@pytest.mark.parametrize(
    ("reason", "hers"),
    [
        ("the voice is that of Adam", False),
        ("the voice is that of Ada Lovelace", False),
        ("the voice is like that of Canada", False),
        ("the voice is that of Ada", True),
        ("the voice is like that of Ada", True),
        ("the voice is not like that of Ada", True),
        ("the voice is not like that of Ada, who is on screen", True),
    ],
)
def test_the_legal_basis_is_removed_only_with_the_whole_name(people, reason: str, hers: bool) -> None:
    result = people.publish(_MEDIA, [people.face("B")], said="Good morning.")
    (line,) = result.transcript.segments
    said_by = Attribution(outcome="says", name="Adam", confidence=0.9, reasons=(reason,))
    speaker = Speaker(id="speaker-1", name="Adam", identity="known", confidence=0.9, voice_s=9, reasons=(reason,))
    transcript = result.transcript.model_copy(
        update={"segments": (line.model_copy(update={"said_by": said_by}),), "speakers": (speaker,)}
    )
    result = result.model_copy(update={"transcript": transcript})
    assert (without(result, "Ada") != result) is hers
    people.store.put(people.settings.output_bucket, f"{_MEDIA}/result.json", result.to_json())
    named = {trace.why for trace in prove_forgotten("Ada", people.store, people.settings).left}
    assert named == ({"named in the result"} if hers else set())


def _watched(people) -> str:
    """Ada's mouth and Grace's, from the first recording; returns the key of what was seen."""
    result = people.result(_MEDIA)
    faces = tuple(
        SpeakingFace(start_s=0.0, end_s=1.0, score=score, engine="test", box=person.tracks[0].sightings[0].box)
        for person, score in zip(result.people, (2.0, -1.0), strict=True)
    )
    usage = Usage(stage="mouths", seconds=1, memory_mb=1024)
    key = keys.mouths_key(_MEDIA, result.run)
    people.store.put(
        people.settings.output_bucket, key, Mouths(engine="test", faces=faces, usage=usage).to_json(), if_absent=True
    )
    return key


def test_mouth_data_is_removed_with_its_face_and_the_proof_says_what_is_left(people) -> None:
    _two_results(people)
    key, bucket = _watched(people), people.settings.output_bucket
    planted = people.store.get(bucket, key)
    done = _forget(people)
    assert done.proof.left == []
    assert [face.score for face in Mouths.from_json(people.store.get(bucket, key)).faces] == [-1.0]
    audited = [people.store.get(*where).decode() for where in people.store.objects if "audit" in where[1]]
    assert any(digest(key) in entry for entry in audited)
    people.store.put(bucket, key, planted)
    assert [tuple(trace) for trace in prove_forgotten("Ada", people.store, people.settings).left] == [
        (f"s3://{bucket}/{key}", "what was seen of a mouth, and its face is gone")
    ]
    people.store.put(bucket, key, b"{")
    assert [trace.why for trace in prove_forgotten("Ada", people.store, people.settings).left] == [_UNREAD]
