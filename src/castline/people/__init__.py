"""Enrolling, naming and forgetting people, and binding names in the results again.

Results are re-assembled from their parts, which contain embeddings: this takes seconds and runs no model on media.
"""

from castline.gallery.changes import Change
from castline.gallery.photos import (
    NOT_SEEN,
    KnownPerson,
    add_photo,
    called,
    enrol,
    forget,
    known_people,
    last_change,
    left_out,
    list_people,
    photo_remarks,
    photos_in,
    set_basis,
    split,
)
from castline.gallery.pictures import Picture, picture_from, picture_of
from castline.gallery.voices import enrol_voice, load_voices
from castline.people.binding import reassemble
from castline.people.erase import Erased, erase_from_parts, erase_mouths, unname
from castline.people.likeness import Likeness
from castline.people.naming import name_person
from castline.people.proof import Mentions, Proof, Trace, prove_forgotten
from castline.people.renaming import merge, rename, undo
from castline.people.video import SeenPerson, SeveralPeople, pictures_in_video
from castline.people.voices import voice_in_file, voice_in_recording

__all__ = [
    "NOT_SEEN",
    "Change",
    "Erased",
    "KnownPerson",
    "Likeness",
    "Mentions",
    "Picture",
    "Proof",
    "SeenPerson",
    "SeveralPeople",
    "Trace",
    "add_photo",
    "called",
    "enrol",
    "enrol_voice",
    "erase_from_parts",
    "erase_mouths",
    "forget",
    "known_people",
    "last_change",
    "left_out",
    "list_people",
    "load_voices",
    "merge",
    "name_person",
    "photo_remarks",
    "photos_in",
    "picture_from",
    "picture_of",
    "pictures_in_video",
    "prove_forgotten",
    "reassemble",
    "rename",
    "set_basis",
    "split",
    "undo",
    "unname",
    "voice_in_file",
    "voice_in_recording",
]
