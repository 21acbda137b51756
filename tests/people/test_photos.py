"""Photos are added, moved and removed; embeddings follow them without a model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from castline import keys
from castline import people as api
from castline.errors import GalleryError, KeyLayoutError
from castline.gallery.load import Index, load_gallery
from castline.gallery.pictures import REMARKS
from castline.records import ObjectInfo


def test_the_same_photo_twice_is_stored_once(people, photo: Callable[..., Path]) -> None:
    first = api.add_photo("Ada", photo(b"A1"), people.store, people.settings, people.embed)
    again = api.add_photo("Ada", photo(b"A1", "copy.jpg"), people.store, people.settings, people.embed)
    api.add_photo("Ada", photo(b"A2"), people.store, people.settings, people.embed)
    assert first == again
    assert first.startswith("Ada/")
    assert len(api.list_people(people.store, people.settings)["Ada"]) == 2


def test_a_photo_that_cannot_be_enrolled_is_not_kept(people, photo: Callable[..., Path]) -> None:
    with pytest.raises(GalleryError, match=r"^photo\.jpg: no face found"):
        api.add_photo("Ada", photo(b"?"), people.store, people.settings, people.embed)
    with pytest.raises(GalleryError, match=r"^doc\.pdf: photos are \.avif, \.jpeg, \.jpg"):
        api.add_photo("Ada", photo(b"A", "doc.pdf"), people.store, people.settings, people.embed)
    with pytest.raises(KeyLayoutError):
        api.add_photo("../Ada", photo(b"A"), people.store, people.settings, people.embed)
    assert not people.store.objects


def test_folders_stand_for_their_photos(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (tmp_path / "ada" / name).touch()
    single = tmp_path / "one.jpg"
    single.touch()
    found = api.photos_in([tmp_path / "ada", single])
    assert [path.name for path in found] == ["a.PNG", "b.jpg", "one.jpg"]
    assert [path.name for path in api.left_out([tmp_path / "ada", single])] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(GalleryError, match="no photos"):
        api.photos_in([tmp_path / "empty"])
    with pytest.raises(GalleryError, match="does not exist"):
        api.photos_in([tmp_path / "nowhere"])


def test_known_people_are_sorted_and_have_the_age_of_their_newest_photo(
    people, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(bucket: str, prefix: str = "") -> list[ObjectInfo]:
        days = {"ada/1.jpg": 3, "ada/2.jpg": 5, "Zoë/1.jpg": 4, "Bob/1.jpg": 1, ".embeddings/x.json": 9}
        return [
            ObjectInfo(key=key, size=1, etag="e", last_modified=datetime(2026, 1, day, tzinfo=UTC))
            for key, day in days.items()
        ]

    monkeypatch.setattr(people.store, "find", listed)
    found = api.known_people(people.store, people.settings)
    assert [(person.name, len(person.photos), person.newest and person.newest.day) for person in found] == [
        ("ada", 2, 5),
        ("Bob", 1, 1),
        ("Zoë", 1, 4),
    ]


def test_renaming_onto_an_existing_name_is_refused_and_merging_loses_no_photo(people) -> None:
    photos = {
        "Ada/1.jpg": b"A1",
        "Ada/old/1.jpg": b"A2",
        "Ada/new/1.jpg": b"A3",
        "Lovelace/1.jpg": b"L1",
        "Lovelace/2.jpg": b"L2",
    }
    for key, body in photos.items():
        people.store.put(people.settings.gallery_bucket, key, body)
    before = dict(people.store.objects)
    with pytest.raises(GalleryError, match=r"somebody is already called 'Lovelace'; .* people merge 'Lovelace' 'Ada'"):
        api.rename("Ada", " Lovelace", people.store, people.settings)
    assert people.store.objects == before
    assert api.merge("Lovelace", ["Ada"], people.store, people.settings) == 3
    known = api.list_people(people.store, people.settings)
    assert list(known) == ["Lovelace"]
    assert sorted(people.gallery().values()) == sorted(photos.values())
    assert people.gallery()["Lovelace/1.jpg"] == b"L1"


def test_changes_are_undone_the_last_first(people, photo: Callable[..., Path]) -> None:
    people.enrolled({"A. L.": [b"A2", b"A3"]}, Ada=[b"A1"], Lovelace=[b"A1", b"A4"])
    states = [people.gallery()]
    for action in (
        lambda: api.merge("Ada", ["Lovelace", "A. L."], people.store, people.settings),
        lambda: api.rename("Ada", "Countess", people.store, people.settings),
        lambda: api.add_photo("Countess", photo(b"A5"), people.store, people.settings, people.embed),
        lambda: api.add_photo("Bob", photo(b"B1"), people.store, people.settings, people.embed),
    ):
        action()
        states.append(people.gallery())
    api.add_photo("Bob", photo(b"B1"), people.store, people.settings, people.embed)  # exists: nothing was done
    load_gallery(people.store, people.settings.gallery_bucket, people.model, people.embed)
    said = []
    while len(states) > 1:
        assert people.gallery() == states.pop()
        said.append(str(api.undo(people.store, people.settings)))
    assert people.gallery() == states[0]
    assert said == [
        "1 photo enrolled as Bob",
        "1 photo enrolled as Countess",
        "Ada renamed to Countess",
        "Lovelace, A. L. merged into Ada",
    ]
    assert api.undo(people.store, people.settings) is None
    (index,) = [key for _, key in people.store.objects if key.startswith(".")]
    entries = Index.from_json(people.store.get(people.settings.gallery_bucket, index) or b"").entries
    assert set(entries) <= set(people.gallery()), "no embedding of a photo that is gone"
    assert "A. L./0.jpg" in entries, "embeddings are restored, too"


def test_an_interrupted_merge_can_be_undone(people, monkeypatch: pytest.MonkeyPatch) -> None:
    people.enrolled(Ada=[b"A1"], Lovelace=[b"L1", b"L2"])
    before = people.gallery()
    with monkeypatch.context() as broken:
        broken.setattr(people.store, "delete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            api.merge("Ada", ["Lovelace"], people.store, people.settings)
    assert len(people.gallery()) == 5
    api.undo(people.store, people.settings)
    assert people.gallery() == before


def test_undo_keeps_another_client_s_changes(people) -> None:
    people.enrolled(Ada=[b"A1"], Lovelace=[b"L1", b"L2", b"L3"])
    api.merge("Ada", ["Lovelace"], people.store, people.settings)
    bucket = people.settings.gallery_bucket
    people.store.put(bucket, "Lovelace/1.jpg", b"somebody else's")
    people.store.put(bucket, "Ada/new.jpg", b"A9")
    people.store.delete(bucket, ["Ada/2.jpg"])
    people.store.put(bucket, ".changes/000000-not ours.json", b"{}")
    people.store.put(bucket, ".changes/999999.json", b"{")
    api.undo(people.store, people.settings)
    moved = next(key for key in people.gallery() if key.startswith("Lovelace/0"))
    assert people.gallery() == {
        "Ada/0.jpg": b"A1",
        "Ada/1.jpg": b"L2",  # its former place is taken
        "Ada/new.jpg": b"A9",
        "Lovelace/1.jpg": b"somebody else's",
        moved: b"L1",
    }


def test_nothing_of_a_forgotten_person_can_be_restored(people) -> None:
    people.enrolled(Ada=[b"A1"], Lovelace=[b"L1"], Bob=[b"B1"], Cy=[b"C1"])
    api.merge("Ada", ["Lovelace", "Bob"], people.store, people.settings)
    api.rename("Cy", "Cyril", people.store, people.settings)
    api.enrol("Dee", [api.Picture("d", ".jpg", b"D1")], people.store, people.settings)
    api.rename("Dee", "Dora", people.store, people.settings)
    assert api.forget("Dora", people.store, people.settings) == 1
    assert b"Dee" not in b"".join(people.store.objects.values()), "nor under a former name"
    assert api.prove_forgotten("Bob", people.store, people.settings).left, "it says who Bob was"
    with pytest.raises(GalleryError, match="nobody is called 'Bob'"):
        api.forget("Bob", people.store, people.settings)
    assert not api.prove_forgotten("Bob", people.store, people.settings).left
    assert str(api.undo(people.store, people.settings)) == "Cy renamed to Cyril"
    assert str(api.undo(people.store, people.settings)) == "Lovelace merged into Ada"
    assert api.forget("Lovelace", people.store, people.settings) == 1
    assert b"Lovelace" not in b"".join(key.encode() + body for (_, key), body in people.store.objects.items())


@pytest.mark.parametrize("name", ["bell\a", "\u202eevil", "a\\b", "x" * 300, "Ada\u2028L"])
def test_names_from_other_clients_can_be_renamed_and_forgotten(people, name: str) -> None:
    for typed in (name, keys.shown(name)):
        people.enrolled({name: [b"A1"]})
        (listed,) = api.list_people(people.store, people.settings)
        assert api.rename(typed, "Ada", people.store, people.settings) == 1
        assert people.gallery() == {"Ada/0.jpg": b"A1"}
        api.undo(people.store, people.settings)
        assert list(api.list_people(people.store, people.settings)) == [listed]
        assert api.forget(typed, people.store, people.settings) == 1
        assert not api.prove_forgotten(listed, people.store, people.settings).left
        with pytest.raises(KeyLayoutError):
            api.forget("\a", people.store, people.settings)


def test_renaming_to_the_same_name_changes_nothing(people) -> None:
    people.enrolled(Ada=[b"A1"])
    before = dict(people.store.objects)
    assert api.rename("Ada", " Ada ", people.store, people.settings) == 1
    assert people.store.objects == before


@pytest.mark.parametrize("new", ["../up", "", "a/b", ".hidden", "bell\a"])
def test_a_name_cannot_escape_its_prefix(people, new: str) -> None:
    people.enrolled(Ada=[b"A1"], Bob=[b"B1"])
    before = dict(people.store.objects)
    for action in (
        lambda: api.rename("Ada", new, people.store, people.settings),
        lambda: api.merge(new, ["Ada"], people.store, people.settings),
        lambda: api.merge("Ada", ["Bob", new], people.store, people.settings),
        lambda: api.forget(new, people.store, people.settings),
        lambda: api.enrol(new, [api.Picture("x", ".jpg", b"A")], people.store, people.settings),
    ):
        with pytest.raises(KeyLayoutError):
            action()
    assert people.store.objects == before


@pytest.mark.parametrize("name", ["Zoë", "张伟", 'D\'Arcy "Mac" O’Neil & Søn', "имя", "<b>Ada<i>"])
def test_names_are_free_text(people, name: str) -> None:
    people.enrolled(Ada=[b"A1"], Bob=[b"B1"])
    assert api.rename("Ada", f"  {name} ", people.store, people.settings) == 1
    assert list(api.list_people(people.store, people.settings)) == sorted(["Bob", name], key=str.casefold)
    assert api.merge(name, ["Bob"], people.store, people.settings) == 1
    assert api.forget(name, people.store, people.settings) == 2
    assert not people.gallery()


def test_names_uploaded_with_decomposed_letters_are_the_same_people(people) -> None:
    people.enrolled({"Zoe\u0308": [b"Z1"]})
    assert list(api.list_people(people.store, people.settings)) == ["Zoë"]
    assert api.rename("Zoë", "Zoë", people.store, people.settings) == 1
    assert people.gallery() == {"Zoë/0.jpg": b"Z1"}
    people.enrolled({"Zoe\u0308": [b"Z2"]})
    assert api.rename("Zoe\u0308", "Zoë", people.store, people.settings) == 2
    assert sorted(people.gallery().values()) == [b"Z1", b"Z2"]
    assert all(key.startswith("Zoë/") for key in people.gallery())
    assert api.forget("Zoe\u0308", people.store, people.settings) == 2
    assert not people.gallery()


def test_merging_joins_all_photos_under_one_name(people) -> None:
    people.enrolled({"Ada L.": [b"A1"]}, Ada=[b"A1"], Lovelace=[b"A2", b"A3"], Bob=[b"B1"])
    assert api.merge("Ada", ["Lovelace", "Ada L.", "Lovelace"], people.store, people.settings) == 3
    known = api.list_people(people.store, people.settings)
    assert list(known) == ["Ada", "Bob"]
    assert {people.gallery()[key] for key in known["Ada"]} == {b"A1", b"A2", b"A3"}


@pytest.mark.parametrize(
    ("into", "others", "message"),
    [
        ("Ada", ["Bob", "Nobody"], "nobody is called 'Nobody'; see: castline people list"),
        ("Nobody", ["Ada"], "nobody is called 'Nobody'"),
        ("Ada", ["Bob", " Ada"], "'Ada' cannot be merged into itself"),
        ("Ada", [], "nobody to merge into 'Ada' was named"),
    ],
)
def test_an_impossible_merge_moves_nothing(people, into: str, others: list[str], message: str) -> None:
    people.enrolled(Ada=[b"A1"], Bob=[b"B1"])
    before = dict(people.store.objects)
    with pytest.raises(GalleryError, match=message):
        api.merge(into, others, people.store, people.settings)
    assert people.store.objects == before


def test_embeddings_follow_photos_to_their_new_names(people) -> None:
    people.enrolled(Ada=[b"A1", b"A2"], Lovelace=[b"L1"], Bob=[b"B1"])
    bucket = people.settings.gallery_bucket
    load_gallery(people.store, bucket, people.model, people.embed)
    people.store.put(bucket, keys.gallery_index_key("broken"), b"{")
    people.embedded.clear()
    api.rename("Ada", "Countess", people.store, people.settings)
    api.merge("Countess", ["Lovelace"], people.store, people.settings)
    loaded = load_gallery(people.store, bucket, people.model, people.embed)
    assert not people.embedded, "no photo is embedded again"
    assert sorted(face.name for face in loaded.gallery.faces) == ["Bob", "Countess", "Countess", "Countess"]
    entries = Index.from_json(people.store.get(bucket, keys.gallery_index_key(people.model)) or b"").entries
    assert all(not key.startswith(("Ada/", "Lovelace/")) for key in entries)


def test_forgetting_removes_one_person_s_embeddings_and_keeps_the_others(people) -> None:
    people.enrolled({"Ada Lovelace": [b"L1"]}, Ada=[b"A1"], Adam=[b"M1"])
    bucket = people.settings.gallery_bucket
    people.store.put(bucket, "Ada/notes.txt", b"x")
    load_gallery(people.store, bucket, people.model, people.embed)
    people.store.put(bucket, keys.gallery_index_key("broken"), b"{")
    people.store.put(bucket, keys.gallery_index_key("empty"), b"{}")
    people.embedded.clear()
    assert api.forget("Ada", people.store, people.settings) == 2
    assert set(people.gallery()) == {"Ada Lovelace/0.jpg", "Adam/0.jpg"}
    indexes = [key for name, key in people.store.objects if name == bucket and key.startswith(".")]
    assert indexes == [keys.gallery_index_key(people.model)]
    entries = Index.from_json(people.store.get(bucket, indexes[0]) or b"").entries
    assert set(entries) == {"Ada Lovelace/0.jpg", "Adam/0.jpg"}
    load_gallery(people.store, bucket, people.model, people.embed)
    assert not people.embedded


def test_an_unknown_name_is_a_helpful_error(people) -> None:
    for action in (
        lambda: api.forget("Ada", people.store, people.settings),
        lambda: api.rename("Ada", "B", people.store, people.settings),
    ):
        with pytest.raises(GalleryError, match=r"nobody is called 'Ada'; see: castline people list"):
            action()


def test_photos_of_little_or_no_use_are_reported(people) -> None:
    bucket = people.settings.gallery_bucket
    people.enrolled(Ada=[b"A1", b"?", b"A-blurred"])
    people.store.put(bucket, "Ada/phone.HEIC", b"x")
    people.store.put(bucket, "Ada/notes.txt", b"x")
    ours = {"Ada/phone.HEIC": keys.UNREAD_PHOTO}
    assert api.photo_remarks(people.store, people.settings) == ours | {f"Ada/{at}.jpg": api.NOT_SEEN for at in range(3)}
    load_gallery(people.store, bucket, people.model, people.embed)
    people.store.put(bucket, keys.gallery_index_key("broken"), b"{")
    remarks = ours | {"Ada/1.jpg": "no face found in the photo", "Ada/2.jpg": REMARKS["poor"]}
    assert api.photo_remarks(people.store, people.settings) == remarks
    people.store.put(bucket, "Ada/1.jpg", b"A2")
    assert api.photo_remarks(people.store, people.settings) == remarks | {"Ada/1.jpg": api.NOT_SEEN}
