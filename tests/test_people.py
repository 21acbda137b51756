"""Enrolling, renaming and forgetting, on an in-memory store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from castline import keys, people
from castline.errors import GalleryError, KeyLayoutError
from castline.faces.thresholds import thresholds_for
from castline.records import (
    Embedding,
    Face,
    Frame,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Manifest,
    Options,
    Result,
    Source,
    Usage,
)
from castline.settings import Settings
from castline.stages.complete import complete_run, read_result
from castline.storage import MemoryStore

_MODEL = "dlib-resnet-v1"
_MEDIA = "talk.mp4"
_RUN = "0123456789abcdef"


def _vector(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Embedding.of(_MODEL, vector / np.linalg.norm(vector))


def _embed(body: bytes) -> Embedding:
    """Photos say who is on them."""
    if body == b"nobody":
        raise GalleryError("no face found in the photo")
    return _vector(body[0])


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    def make(content: bytes, name: str = "photo.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def published(store: MemoryStore, settings: Settings) -> Result:
    """A finished run that shows the person of photos that begin with ``A``."""
    limits = thresholds_for(_MODEL)
    assert limits.known < 1
    face = Face(
        box=(0.1, 0.1, 0.3, 0.5),
        landmarks=((0.15, 0.2), (0.25, 0.2), (0.2, 0.3), (0.15, 0.4), (0.25, 0.4)),
        score=0.999,
        size_px=120,
        sharpness=200,
        quality=0.9,
        embedding=_vector(ord("A")),
    )
    usage = Usage(stage="faces", seconds=1, memory_mb=1024)
    manifest = Manifest(
        run=_RUN,
        source=Source(bucket=settings.input_bucket, key=_MEDIA, etag="e", version=None, size=1),
        options=Options(),
        probe=None,
        duration_s=2.0,
        sample_times_ms=(0, 1000),
        units=(FramesUnit(index=0, frames=(Frame(time_ms=0, until_ms=1000),)),),
        usage=usage,
    )
    part = FramesPart(
        unit="frames-0000",
        detector="mtcnn",
        embedder=_MODEL,
        frames=(FrameFaces(time_ms=0, faces=(face,)),),
        usage=usage,
    )
    store.put(settings.stage1_bucket, keys.manifest_key(_MEDIA, _RUN), manifest.to_json())
    store.put(settings.output_bucket, keys.UnitId(_MEDIA, _RUN, "frames", 0).part_key, part.to_json())
    assert complete_run(_MEDIA, _RUN, store, settings, _embed)
    result = read_result(_MEDIA, store, settings)
    assert result
    return result


def _names(store: MemoryStore, settings: Settings) -> list[tuple[str, str]]:
    result = read_result(_MEDIA, store, settings)
    assert result
    return [(person.name, person.identity) for person in result.people]


def test_the_same_photo_twice_is_one(store: MemoryStore, settings: Settings, photo: Callable[..., Path]) -> None:
    first = people.add_photo("Ada", photo(b"A1"), store, settings, _embed)
    again = people.add_photo("Ada", photo(b"A1", "copy.jpg"), store, settings, _embed)
    people.add_photo("Ada", photo(b"A2"), store, settings, _embed)
    assert first == again
    assert first.startswith("Ada/")
    assert len(people.list_people(store, settings)["Ada"]) == 2


def test_a_photo_that_cannot_be_enrolled_is_not_kept(
    store: MemoryStore, settings: Settings, photo: Callable[..., Path]
) -> None:
    with pytest.raises(GalleryError, match=r"^photo\.jpg: no face found"):
        people.add_photo("Ada", photo(b"nobody"), store, settings, _embed)
    with pytest.raises(GalleryError, match=r"^doc\.pdf: photos are \.jpeg, \.jpg"):
        people.add_photo("Ada", photo(b"A", "doc.pdf"), store, settings, _embed)
    with pytest.raises(KeyLayoutError):
        people.add_photo("../Ada", photo(b"A"), store, settings, _embed)
    assert not store.objects


def test_folders_stand_for_their_photos(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (tmp_path / "ada" / name).touch()
    single = tmp_path / "one.jpg"
    single.touch()
    found = people.photos_in([tmp_path / "ada", single])
    assert [path.name for path in found] == ["a.PNG", "b.jpg", "one.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(GalleryError, match="no photos"):
        people.photos_in([tmp_path / "empty"])
    with pytest.raises(GalleryError, match="does not exist"):
        people.photos_in([tmp_path / "nowhere"])


def test_a_person_is_known_in_results_after_enrolling_renaming_and_forgetting(
    store: MemoryStore, settings: Settings, published: Result, photo: Callable[..., Path]
) -> None:
    assert _names(store, settings) == [("Person 1", "unknown")]
    people.add_photo("Ada", photo(b"A1"), store, settings, _embed)
    assert list(people.reassemble(store, settings, _embed)) == [_MEDIA]
    assert _names(store, settings) == [("Ada", "known")]

    people.rename("Ada", "Countess Ada", store, settings)
    assert list(people.reassemble(store, settings, _embed)) == [_MEDIA]
    assert _names(store, settings) == [("Countess Ada", "known")]

    people.forget("Countess Ada", store, settings)
    assert list(people.reassemble(store, settings, _embed)) == [_MEDIA]
    assert _names(store, settings) == [("Person 1", "unknown")]
    assert read_result(_MEDIA, store, settings) == published
    left = [body for (bucket, key), body in store.objects.items() if "Ada" in key or b"Ada" in body]
    assert not left, "a forgotten name is nowhere"


def test_reassembling_reads_parts_and_writes_none(
    store: MemoryStore, settings: Settings, published: Result, photo: Callable[..., Path]
) -> None:
    people.add_photo("Ada", photo(b"A1"), store, settings, _embed)
    store.writes.clear()
    list(people.reassemble(store, settings, _embed))
    assert not [key for _, key in store.writes if "/parts/" in key or key.endswith("manifest.json")]


def test_renaming_onto_an_existing_name_joins_and_loses_no_photo(store: MemoryStore, settings: Settings) -> None:
    bucket = settings.gallery_bucket
    photos = {
        "Ada/1.jpg": b"A1",
        "Ada/old/1.jpg": b"A2",
        "Ada/new/1.jpg": b"A3",
        "Lovelace/1.jpg": b"L1",
        "Lovelace/2.jpg": b"L2",
    }
    for key, body in photos.items():
        store.put(bucket, key, body)
    assert people.rename("Ada", "Lovelace", store, settings) == 3
    known = people.list_people(store, settings)
    assert list(known) == ["Lovelace"]
    assert sorted(store.get(bucket, key) or b"" for key in known["Lovelace"]) == sorted(photos.values())
    assert store.get(bucket, "Lovelace/1.jpg") == b"L1"


def test_renaming_to_the_same_name_changes_nothing(store: MemoryStore, settings: Settings) -> None:
    store.put(settings.gallery_bucket, "Ada/1.jpg", b"A1")
    before = dict(store.objects)
    assert people.rename("Ada", " Ada ", store, settings) == 1
    assert store.objects == before


def test_people_uploaded_with_decomposed_letters_can_be_renamed_and_forgotten(
    store: MemoryStore, settings: Settings
) -> None:
    store.put(settings.gallery_bucket, "Zoe\u0308/1.jpg", b"Z1")
    assert list(people.list_people(store, settings)) == ["Zoë"]
    assert people.rename("Zoë", "Zoë", store, settings) == 1
    assert list(store.objects) == [(settings.gallery_bucket, "Zoë/1.jpg")]
    store.put(settings.gallery_bucket, "Zoe\u0308/2.jpg", b"Z2")
    assert people.forget("Zoë", store, settings) == 2
    assert not store.objects


def test_forgetting_one_leaves_those_whose_names_begin_alike(store: MemoryStore, settings: Settings) -> None:
    for key in ("Ada/1.jpg", "Ada/notes.txt", "Ada Lovelace/1.jpg", "Adam/1.jpg"):
        store.put(settings.gallery_bucket, key, b"x")
    store.put(settings.gallery_bucket, keys.gallery_index_key(_MODEL), b"{}")
    people.forget("Ada", store, settings)
    assert {key for _, key in store.objects} == {"Ada Lovelace/1.jpg", "Adam/1.jpg"}


def test_nobody_by_that_name_is_an_error_that_helps(store: MemoryStore, settings: Settings) -> None:
    for action in (lambda: people.forget("Ada", store, settings), lambda: people.rename("Ada", "B", store, settings)):
        with pytest.raises(GalleryError, match=r"nobody is called 'Ada'; see: castline people list"):
            action()
