"""Changes of the gallery's names, recorded so that they can be undone: one object for each change, in order.

A change is recorded before it is made, so an interrupted one can be undone, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from castline import keys
from castline.display import counted
from castline.errors import UnreadableObject
from castline.records import Record
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

PREFIX = ".changes/"
_KEY = re.compile(re.escape(PREFIX) + r"[0-9]{6,}\.json")

Kind = Literal["enrolled", "renamed", "merged", "split"]


class Change(Record):
    """Attributes:
    moved: new key by old key.
    kept: those of the new keys that already had the same photo.
    added: keys of photos that did not exist before.
    """

    kind: Kind
    moved: dict[str, str] = Field(default_factory=dict)
    kept: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Everybody the change is about."""
        return _names([*self.moved, *self.moved.values(), *self.kept, *self.added])

    def __str__(self) -> str:
        """``Ada, Lovelace merged into Grace``, as a terminal may show it."""
        before = ", ".join(map(keys.shown, _names(self.moved)))
        after = ", ".join(map(keys.shown, _names([*self.moved.values(), *self.added])))
        if self.kind == "enrolled":
            return f"{counted(len(self.added), 'photo')} enrolled as {after}"
        if self.kind == "split":
            return f"{counted(len(self.moved), 'photo')} of {before} given to {after}"
        return f"{before} {'renamed to' if self.kind == 'renamed' else 'merged into'} {after}"


def record(change: Change, store: ObjectStore, settings: Settings) -> None:
    """Record a change that is about to be made."""
    before = last(store, settings)
    number = int(before[0].removeprefix(PREFIX).removesuffix(".json")) + 1 if before else 0
    while not store.put(settings.gallery_bucket, f"{PREFIX}{number:06d}.json", change.to_json(), if_absent=True):
        number += 1


def last(store: ObjectStore, settings: Settings) -> tuple[str, Change] | None:
    """Key and content of the newest change; None if there is none."""
    found = list(changes(store, settings))
    return found[-1] if found else None


def drop(name: str, store: ObjectStore, settings: Settings) -> None:
    """Remove all photos of a person from the recorded changes, including those under former names.

    A change that cannot be read, and so not undone, goes as a whole: it may be about them.
    """
    former: set[str] = set()

    def other(photo: str) -> bool:
        return keys.gallery_name(photo) != name and photo not in former

    for key, change in reversed(list(recorded(store, settings))):
        if change is None:
            store.delete(settings.gallery_bucket, [key])
            continue
        left = change.model_copy(
            update={
                "moved": {old: new for old, new in change.moved.items() if other(old) and other(new)},
                "kept": tuple(filter(other, change.kept)),
                "added": tuple(filter(other, change.added)),
            }
        )
        former |= change.moved.keys() - left.moved.keys()
        if not (left.moved or left.added):
            store.delete(settings.gallery_bucket, [key])
        elif left != change:
            store.put(settings.gallery_bucket, key, left.to_json())


def changes(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, Change]]:
    """Keys and contents, oldest first; objects that are not ours, or of another version, are left out."""
    yield from ((key, change) for key, change in recorded(store, settings) if change)


def recorded(store: ObjectStore, settings: Settings) -> Iterator[tuple[str, Change | None]]:
    """As `changes`, with None for those that cannot be read."""
    for info in list(store.find(settings.gallery_bucket, PREFIX)):
        if not _KEY.fullmatch(info.key):
            continue
        try:
            change = read_object(Change, store, settings.gallery_bucket, info.key)
        except UnreadableObject:
            yield info.key, None
        else:
            if change:
                yield info.key, change


def _names(photos: Iterable[str]) -> list[str]:
    """The names in some keys, each once."""
    return list(dict.fromkeys(keys.gallery_name(photo) for photo in photos))
