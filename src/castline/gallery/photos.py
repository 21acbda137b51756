"""The photos of the known people: who they are, and how photos are added, moved and removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from castline import keys
from castline.errors import GalleryError
from castline.gallery import changes, index
from castline.gallery.changes import Change, Kind
from castline.gallery.load import PhotoEmbedder
from castline.gallery.pictures import REMARKS, Picture, picture_of
from castline.records import ObjectInfo
from castline.settings import Settings
from castline.storage.base import ObjectStore

NOT_SEEN = "no model has looked at it yet"


_BASIS_BYTES = 2000


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Attributes:
    photos: keys in the gallery bucket, sorted.
    voices: keys of enrolled voices, sorted.
    newest: when the newest of them was stored; None if the store does not say.
    basis: why the person may be known (consent, a contract, …), in the words of the person who enrolled them.
    """

    name: str
    photos: tuple[str, ...]
    newest: datetime | None
    basis: str = ""
    voices: tuple[str, ...] = ()

    @property
    def objects(self) -> tuple[str, ...]:
        """Everything stored of the person, except the basis."""
        return (*self.photos, *self.voices)


def known_people(store: ObjectStore, settings: Settings) -> list[KnownPerson]:
    """Everybody with a photo or a voice, sorted by name."""
    found: dict[str, list[ObjectInfo]] = {}
    bases: dict[str, str] = {}
    for info in store.find(settings.gallery_bucket):
        name = keys.parse_photo(info.key) or keys.parse_voice(info.key)
        if name:
            found.setdefault(name, []).append(info)
        elif info.key.endswith("/basis.txt"):
            body = store.get(settings.gallery_bucket, info.key) or b""
            bases[keys.gallery_name(info.key)] = body[:_BASIS_BYTES].decode("utf-8", "replace").strip()
    return [
        KnownPerson(
            name=name,
            photos=tuple(sorted(info.key for info in stored if keys.parse_photo(info.key))),
            voices=tuple(sorted(info.key for info in stored if keys.parse_voice(info.key))),
            newest=max((info.last_modified for info in stored if info.last_modified), default=None),
            basis=bases.get(name, ""),
        )
        for name, stored in sorted(found.items(), key=lambda item: (item[0].casefold(), item[0]))
    ]


def list_people(store: ObjectStore, settings: Settings) -> dict[str, list[str]]:
    """Photo keys by name, sorted."""
    return {person.name: list(person.photos) for person in known_people(store, settings)}


def photo_remarks(store: ObjectStore, settings: Settings) -> dict[str, str]:
    """Remarks about photos, by key: why one cannot be used, that it is poor, or ``NOT_SEEN``.

    They come from the models that have embedded the photos so far; no model is run.
    """
    seen = [found.entries for _, found in index.indexes(store, settings) if found]
    remarks: dict[str, str] = {}
    for info in store.find(settings.gallery_bucket):
        if keys.is_unread_photo(info.key):
            remarks[info.key] = keys.UNREAD_PHOTO
        elif keys.parse_photo(info.key):
            found = [entry for entries in seen if (entry := entries.get(info.key)) and entry.etag == info.etag]
            if not any(entry.judged for entry in found):
                remarks[info.key] = NOT_SEEN
            elif all(entry.problem for entry in found):
                remarks[info.key] = found[0].problem or ""
            elif said := [REMARKS[entry.grade] for entry in found if entry.grade and entry.grade in REMARKS]:
                remarks[info.key] = said[0]
    return remarks


