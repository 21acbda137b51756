"""The known people: photos in S3 per name, and an index of embeddings derived from them.

The index is a cache. It is keyed by photo and ETag, one object per embedding model, so it can be
deleted or lost to a concurrent writer at any time and is rebuilt from the photos.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from aws_lambda_powertools import Logger
from pydantic import Field

from castline import keys
from castline.errors import GalleryError, ModelError, StorageError, UnreadableObject
from castline.recognition.grade import GRADING
from castline.records import Embedding, Gallery, Grade, KnownFace, Notice, ObjectInfo, PhotoEmbedding, Record
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)


class IndexEntry(Record):
    """Attributes:
    embedding: None if the photo cannot be enrolled; ``problem`` says why.
    grade: of the embedded face; None if it was embedded before photos were graded, and must be embedded again.
    grading: version of the rules it was graded by; with an old version, it must be graded again.
    """

    etag: str
    embedding: Embedding | None = None
    grade: Grade | None = None
    grading: int = 1
    problem: str | None = None

    @property
    def judged(self) -> bool:
        return bool(self.problem or (self.grade and self.grading == GRADING))


class Index(Record):
    """All entries of one model, by photo key."""

    entries: dict[str, IndexEntry] = Field(default_factory=dict)


_SHOWN = 200  # characters of an unforeseen error
MAX_PHOTO_BYTES = 64 * 1024 * 1024

#: Bytes of a photo -> the face it is about; raises GalleryError if it has none, several, or a useless one.
PhotoEmbedder = Callable[[bytes], PhotoEmbedding]

#: The signature of `load_gallery`.
GalleryLoader = Callable[[ObjectStore, str, str, PhotoEmbedder | None], "LoadedGallery"]


@dataclass(frozen=True, slots=True)
class LoadedGallery:
    gallery: Gallery
    warnings: tuple[Notice, ...]


def load_gallery(store: ObjectStore, bucket: str, model: str, embed: PhotoEmbedder | None = None) -> LoadedGallery:
    """The gallery in one model's embeddings.

    Args:
        embed: computes embeddings that the index lacks. Without it, or if it is for another model than requested, such
            photos are left out with a warning; so is a photo for which it fails in any way.

    Raises:
        ModelError: ``embed`` has no model.
        StorageError: as ``ObjectStore.get``.
    """
    return _load(_listed(store, bucket), store, bucket, model, embed)


class RememberedGalleries:
    """`load_gallery` for many results in a row: the index is read again only if photos have changed."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, bool], tuple[list[ObjectInfo], LoadedGallery]] = {}

    def __call__(
        self, store: ObjectStore, bucket: str, model: str, embed: PhotoEmbedder | None = None
    ) -> LoadedGallery:
        listed = _listed(store, bucket)
        before, loaded = self._loaded.get((model, embed is not None), (None, None))
        if loaded is None or listed != before:
            loaded = _load(listed, store, bucket, model, embed)
            self._loaded[model, embed is not None] = listed, loaded
        return loaded


def _listed(store: ObjectStore, bucket: str) -> list[ObjectInfo]:
    """Photos, files that may be mistaken for photos, and voices."""
    return [
        info
        for info in store.find(bucket)
        if keys.parse_photo(info.key) or keys.parse_voice(info.key) or keys.is_unread_photo(info.key)
    ]


def _load(
    listed: list[ObjectInfo], store: ObjectStore, bucket: str, model: str, embed: PhotoEmbedder | None
) -> LoadedGallery:
    photos = [info for info in listed if keys.parse_photo(info.key)]
    fingerprint = _fingerprint(listed)
    problems = [_problem(info.key, keys.UNREAD_PHOTO) for info in listed if keys.is_unread_photo(info.key)]
    if not photos:
        return LoadedGallery(Gallery(model=model, fingerprint=fingerprint), tuple(problems))
    index_key = keys.gallery_index_key(model)
    known = _read_index(store, bucket, index_key, model)
    entries: dict[str, IndexEntry] = {}
    unforeseen: dict[str, str] = {}  # not in the index, so that such a photo is tried again
    for photo in photos:
        entry = known.get(photo.key)
        if entry and entry.etag != photo.etag:
            entry = None
        if embed and not (entry and entry.judged):
            try:
                entry = _embed(store, bucket, photo, model, embed) or entry
            except (ModelError, StorageError):  # no fault of the photo
                raise
            except Exception as error:
                unforeseen[photo.key] = f"{type(error).__name__}: {error}"[:_SHOWN]
        if entry is not None:
            entries[photo.key] = entry
    if embed and entries != known:
        store.put(bucket, index_key, Index(entries=entries).to_json())
    faces = tuple(
        KnownFace(
            name=keys.parse_photo(photo.key) or "",
            photo=photo.key,
            embedding=entry.embedding,
            grade=entry.grade or "clear",
        )
        for photo in photos
        if (entry := entries.get(photo.key)) and entry.embedding
    )
    problems += [
        _problem(photo.key, (entry.problem if entry else None) or unforeseen.get(photo.key, "not embedded yet"))
        for photo in photos
        if (entry := entries.get(photo.key)) is None or entry.problem
    ]
    for problem in problems:
        logger.warning("a photo of the gallery is left out", photo=problem.about, reason=problem.message)
    return LoadedGallery(Gallery(model=model, fingerprint=fingerprint, faces=faces), tuple(problems))


def looks_known(store: ObjectStore, bucket: str, model: str) -> dict[str, PhotoEmbedding]:
    """The indexed embeddings of enrolled photos, by ETag; they go with the photos when somebody is forgotten."""
    known = _read_index(store, bucket, keys.gallery_index_key(model), model)
    return {
        entry.etag: PhotoEmbedding(model=model, data=entry.embedding.data, grade=entry.grade)
        for entry in known.values()
        if entry.embedding and entry.grade
    }


def fingerprint_now(store: ObjectStore, bucket: str) -> str:
    """`Gallery.fingerprint` of the present content."""
    return _fingerprint(_listed(store, bucket))


def _read_index(store: ObjectStore, bucket: str, key: str, model: str) -> dict[str, IndexEntry]:
    try:
        index = read_object(Index, store, bucket, key)
    except UnreadableObject:  # truncated, or of another version: treated as missing
        index = None
    entries = index.entries if index else {}
    return {key: entry for key, entry in entries.items() if not entry.embedding or entry.embedding.model == model}


def _embed(store: ObjectStore, bucket: str, photo: ObjectInfo, model: str, embed: PhotoEmbedder) -> IndexEntry | None:
    try:
        body = store.get(bucket, photo.key, max_bytes=MAX_PHOTO_BYTES)
        if body is None:
            return None
        embedding = embed(body)
    except (GalleryError, UnreadableObject) as error:
        return IndexEntry(etag=photo.etag, problem=error.message)
    # An old run is assembled after the deployment changed its model: the two are never compared.
    if embedding.model != model:
        return None
    looks = Embedding(model=model, data=embedding.data)
    return IndexEntry(etag=photo.etag, embedding=looks, grade=embedding.grade, grading=GRADING)


def _problem(photo: str, why: str) -> Notice:
    return Notice(code="gallery_photo", message=f"gallery photo {keys.shown(photo)}: {why}", about=photo)


def _fingerprint(photos: list[ObjectInfo]) -> str:
    known = [each for each in photos if keys.parse_photo(each.key) or keys.parse_voice(each.key)]
    text = "\n".join(f"{each.key}\t{each.etag}" for each in sorted(known, key=lambda info: info.key))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
