"""Whatever happens to an object about people, the others are bound, shown, corrected and forgotten as before."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline import keys
from castline import people as api
from castline.corrections import Draft, change_lines
from castline.errors import CastlineError
from castline.operations.delete import delete_media
from castline.operations.forget import forget_person
from castline.operations.pending import pending
from castline.records import Mouths, SaidLine, SpeakingFace, Usage
from castline.runs.audit import PREFIX as AUDIT
from castline.runs.audit import Deleted
from castline.runs.corrections import correct, read_shown
from tests.conftest import at_scale
from tests.mutation import damaged, spoilt
from tests.people.conftest import People
from tests.people.test_voices import NOTE, publish, voice

_TALK, _OTHER, _GONE = "talk.mp4", "other.mp4", "gone.mp4"


def _say(people: People, media: str, text: str) -> None:
    def edit(shown) -> Draft:
        return change_lines(shown.view, shown.corrections, 0, 0, [SaidLine(text=text)])

    correct(media, "eve", edit, people.store, people.settings)


@pytest.fixture(scope="module")
def stored() -> dict[tuple[str, str], bytes]:
    """Two people, one also known by her voice; three recordings, one of them corrected; and a deleted one."""
    people = People()
    store, where = people.store, people.settings
    people.enrolled(Ada=[b"A1"], Grace=[b"B1"])
    api.enrol_voice("Ada", voice(0), store, where)
    seen = [people.face("A", b"A-crop"), people.face("B", b"B-crop", left=0.6)]
    result = people.publish(_TALK, seen, seen, said="The buget is too small.")
    people.publish(_OTHER, [people.face("B", b"B-crop")], said="Good morning.")
    publish(people, 0, 1)
    faces = tuple(
        SpeakingFace(start_s=0.0, end_s=1.0, score=1.0, engine="test", box=person.tracks[0].sightings[0].box)
        for person in result.people
    )
    mouths = Mouths(engine="test", faces=faces, usage=Usage(stage="mouths", seconds=1, memory_mb=1024))
    store.put(where.output_bucket, keys.mouths_key(_TALK, result.run), mouths.to_json())
    _say(people, _TALK, "The budget is too small.")
    people.publish(_GONE, seen)
    delete_media(_GONE, store, where)
    return dict(store.objects)


def _one(stored: dict[tuple[str, str], bytes], what: str) -> tuple[str, str]:
    (found,) = (where for where in stored if what in where[1])
    return found


@pytest.mark.parametrize("what", [".voice", "/mouths.json", f"{_TALK}/{keys.CORRECTIONS}", ".changes/", AUDIT])
@settings(max_examples=at_scale(6, 200))
@given(data=st.data())
def test_any_damaged_object_harms_only_itself(stored, what: str, data: st.DataObject) -> None:
    people = People()
    store, where = people.store, people.settings
    store.objects = dict(stored)
    bucket, key = _one(stored, what)
    store.put(bucket, key, spoilt(data, stored[bucket, key]))
    people.reassemble(everything=True)
    assert people.names(_OTHER) == [("Grace", "known")]
    list(pending(store, where))
    assert _OTHER not in Deleted(store, where)
    assert len(api.known_people(store, where)) == 2
    for media in (_TALK, _OTHER, NOTE):
        assert read_shown(media, store, where)
        with contextlib.suppress(CastlineError):
            _say(people, media, "Put right.")
    with contextlib.suppress(CastlineError):
        api.undo(store, where)
    api.prove_forgotten("Grace", store, where)
    done = forget_person("Ada", store, where, people.embed, tell=lambda _: None)
    assert not done.proof.parts
    assert people.names(_OTHER) == [("Grace", "known")]


_ERRORS = (ValueError, TypeError, IndexError, ZeroDivisionError, RuntimeError, MemoryError, KeyError)


@settings(max_examples=at_scale(7, 100))
@given(error=st.sampled_from(_ERRORS), said=st.text(max_size=300))
def test_whatever_one_photo_raises_is_that_photo_s_warning(stored, error: type[Exception], said: str) -> None:
    people = People()
    people.store.objects = dict(stored)
    people.enrolled(Eve=[b"E1"])
    embed = people.embed

    def fragile(body: bytes):
        if body.startswith(b"E"):
            raise error(said)
        return embed(body)

    people.embed = fragile
    people.reassemble(everything=True)
    assert people.names(_OTHER) == [("Grace", "known")]
    (warning,) = people.result(_OTHER).warnings
    assert (warning.code, warning.about) == ("gallery_photo", "Eve/0.jpg")
    assert error.__name__ in warning.message
    people.embed = embed
    people.reassemble()
    assert people.result(_OTHER).warnings == (), "it was tried again"


@settings(max_examples=at_scale(10, 200))
@given(data=st.data())
def test_any_damaged_photo_is_a_face_or_a_warning(stored, data: st.DataObject) -> None:
    """With the real picture decoder, and no face in any of them."""
    from castline.recognition.photo import embed_photo
    from tests.stages.conftest import FakeEngines, World

    people = People()
    people.store.objects = dict(stored)
    photo = World().picture("black")
    people.enrolled(Eve=[damaged(data, photo)])
    engines, embed = FakeEngines(), people.embed
    people.embed = lambda body: embed(body) if body in (b"A1", b"B1") else embed_photo(body, engines)
    people.reassemble(everything=True)
    assert people.names(_OTHER) == [("Grace", "known")]
    assert {warning.about for warning in people.result(_OTHER).warnings} <= {"Eve/0.jpg"}