def photos_in(paths: list[Path]) -> list[Path]:
    """The given files, with folders replaced by the photos in them; ``left_out`` lists what else they contain.

    Raises:
        GalleryError: a path that is neither a file nor a folder, or a folder without photos.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [item for item in _files(path) if item.suffix.lower() in keys.PHOTO_SUFFIXES]
            if not inside:
                there = f"; there are: {', '.join(item.name for item in _files(path))}" if any(_files(path)) else ""
                raise GalleryError(f"no photos ({', '.join(sorted(keys.PHOTO_SUFFIXES))}) in {path}{there}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise GalleryError(f"{path} does not exist")
    return found


def left_out(paths: list[Path]) -> list[Path]:
    """Files in the given folders that are not readable photos: HEIC, videos, notes."""
    return [
        item
        for path in paths
        if path.is_dir()
        for item in _files(path)
        if item.suffix.lower() not in keys.PHOTO_SUFFIXES
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))


def enrol(name: str, pictures: Iterable[Picture], store: ObjectStore, settings: Settings) -> list[str]:
    """Store pictures as photos of a person; the same picture twice counts once. Can be undone (``undo``).

    Returns:
        Their keys, in the given order.

    Raises:
        KeyLayoutError: a name that cannot be a prefix.
    """
    prefix, bucket = keys.gallery_prefix(name), settings.gallery_bucket
    photos = {f"{prefix}{_digest(picture.body)}{picture.suffix}": picture.body for picture in pictures}
    new = tuple(key for key in photos if store.head(bucket, key) is None)
    if new:
        changes.record(Change(kind="enrolled", added=new), store, settings)
    for key, body in photos.items():
        store.put(bucket, key, body)
    return list(photos)


def add_photo(name: str, path: Path, store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> str:
    """Enrol one photo; the same photo twice counts once.

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
    """Give all photos of a person another name. Can be undone (``undo``).

    Returns:
        How many photos the person had.

    Raises:
        GalleryError: nobody has the old name, or somebody has the new one.
        KeyLayoutError: a name that cannot be a prefix.
    """
    target = keys.gallery_prefix(new)
    source = _photos_of(old, store, settings)
    name = keys.gallery_name(target)
    if keys.gallery_name(source[0]) != name and _found(name, store, settings):
        raise GalleryError(
            f"somebody is already called {name!r}; if it is the same person: castline people merge {name!r} {old!r}"
        )
    _move("renamed", source, target, store, settings)
    return len(source)


def merge(into: str, others: Sequence[str], store: ObjectStore, settings: Settings) -> int:
    """Move the photos of several names under one of them. Nothing moves unless everything can. ``undo`` separates them.

    Returns:
        How many photos changed their name.

    Raises:
        GalleryError: a name that nobody has, or one that would be merged into itself.
        KeyLayoutError: a name that cannot be a prefix.
    """
    target = keys.check_person_name(into)
    sources = list(dict.fromkeys(keys.spelled(name) for name in others))
    if not sources:
        raise GalleryError(f"nobody to merge into {target!r} was named")
    if target in sources:
        raise GalleryError(f"{target!r} cannot be merged into itself")
    _photos_of(target, store, settings)
    photos = [key for name in sources for key in _photos_of(name, store, settings)]
    _move("merged", photos, keys.gallery_prefix(target), store, settings)
    return len(photos)


def split(name: str, photos: Sequence[str], into: str, store: ObjectStore, settings: Settings) -> int:
    """Give some photos of a person to somebody else, to correct a wrong merge. Can be undone (``undo``).

    Args:
        photos: keys.
        into: a new or an existing name.

    Returns:
        How many photos changed their name.

    Raises:
        GalleryError: nobody has the name, none of the photos is theirs, or ``into`` is the same name.
        KeyLayoutError: a name that cannot be a prefix.
    """
    target = keys.gallery_prefix(into)
    chosen = [key for key in _photos_of(name, store, settings) if key in photos]
    if not chosen:
        raise GalleryError(f"none of these photos is of {name!r} any more")
    if keys.gallery_name(target) == keys.gallery_name(chosen[0]):
        raise GalleryError(f"they already belong to {into!r}")
    _move("split", chosen, target, store, settings)
    return len(chosen)


def forget(name: str, store: ObjectStore, settings: Settings) -> int:
    """Remove a person's photos and the embeddings derived from them; `reassemble` then updates the results.

    Returns:
        How many photos were removed.

    Raises:
        GalleryError: nobody has this name.
        KeyLayoutError: nobody has it, and it is not a possible name.
    """
    photos, mine = _found(name, store, settings), called(name, store, settings)
    if photos:
        store.delete(settings.gallery_bucket, photos)
    # Necessary even if there are no photos: an earlier attempt may have been interrupted here.
    index.drop(lambda key: keys.gallery_name(key) == mine, store, settings)
    changes.drop(mine, store, settings)
    if not photos:
        raise _nobody(name)
    return len(photos)


