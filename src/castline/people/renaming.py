"""Renames somebody in the gallery and in the corrections of single recordings."""

from __future__ import annotations

from collections.abc import Sequence

from castline import keys
from castline.gallery import photos
from castline.gallery.changes import Change
from castline.runs.corrections import rename_in_corrections
from castline.settings import Settings
from castline.storage.base import ObjectStore


def rename(old: str, new: str, store: ObjectStore, settings: Settings) -> int:
    """As `gallery.photos.rename`; corrections follow."""
    before = photos.called(old, store, settings)
    count = photos.rename(old, new, store, settings)
    rename_in_corrections(before, keys.spelled(new), store, settings)
    return count


def merge(into: str, others: Sequence[str], store: ObjectStore, settings: Settings) -> int:
    """As `gallery.photos.merge`; corrections follow, and keep the name if the merge is undone."""
    before = [photos.called(name, store, settings) for name in others]
    count = photos.merge(into, others, store, settings)
    for name in before:
        rename_in_corrections(name, keys.spelled(into), store, settings)
    return count


def undo(store: ObjectStore, settings: Settings) -> Change | None:
    """As `gallery.photos.undo`; if that undoes a renaming, corrections follow."""
    change = photos.undo(store, settings)
    if change is not None and change.kind == "renamed":
        for new, old in {keys.gallery_name(new): keys.gallery_name(old) for old, new in change.moved.items()}.items():
            rename_in_corrections(new, old, store, settings)
    return change
