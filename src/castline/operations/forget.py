"""Forgets somebody completely: photos, embeddings, names in results; with a proof and a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castline import people
from castline.errors import GalleryError
from castline.gallery.load import PhotoEmbedder
from castline.runs.audit import Removed, digest, write_down
from castline.runs.corrections import forget_in_corrections
from castline.settings import Settings
from castline.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Attributes:
    photos, faces, parts: how many photos and faces were removed, the latter from how many parts.
    windows: how many windows of the voice were removed from parts.
    updated: results in which names were bound again.
    unnamed: results whose parts have expired, from which the name was removed.
    """

    photos: int
    faces: int
    parts: int
    windows: int
    updated: int
    unnamed: int
    proof: people.Proof


def forget_person(
    name: str,
    store: ObjectStore,
    settings: Settings,
    embed: PhotoEmbedder,
    *,
    who: str = "",
    tell: Callable[[str], None],
) -> Forgotten:
    """Remove a person's photos and embeddings, and the name from all results; then search for the name everywhere.

    Args:
        name: as `people.called` returns it.
        who: recorded as the one who did it.
        tell: see `people.reassemble`.

    Raises:
        GalleryError: nobody has this name, and it occurs nowhere.
    """
    likeness = people.Likeness(name, store, settings)
    erased = people.erase_from_parts(likeness, store, settings)
    mouths = people.erase_mouths(store, settings)
    photos = tuple(key for each in people.known_people(store, settings) if each.name == name for key in each.objects)
    try:
        count = people.forget(name, store, settings)
    except GalleryError:
        # An earlier attempt was interrupted: the photos are gone, but results may still have the name.
        if not people.prove_forgotten(name, store, settings, likeness).found:
            raise
        count = 0
    forget_in_corrections(name, store, settings)
    updated = len(list(people.reassemble(store, settings, embed, everything=True, tell=tell)))
    unnamed = len(list(people.unname(name, store, settings)))
    proof = people.prove_forgotten(name, store, settings, likeness)
    if proof.parts:  # a stage has written them meanwhile
        late = people.erase_from_parts(likeness, store, settings)
        erased = people.Erased(erased.faces + late.faces, erased.windows + late.windows, (*erased.parts, *late.parts))
        mouths += people.erase_mouths(store, settings)
        proof = people.prove_forgotten(name, store, settings, likeness)
    removed = [(settings.gallery_bucket, key) for key in photos]
    removed += [(settings.output_bucket, key) for key in (*(unit.part_key for unit in erased.parts), *mouths)]
    gone = tuple(Removed(bucket=bucket, key=digest(key)) for bucket, key in removed)
    write_down("forget", name, gone, store, settings, who=who, proven=not proof.left)
    seen_in = {unit for unit in erased.parts if unit.kind == "frames"}
    return Forgotten(count, erased.faces, len(seen_in), erased.windows, updated, unnamed, proof)
