"""Enrolling, naming and forgetting people, and telling the results about it.

Results are re-assembled from their parts, which hold embeddings: seconds, and no model run on media.
"""

from castline.people.binding import reassemble
from castline.people.naming import name_person
from castline.people.photos import (
    KnownPerson,
    add_photo,
    enrol,
    forget,
    known_people,
    list_people,
    merge,
    photos_in,
    rename,
)
from castline.people.pictures import Picture, picture_of
from castline.people.proof import Mentions, Proof, Trace, prove_forgotten
from castline.people.video import pictures_in_video

__all__ = [
    "KnownPerson",
    "Mentions",
    "Picture",
    "Proof",
    "Trace",
    "add_photo",
    "enrol",
    "forget",
    "known_people",
    "list_people",
    "merge",
    "name_person",
    "photos_in",
    "picture_of",
    "pictures_in_video",
    "prove_forgotten",
    "reassemble",
    "rename",
]
