"""The photos of the people we know: who there is, and how photos come, move and go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from castline import keys
from castline.errors import GalleryError
from castline.gallery import PhotoEmbedder
from castline.people import index
from castline.people.pictures import Picture, picture_of
from castline.records import ObjectInfo
from castline.settings import Settings
from castline.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Attributes:
    photos: keys in the gallery bucket, sorted.
    newest: when the newest photo was stored; None where the store does not say.
    """

    name: str
    photos: tuple[str, ...]
    newest: datetime | None


def known_people(store: ObjectStore, settings: Settings) -> list[KnownPerson]:
    """Everybody with a photo, sorted by name."""
    found: dict[str, list[ObjectInfo]] = {}
    for info in store.find(settings.gallery_bucket):
        name = keys.parse_photo(info.key)
        if name:
            found.setdefault(name, []).append(info)
    return [
        KnownPerson(
            name=name,
            photos=tuple(sorted(info.key for info in photos)),
            newest=max((info.last_modified for info in photos if info.last_modified), default=None),
        )
        for name, photos in sorted(found.items(), key=lambda item: (item[0].casefold(), item[0]))
    ]


def list_people(store: ObjectStore, settings: Settings) -> dict[str, list[str]]:
    """Photo keys by name, sorted."""
    return {person.name: list(person.photos) for person in known_people(store, settings)}


def photos_in(paths: list[Path]) -> list[Path]:
    """The given files, folders replaced by the photos in them.

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


def enrol(name: str, pictures: Iterable[Picture], store: ObjectStore, settings: Settings) -> list[str]:
    """Store pictures as photos of a person; the same picture twice is one.

    Returns:
        Their keys, in the given order.

    Raises:
        KeyLayoutError: a name that cannot be a prefix.
    """
    prefix = keys.gallery_prefix(name)
    written = []
    for picture in pictures:
        key = f"{prefix}{_digest(picture.body)}{picture.suffix}"
        store.put(settings.gallery_bucket, key, picture.body)
        written.append(key)
    return written


def add_photo(name: str, path: Path, store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> str:
    """Enrol one photo; the same photo twice is one.

    Returns:
        Its key.

    Raises:
        GalleryError: no face dominates it.
        KeyLayoutError: a name that cannot be a prefix.
    """
    keys.check_person_name(name)
    (key,) = enrol(name, [picture_of(path, embed)], store, settings)
    return key


def rename(old: str, new: str, store: ObjectStore, settings: Settings) -> int:
    """Give all photos of a person another name; photos of an existing ``new`` are joined.

    Returns:
        How many photos the person had.

    Raises:
        GalleryError: nobody has the old name.
        KeyLayoutError: a name that cannot be a prefix.
    """
    target = keys.gallery_prefix(new)
    source = _photos_of(old, store, settings)
    _move(source, target, store, settings)
    return len(source)


def merge(into: str, others: Sequence[str], store: ObjectStore, settings: Settings) -> int:
    """Join the photos of several names under one of them. Nothing moves unless everything can.

    Returns:
        How many photos changed their name.

    Raises:
        GalleryError: a name that nobody has, or one that would be merged into itself.
        KeyLayoutError: a name that cannot be a prefix.
    """
    target = keys.check_person_name(into)
    sources = list(dict.fromkeys(keys.check_person_name(name) for name in others))
    if not sources:
        raise GalleryError(f"nobody to merge into {target!r} was named")
    if target in sources:
        raise GalleryError(f"{target!r} cannot be merged into itself")
    _photos_of(target, store, settings)
    photos = [key for name in sources for key in _photos_of(name, store, settings)]
    _move(photos, keys.gallery_prefix(target), store, settings)
    return len(photos)


def forget(name: str, store: ObjectStore, settings: Settings) -> int:
    """Remove a person's photos and the embeddings derived from them; results are told by `reassemble`.

    Returns:
        How many photos were removed.

    Raises:
        GalleryError: nobody has this name.
        KeyLayoutError: a name that cannot be a prefix.
    """
    photos = _found(name, store, settings)
    if photos:
        store.delete(settings.gallery_bucket, photos)
    index.drop(keys.check_person_name(name), store, settings)  # also when an earlier attempt was interrupted here
    if not photos:
        raise _nobody(name)
    return len(photos)


def _move(source: Sequence[str], target: str, store: ObjectStore, settings: Settings) -> None:
    """Copy first, then delete: whatever interrupts this, no photo is lost."""
    bucket = settings.gallery_bucket
    moved: dict[str, str] = {}
    for key in source:
        body = store.get(bucket, key)
        if body is None:
            continue
        new = target + key.partition("/")[2]
        if store.get(bucket, new) not in (None, body):  # another photo has this name
            new = f"{target}{_digest(body)}{PurePosixPath(key).suffix}"
        if new != key:
            store.put(bucket, new, body)
        moved[key] = new
    index.carry({old: new for old, new in moved.items() if new != old}, store, settings)
    written = set(moved.values())
    store.delete(bucket, [key for key in source if key not in written])


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _photos_of(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    photos = _found(name, store, settings)
    if not photos:
        raise _nobody(name)
    return photos


def _found(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    """Keys of everything that lies under a name, photo or not."""
    wanted = keys.check_person_name(name)
    return [
        info.key
        for info in store.find(settings.gallery_bucket)
        if "/" in info.key and keys.gallery_name(info.key) == wanted
    ]


def _nobody(name: str) -> GalleryError:
    return GalleryError(f"nobody is called {name!r}; see: castline people list")
