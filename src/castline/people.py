"""Enrolling and forgetting people, and telling the results about it.

Results are re-assembled from their parts, which hold embeddings: seconds, and no model run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from castline import keys
from castline.errors import GalleryError
from castline.gallery import PhotoEmbedder
from castline.settings import Settings
from castline.stages.complete import complete_run, read_result
from castline.storage.base import ObjectStore


def list_people(store: ObjectStore, settings: Settings) -> dict[str, list[str]]:
    """Photo keys by name, sorted."""
    people: dict[str, list[str]] = {}
    for info in store.find(settings.gallery_bucket):
        name = keys.parse_photo(info.key)
        if name:
            people.setdefault(name, []).append(info.key)
    return people


def photos_in(paths: list[Path]) -> list[Path]:
    """The given photos, folders replaced by the photos in them.

    Raises:
        GalleryError: a path that is neither, or a folder without photos.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(item for item in path.iterdir() if item.suffix.lower() in keys.PHOTO_SUFFIXES)
            if not inside:
                raise GalleryError(f"no photos ({', '.join(sorted(keys.PHOTO_SUFFIXES))}) in {path}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise GalleryError(f"{path} does not exist")
    return found


def add_photo(name: str, path: Path, store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> str:
    """Enrol one photo; the same photo twice is one.

    Returns:
        Its key.

    Raises:
        GalleryError: it does not show exactly one face.
        KeyLayoutError: a name that cannot be a prefix.
    """
    suffix = path.suffix.lower()
    if suffix not in keys.PHOTO_SUFFIXES:
        raise GalleryError(f"{path.name}: photos are {', '.join(sorted(keys.PHOTO_SUFFIXES))}")
    body = path.read_bytes()
    try:
        embed(body)
    except GalleryError as error:
        raise GalleryError(f"{path.name}: {error.message}") from error
    key = f"{keys.gallery_prefix(name)}{_digest(body)}{suffix}"
    store.put(settings.gallery_bucket, key, body)
    return key


def rename(old: str, new: str, store: ObjectStore, settings: Settings) -> int:
    """Give all photos of a person another name; photos of an existing ``new`` are joined.

    Raises:
        GalleryError: nobody has the old name.
    """
    source = _photos_of(old, store, settings)
    target = keys.gallery_prefix(new)
    written = set()
    for key in source:
        body = store.get(settings.gallery_bucket, key)
        if body is None:
            continue
        moved = target + key.partition("/")[2]
        if store.get(settings.gallery_bucket, moved) not in (None, body):  # another photo has this name
            moved = f"{target}{_digest(body)}{PurePosixPath(key).suffix}"
        store.put(settings.gallery_bucket, moved, body)
        written.add(moved)
    store.delete(settings.gallery_bucket, [key for key in source if key not in written])
    return len(source)


def forget(name: str, store: ObjectStore, settings: Settings) -> int:
    """Remove a person's photos and the embeddings derived from all photos (they are rebuilt).

    Raises:
        GalleryError: nobody has this name.
    """
    photos = _photos_of(name, store, settings)
    store.delete(settings.gallery_bucket, photos)
    derived = [info.key for info in store.find(settings.gallery_bucket, ".embeddings/")]
    if derived:
        store.delete(settings.gallery_bucket, derived)
    return len(photos)


def reassemble(store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> Iterator[str]:
    """Bind names anew in every published result.

    Yields:
        Each media, after its result was written.
    """
    medias = [info.key.removesuffix(f"/{keys.RESULT}") for info in store.find(settings.output_bucket)
              if info.key.endswith(f"/{keys.RESULT}")]  # fmt: skip
    for media in medias:
        result = read_result(media, store, settings)
        if result and complete_run(media, result.run, store, settings, embed):
            yield media


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _photos_of(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    wanted = keys.check_person_name(name)
    photos = [
        info.key
        for info in store.find(settings.gallery_bucket)
        if "/" in info.key and keys.gallery_name(info.key) == wanted
    ]
    if not photos:
        raise GalleryError(f"nobody is called {name!r}; see: castline people list")
    return photos