def set_basis(name: str, basis: str, store: ObjectStore, settings: Settings) -> None:
    """Record why a person may be known; it moves and goes with the photos.

    Raises:
        GalleryError: longer than 2000 bytes.
        KeyLayoutError: a name that cannot be a prefix.
    """
    body = basis.strip().encode()
    if len(body) > _BASIS_BYTES:
        raise GalleryError(f"a basis has {_BASIS_BYTES} bytes at most")
    store.put(settings.gallery_bucket, keys.gallery_basis_key(name), body)


def undo(store: ObjectStore, settings: Settings) -> Change | None:
    """Undo the last change: photos return to where they were, or are removed; `reassemble` then updates the results.

    Calling it again undoes the change before that. Changes that another client made meanwhile stay.

    Returns:
        The change that was undone; None if there was none.
    """
    found = changes.last(store, settings)
    if found is None:
        return None
    key, change = found
    bucket = settings.gallery_bucket
    back: dict[str, str] = {}
    for old, new in change.moved.items():
        body, there = store.get(bucket, new), store.get(bucket, old)
        if body is None or there not in (None, body):
            continue
        if there is None:
            store.put(bucket, old, body)
        back[old] = new
    index.carry({new: old for old, new in back.items()}, store, settings)
    gone = {*back.values(), *change.added} - set(change.kept)
    store.delete(bucket, sorted(gone))
    index.drop(lambda photo: photo in gone, store, settings)
    store.delete(bucket, [key])
    return change


def _move(kind: Kind, source: Sequence[str], target: str, store: ObjectStore, settings: Settings) -> None:
    """Copy first, then delete: if this is interrupted, no photo is lost."""
    bucket = settings.gallery_bucket
    moved: dict[str, str] = {}
    taken: dict[str, str] = {}  # digests of photos that exist or will exist there
    kept: set[str] = set()
    for key in source:
        body = store.get(bucket, key)
        if body is None:
            continue
        digest, new = _digest(body), target + key.partition("/")[2]
        for choice in (
            new,
            f"{target}{digest}{PurePosixPath(key).suffix}",
        ):  # another photo may have its name
            there = store.get(bucket, choice) if choice not in taken else None
            if there is not None:
                kept.add(choice)
                taken[choice] = _digest(there)
            if taken.setdefault(choice, digest) == digest:
                moved[key] = choice
                break
    moved = {old: new for old, new in moved.items() if old != new}
    if not moved:
        return
    changes.record(Change(kind=kind, moved=moved, kept=tuple(sorted(kept & set(moved.values())))), store, settings)
    for old, new in moved.items():
        body = store.get(bucket, old)
        if body is not None and new not in kept:
            store.put(bucket, new, body)
    index.carry(moved, store, settings)
    store.delete(bucket, sorted(moved))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _photos_of(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    photos = _found(name, store, settings)
    if not photos:
        raise _nobody(name)
    return photos


def called(name: str, store: ObjectStore, settings: Settings) -> str:
    """The name in the gallery, given a name typed as ``keys.shown`` displays it."""
    photos = _found(name, store, settings)
    return keys.gallery_name(photos[0]) if photos else keys.spelled(name)


def last_change(store: ObjectStore, settings: Settings) -> Change | None:
    """The change that ``undo`` would undo."""
    found = changes.last(store, settings)
    return found[1] if found else None


def _found(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    """Keys of everything stored under a name, photo or not; the name may be typed as it is ``shown``."""
    wanted, found = keys.spelled(name), dict[str, list[str]]()
    for info in store.find(settings.gallery_bucket):
        if "/" in info.key:
            found.setdefault(keys.gallery_name(info.key), []).append(info.key)
    return found.get(wanted) or next((mine for name, mine in found.items() if keys.shown(name) == wanted), [])


def _nobody(name: str) -> GalleryError:
    """The error for a name that nobody has.

    Raises:
        KeyLayoutError: it is not a possible name.
    """
    keys.check_person_name(name)
    return GalleryError(f"nobody is called {name!r}; see: castline people list")
