"""Pictures to enrol: in each, exactly one face must be found, and it must be the right person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from castline import keys
from castline.engines.plugins import thresholds_for
from castline.errors import GalleryError
from castline.gallery.load import MAX_PHOTO_BYTES, PhotoEmbedder
from castline.records import Face, Grade

#: Pictures taken of one person from a video or a result. More of them cost time and add little.
MOST = 5
#: Remarks about photos whose similarities are reduced, by their face's grade.
REMARKS: Mapping[Grade, str] = {
    "degraded": (
        "smeared, dark, over-exposed, noisy or compressed, "
        "so it names nobody who looks as poor; clearer photos are better"
    ),
    "poor": "small or blurred, so it names only who is more alike, and clear; clearer photos are better",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that one face dominates.

    Attributes:
        label: a description for people.
        suffix: one of ``keys.PHOTO_SUFFIXES``.
        remark: why the face counts for less; empty for a clear one.
    """

    label: str
    suffix: str
    body: bytes
    remark: str = ""


def picture_of(path: Path, embed: PhotoEmbedder) -> Picture:
    """A photo to enrol.

    Raises:
        GalleryError: it is not a photo, or no face dominates it.
    """
    _check_photo(path.name, path.stat().st_size)
    return picture_from(path.name, path.read_bytes(), embed)


def picture_from(name: str, body: bytes, embed: PhotoEmbedder) -> Picture:
    """A photo to enrol, from its file's name and bytes.

    Raises:
        GalleryError: as `picture_of`.
    """
    _check_photo(name, len(body))
    try:
        found = embed(body)
    except GalleryError as error:
        raise GalleryError(f"{name}: {error.message}") from error
    return Picture(name, PurePath(name).suffix.lower(), body, REMARKS.get(found.grade, ""))


def _check_photo(name: str, size: int) -> None:
    if PurePath(name).suffix.lower() not in keys.PHOTO_SUFFIXES:
        raise GalleryError(f"{name}: {keys.UNREAD_PHOTO}")
    if size > MAX_PHOTO_BYTES:
        raise GalleryError(f"{name}: a photo has {MAX_PHOTO_BYTES // 2**20} MB at most")


def problem_of(body: bytes, face: Face, embed: PhotoEmbedder) -> str | None:
    """Why a crop cannot represent the face for which it was cut out; None if it can.

    A crop with margin may show a neighbour larger than the intended face, so embeddings must agree, too. They cannot be
    compared if the face was embedded by another model than ``embed``'s.
    """
    try:
        found = embed(body)
    except GalleryError as error:
        return error.message
    if found.model != face.embedding.model:
        return None
    alike = float(found.vector() @ face.embedding.vector())
    return None if alike >= thresholds_for(found.model).same_track else "somebody else is larger in the picture"
