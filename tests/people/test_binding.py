"""Late binding: results follow the gallery, and only those that need to are assembled again."""

from __future__ import annotations

import pytest

from castline import keys
from castline import people as api
from castline.errors import ModelNotFound
from castline.records import Embedding, PhotoEmbedding
from castline.runs.complete import Assembler, complete_run

_MEDIA = "talk.mp4"


def test_names_are_added_changed_and_removed(people) -> None:
    before = people.publish(_MEDIA, [people.face("A", b"A-crop")])
    assert people.names(_MEDIA) == [("Person 1", "unknown")]
    people.enrolled(Ada=[b"A1"])
    assert people.reassemble() == [_MEDIA]
    assert people.names(_MEDIA) == [("Ada", "known")]
    assert "people/ada.jpg" in people.published(_MEDIA)

    api.rename("Ada", "Countess Ada", people.store, people.settings)
    assert people.reassemble() == [_MEDIA]
    assert people.names(_MEDIA) == [("Countess Ada", "known")]

    api.forget("Countess Ada", people.store, people.settings)
    assert people.reassemble() == [_MEDIA]
    assert people.names(_MEDIA) == [("Person 1", "unknown")]
    assert people.result(_MEDIA) == before
    left = [key for (_, key), body in people.store.objects.items() if "Ada" in key or b"Ada" in body or "ada" in key]
    assert not left, "a forgotten name is nowhere"


def test_only_results_that_may_change_are_touched(people, monkeypatch: pytest.MonkeyPatch) -> None:
    people.publish("faces.mp4", [people.face("A", b"A-crop")])
    people.publish("voice.ogg", said="hello")
    people.publish("empty.mp4", [])
    people.enrolled(Ada=[b"A1"])
    people.publish("later.mp4", [people.face("A", b"A-crop")])
    assembled: list[str] = []

    complete = Assembler.complete

    def count(assembler: Assembler, media: str, run: str) -> bool:
        assembled.append(media)
        return complete(assembler, media, run)

    monkeypatch.setattr(Assembler, "complete", count)
    assert people.reassemble() == ["faces.mp4"]
    assert assembled == ["faces.mp4"], "the others show nobody, or know Ada already"
    assert people.reassemble() == []
    assert assembled == ["faces.mp4"]
    assert people.reassemble(everything=True) == [], "assembled again without a changed byte"
    assert sorted(assembled[1:]) == ["empty.mp4", "faces.mp4", "later.mp4", "voice.ogg"]


def test_parts_are_read_and_never_written_and_each_photo_is_embedded_once(people) -> None:
    for number in range(3):
        people.publish(f"{number}.mp4", [people.face("A", b"A-crop"), people.face("B", left=0.6)])
    people.enrolled(Ada=[b"A1", b"A2"], Bob=[b"B1"])
    people.store.writes.clear()
    people.embedded.clear()
    assert len(people.reassemble()) == 3
    assert sorted(people.embedded) == [b"A1", b"A2", b"B1"]
    assert not [key for _, key in people.store.writes if "/parts/" in key or key.endswith("manifest.json")]


@pytest.mark.parametrize("here", [True, False], ids=["the results' model", "another model"])
def test_the_gallery_is_read_once_for_any_number_of_results(here: bool, people, monkeypatch) -> None:
    people.enrolled(Ada=[b"A1"])
    for number in range(12):
        people.publish(f"{number}.mp4", [people.face("A", b"A-crop")])
    people.enrolled(Bob=[b"B1"])
    read: list[str] = []
    get = people.store.get

    def counted(bucket: str, key: str, **bounds: int) -> bytes | None:
        if bucket == people.settings.gallery_bucket:
            read.append(key)
        return get(bucket, key, **bounds)

    def embed(body: bytes) -> PhotoEmbedding:
        embedding = people.embed(body)
        return embedding if here else embedding.model_copy(update={"model": "facenet-vggface2"})

    monkeypatch.setattr(people.store, "get", counted)
    assert len(list(api.reassemble(people.store, people.settings, embed))) == 12
    index = keys.gallery_index_key(people.model)
    assert (read.count(index), read.count("Bob/0.jpg")) == (1 if here else 2, 1)


def test_a_concurrent_change_of_the_gallery_is_noticed(people) -> None:
    for media in ("1.mp4", "2.mp4"):
        people.publish(media, [people.face("A", b"A-crop")])
    people.enrolled(Ada=[b"A1"])
    binding = api.reassemble(people.store, people.settings, people.embed)
    assert next(binding) == "1.mp4"
    api.rename("Ada", "Zoe", people.store, people.settings)
    assert list(binding) == ["2.mp4"]
    assert people.names("2.mp4") == [("Zoe", "known")]


