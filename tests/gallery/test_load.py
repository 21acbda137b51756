"""The gallery: photos are the truth, the index of embeddings is only a cache."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from castline import keys
from castline.errors import GalleryError, ModelNotFound
from castline.gallery.load import Index, load_gallery, looks_known
from castline.gallery.photos import forget
from castline.records import Embedding, Grade, PhotoEmbedding
from castline.settings import Settings
from castline.storage import MemoryStore

_BUCKET = "castline-gallery"
_MODEL = "dlib-resnet-v1"
_INDEX = keys.gallery_index_key(_MODEL)


class Embedder:
    """Embeds a photo by its bytes; counts; refuses photos that ask for it."""

    def __init__(self, model: str = _MODEL) -> None:
        self.model = model
        self.seen: list[bytes] = []

    def __call__(self, body: bytes) -> PhotoEmbedding:
        self.seen.append(body)
        if body.startswith(b"nobody"):
            raise GalleryError("no face found in the photo")
        grade: Grade = "poor" if body.startswith(b"blurred") else "clear"
        vector = np.frombuffer(hashlib.sha256(body).digest(), np.uint8).astype(np.float32)
        found = Embedding.of(self.model, vector / np.linalg.norm(vector))
        return PhotoEmbedding(**found.model_dump(), grade=grade)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put(_BUCKET, "Ada/1.jpg", b"ada one")
    store.put(_BUCKET, "Ada/2.jpg", b"ada two")
    store.put(_BUCKET, "Bob/1.png", b"bob")
    store.put(_BUCKET, "Bob/notes.txt", b"no photo")
    return store


@pytest.fixture
def embed() -> Embedder:
    return Embedder()


def test_every_photo_is_embedded_once(store: MemoryStore, embed: Embedder) -> None:
    first = load_gallery(store, _BUCKET, _MODEL, embed)
    assert [(face.name, face.photo) for face in first.gallery.faces] == [
        ("Ada", "Ada/1.jpg"),
        ("Ada", "Ada/2.jpg"),
        ("Bob", "Bob/1.png"),
    ]
    assert embed.seen == [b"ada one", b"ada two", b"bob"]
    assert load_gallery(store, _BUCKET, _MODEL, embed) == first
    assert len(embed.seen) == 3
    assert store.writes.count((_BUCKET, _INDEX)) == 1


@pytest.mark.parametrize("damage", [None, b"", b'{"entries": {"Ada/1.jpg": {"et', b'{"version": 2}', b"[]"])
def test_the_index_may_be_lost_or_damaged_at_any_time(
    store: MemoryStore, embed: Embedder, damage: bytes | None
) -> None:
    before = load_gallery(store, _BUCKET, _MODEL, embed)
    if damage is None:
        store.delete(_BUCKET, [_INDEX])
    else:
        store.put(_BUCKET, _INDEX, damage)
    assert load_gallery(store, _BUCKET, _MODEL, embed) == before
    assert len(Index.from_json(store.get(_BUCKET, _INDEX) or b"").entries) == 3


def test_only_a_changed_photo_is_embedded_again(store: MemoryStore, embed: Embedder) -> None:
    before = load_gallery(store, _BUCKET, _MODEL, embed)
    store.put(_BUCKET, "Ada/2.jpg", b"ada two, better")
    after = load_gallery(store, _BUCKET, _MODEL, embed)
    assert embed.seen[3:] == [b"ada two, better"]
    assert after.gallery.fingerprint != before.gallery.fingerprint
    assert after.gallery.faces[0] == before.gallery.faces[0]
    assert after.gallery.faces[1].embedding != before.gallery.faces[1].embedding


def test_a_removed_photo_leaves_the_index_too(store: MemoryStore, embed: Embedder) -> None:
    load_gallery(store, _BUCKET, _MODEL, embed)
    store.delete(_BUCKET, ["Ada/1.jpg"])
    found = load_gallery(store, _BUCKET, _MODEL, embed)
    assert [face.photo for face in found.gallery.faces] == ["Ada/2.jpg", "Bob/1.png"]
    assert "Ada/1.jpg" not in Index.from_json(store.get(_BUCKET, _INDEX) or b"").entries


def test_a_photo_with_a_problem_is_named_and_not_retried(store: MemoryStore, embed: Embedder) -> None:
    store.put(_BUCKET, "Cy/empty.jpg", b"nobody here")
    for _ in range(2):
        found = load_gallery(store, _BUCKET, _MODEL, embed)
        assert [str(item) for item in found.warnings] == ["gallery photo Cy/empty.jpg: no face found in the photo"]
        assert "Cy" not in {face.name for face in found.gallery.faces}
    assert embed.seen.count(b"nobody here") == 1
    store.put(_BUCKET, "Cy/empty.jpg", b"somebody after all")
    assert load_gallery(store, _BUCKET, _MODEL, embed).warnings == ()


def test_without_a_model_known_embeddings_are_used_and_the_other_photos_are_named(
    store: MemoryStore, embed: Embedder
) -> None:
    load_gallery(store, _BUCKET, _MODEL, embed)
    store.put(_BUCKET, "Dee/1.jpg", b"dee")
    index = store.get(_BUCKET, _INDEX)
    found = load_gallery(store, _BUCKET, _MODEL)
    assert {face.name for face in found.gallery.faces} == {"Ada", "Bob"}
    assert [str(item) for item in found.warnings] == ["gallery photo Dee/1.jpg: not embedded yet"]
    assert store.get(_BUCKET, _INDEX) == index


def test_each_model_has_its_own_index(store: MemoryStore, embed: Embedder) -> None:
    load_gallery(store, _BUCKET, _MODEL, embed)
    other = Embedder("facenet-vggface2")
    load_gallery(store, _BUCKET, "facenet-vggface2", other)
    assert len(embed.seen) == len(other.seen) == 3
    assert store.get(_BUCKET, ".embeddings/facenet-vggface2.json")


def test_a_missing_model_is_not_the_photo_s_problem(store: MemoryStore) -> None:
    def broken(body: bytes) -> PhotoEmbedding:
        raise ModelNotFound("no embedder here")

    with pytest.raises(ModelNotFound):
        load_gallery(store, _BUCKET, _MODEL, broken)
    assert store.get(_BUCKET, _INDEX) is None


def test_an_empty_gallery_knows_nobody(embed: Embedder) -> None:
    found = load_gallery(MemoryStore(), _BUCKET, _MODEL, embed)
    assert found.gallery.faces == ()
    assert found.warnings == ()


def test_a_name_is_the_same_composed_and_decomposed(store: MemoryStore, embed: Embedder) -> None:
    store.put(_BUCKET, "Zoë/1.jpg", b"zoe one")
    store.put(_BUCKET, "Zoe\u0308/2.jpg", b"zoe two")
    names = [face.name for face in load_gallery(store, _BUCKET, _MODEL, embed).gallery.faces]
    assert names.count("Zoë") == 2


def test_embeddings_of_another_model_are_never_used(store: MemoryStore, embed: Embedder) -> None:
    other = "facenet-vggface2"
    loaded = load_gallery(store, _BUCKET, other, embed)  # an earlier run, after the deployment changed its model
    assert loaded.gallery.faces == ()
    assert len(loaded.warnings) == 3
    assert load_gallery(store, _BUCKET, other).gallery.faces == ()
    load_gallery(store, _BUCKET, _MODEL, embed)
    store.put(_BUCKET, keys.gallery_index_key(other), store.get(_BUCKET, _INDEX) or b"")
    assert load_gallery(store, _BUCKET, other).gallery.faces == ()


def test_photos_in_unsupported_formats_are_named(
    store: MemoryStore, embed: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(_BUCKET, "Cy/phone.heic", b"x")
    store.put(_BUCKET, "Cy/empty.jpg", b"nobody here")
    found = load_gallery(store, _BUCKET, _MODEL, embed)
    assert [item.about for item in found.warnings] == ["Cy/phone.heic", "Cy/empty.jpg"]
    assert found.warnings[0].message == f"gallery photo Cy/phone.heic: {keys.UNREAD_PHOTO}"
    assert [(record.photo, record.reason) for record in caplog.records] == [
        (item.about, item.message) for item in found.warnings
    ]
    empty = MemoryStore()
    empty.put(_BUCKET, "Cy/phone.heic", b"x")
    assert len(load_gallery(empty, _BUCKET, _MODEL, embed).warnings) == 1


def test_photos_without_a_grade_are_graded_again(store: MemoryStore, embed: Embedder) -> None:
    store.put(_BUCKET, "Dee/1.jpg", b"blurred dee")
    before = load_gallery(store, _BUCKET, _MODEL, embed)
    assert [face.grade for face in before.gallery.faces] == ["clear", "clear", "clear", "poor"]
    entries = Index.from_json(store.get(_BUCKET, _INDEX) or b"").entries
    old = Index(entries={key: entry.model_copy(update={"grade": None}) for key, entry in entries.items()})
    store.put(_BUCKET, _INDEX, old.to_json())
    assert len(load_gallery(store, _BUCKET, _MODEL).gallery.faces) == 4, "without a model they stay as they are"
    embed.seen.clear()
    assert load_gallery(store, _BUCKET, _MODEL, embed) == before
    assert len(embed.seen) == 4
    assert all(entry.judged for entry in Index.from_json(store.get(_BUCKET, _INDEX) or b"").entries.values())


def test_a_photo_s_entry_is_found_by_its_bytes_until_it_is_removed(store: MemoryStore, embed: Embedder) -> None:
    assert looks_known(store, _BUCKET, _MODEL) == {}
    load_gallery(store, _BUCKET, _MODEL, embed)
    digest = hashlib.md5(b"ada one", usedforsecurity=False).hexdigest()
    assert looks_known(store, _BUCKET, _MODEL)[digest] == Embedder()(b"ada one")
    assert looks_known(store, _BUCKET, "another-model") == {}
    forget("Ada", store, Settings())
    assert set(looks_known(store, _BUCKET, _MODEL).values()) == {Embedder()(b"bob")}
