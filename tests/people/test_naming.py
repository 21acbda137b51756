"""A person in a result gets a name by the pictures that were kept."""

from __future__ import annotations

import pytest

from castline import people as api
from castline.errors import GalleryError, KeyLayoutError

_MEDIA = "week 1/talk.mp4"


def _name(people, label: str, name: str, media: str = _MEDIA) -> list[str]:
    return api.name_person(media, label, name, people.store, people.settings, people.embed)


def test_a_named_person_is_known_there_and_in_other_results(people) -> None:
    people.publish(_MEDIA, [people.face("A", b"A-crop"), people.face("B", b"B-crop", left=0.6)])
    people.publish("other.mp4", [people.face("B", b"B-other")])
    people.publish("third.mp4", [people.face("C", b"C-crop")])
    photos = _name(people, "Person 2", "Zoë O'Neil")
    assert [people.gallery()[key] for key in photos] == [b"B-crop"]
    assert all(key.startswith("Zoë O'Neil/") and key.endswith(".jpg") for key in photos)
    assert sorted(people.reassemble()) == ["other.mp4", "third.mp4", _MEDIA]
    assert people.names(_MEDIA) == [("Person 1", "unknown"), ("Zoë O'Neil", "known")]
    assert people.names("other.mp4") == [("Zoë O'Neil", "known")]
    assert people.names("third.mp4") == [("Person 1", "unknown")]


def test_the_best_five_pictures_of_all_appearances_are_used(people) -> None:
    qualities = [0.3, 0.9, 0.5, 0.8, 0.2, 0.7, 0.6]
    frames: list[list[object]] = []
    for at, quality in enumerate(qualities):
        left = 0.1 if at % 2 else 0.6
        frames += [[people.face("A", f"A{quality}".encode(), quality, left)], [people.face("B", b"B-crop", left=0.3)]]
    people.publish(_MEDIA, *frames)
    photos = _name(people, "person-1", "Ada")
    assert [people.gallery()[key] for key in photos] == [b"A0.9", b"A0.8", b"A0.7", b"A0.6", b"A0.5"]


def test_pictures_of_nobody_or_somebody_else_are_left_out(people) -> None:
    crops = [(b"?-nobody", 0.9), (b"B-a neighbour", 0.8), (b"A-good", 0.4)]
    people.publish(
        _MEDIA,
        *([people.face("A", crop, quality)] for crop, quality in crops),
    )
    photos = _name(people, "Person 1", "Ada")
    assert [people.gallery()[key] for key in photos] == [b"A-good"]


def test_a_known_person_s_further_pictures_go_under_the_same_name(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    assert people.names(_MEDIA) == [("Ada", "known")]
    _name(people, "Ada", "Ada")
    assert sorted(people.gallery().values()) == [b"A-crop", b"A1"]


def test_composed_and_decomposed_labels_are_the_same(people) -> None:
    people.enrolled(Zoë=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    assert _name(people, " Zoe\u0308", "Zoe\u0308")[0].startswith("Zoë/")


def test_a_person_who_cannot_be_named_is_explained(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop"), people.face("B", b"?", left=0.6), people.face("C", left=0.3)])
    people.publish("voice.ogg", said="hello")
    before = dict(people.store.objects)
    assert [name for name, _ in people.names(_MEDIA)] == ["Ada", "Person 1", "Person 2"]
    for label, media, message in (
        ("Person 1", "nowhere.mp4", r"^there is no recording nowhere\.mp4; castline status lists what there is$"),
        ("Person 9", _MEDIA, r"^nobody in .*talk\.mp4 is called 'Person 9'; there are: Ada, Person 1, Person 2$"),
        ("Person 1", "voice.ogg", r"^nobody is on screen in voice\.ogg$"),
        ("Ada", _MEDIA, r"^'Ada' is a known name: castline people rename "),
    ):
        with pytest.raises(GalleryError, match=message):
            _name(people, label, "Grace", media)
    named = {person.name: person for person in people.result(_MEDIA).people}
    without = next(name for name, person in named.items() if person.image is None)
    unusable = next(name for name in ("Person 1", "Person 2") if name != without)
    with pytest.raises(GalleryError, match=f"^no picture of {without} in .* is kept; enrol Grace by photos"):
        _name(people, without, "Grace")
    with pytest.raises(GalleryError, match=r"^no picture of .* can be enrolled \(no face found.*\); enrol Grace"):
        _name(people, unusable, "Grace")
    with pytest.raises(KeyLayoutError):
        _name(people, "Person 1", "../Grace")
    assert people.store.objects == before