def test_a_photo_without_an_embedding_is_tried_again(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    people.store.delete(people.settings.gallery_bucket, [keys.gallery_index_key(people.model)])
    assert complete_run(_MEDIA, people.result(_MEDIA).run, people.store, people.settings)  # in a place without a model
    assert people.names(_MEDIA) == [("Person 1", "unknown")]
    assert people.result(_MEDIA).warnings[0].about == "Ada/0.jpg"
    assert people.reassemble() == [_MEDIA]
    assert people.names(_MEDIA) == [("Ada", "known")]


def test_a_result_of_another_model_keeps_that_model_s_embeddings(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    people.enrolled(Bob=[b"B1"])

    def other(body: bytes) -> Embedding:
        return people.look(chr(body[0]), "facenet-vggface2")

    assert list(api.reassemble(people.store, people.settings, other)) == [_MEDIA]
    assert people.names(_MEDIA) == [("Ada", "known")]
    assert people.result(_MEDIA).warnings[0].about == "Bob/0.jpg"
    api.forget("Ada", people.store, people.settings)
    assert list(api.reassemble(people.store, people.settings, other)) == [_MEDIA]
    assert people.names(_MEDIA) == [("Person 1", "unknown")]


def test_a_result_still_shown_after_a_newer_upload_follows_the_gallery(people) -> None:
    """A person who is forgotten meanwhile must not stay named until the newer one is published."""
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    people.store.put(people.settings.input_bucket, _MEDIA, b"a newer upload")
    people.enrolled(Ada=[b"A1"])
    assert people.reassemble() == [_MEDIA]
    assert people.names(_MEDIA) == [("Ada", "known")]


def test_a_missing_model_is_reported(people) -> None:
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    people.enrolled(Ada=[b"A1"])

    def missing(body: bytes) -> Embedding:
        raise ModelNotFound("no embedder here")

    with pytest.raises(ModelNotFound):
        list(api.reassemble(people.store, people.settings, missing))


def test_nested_media_keys_are_distinguished(people) -> None:
    people.publish("a.mp4", [people.face("A", b"A-crop")])
    people.publish("a.mp4/b.mp4", [people.face("B", b"B-crop")])
    people.publish("people/c.mp4", [people.face("A", b"A-crop")])
    people.enrolled(Ada=[b"A1"])
    assert sorted(people.reassemble()) == ["a.mp4", "a.mp4/b.mp4", "people/c.mp4"]
    assert people.names("a.mp4/b.mp4") == [("Person 1", "unknown")]
    assert people.names("people/c.mp4") == [("Ada", "known")]


def test_one_unreadable_result_or_manifest_does_not_stop_the_others(people) -> None:
    for media in ("bad-manifest.mp4", "bad-result.mp4", "good.mp4"):
        people.publish(media, [people.face("A", b"A-crop")])
    store, settings = people.store, people.settings
    manifest = keys.manifest_key("bad-manifest.mp4", people.result("bad-manifest.mp4").run)
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        store.put(bucket, manifest, b"[" * 60_000)
    store.put(settings.output_bucket, keys.result_key("bad-result.mp4"), b'{"media": "\\udfff"}')
    people.enrolled(Ada=[b"A1"])
    told: list[str] = []
    assert list(api.reassemble(store, settings, people.embed, tell=told.append)) == ["good.mp4"]
    assert [line.partition(":")[0] for line in told] == ["bad-manifest.mp4", "bad-result.mp4"]
    assert all("\n" not in line for line in told)


def test_an_unreadable_index_is_made_again(people) -> None:
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    people.enrolled(Ada=[b"A1"])
    index = keys.gallery_index_key(people.model)
    short = Embedding.of(people.model, people.look("A").vector()[:7]).data
    for body in (b"[" * 60_000, b"", people.store.objects.get((people.settings.gallery_bucket, index), b"x")[:50]):
        people.store.put(people.settings.gallery_bucket, index, body)
        list(people.reassemble(everything=True))
        assert people.names(_MEDIA) == [("Ada", "known")]
    # An entry of another length is nobody, and does no harm.
    whole = people.store.get(people.settings.gallery_bucket, index)
    people.store.put(
        people.settings.gallery_bucket, index, whole.replace(people.look("A").data.encode(), short.encode())
    )
    list(people.reassemble(everything=True))
    assert people.names(_MEDIA) == [("Person 1", "unknown")]
