"""The known voices: one object for each enrolled voice, beside a person's photos. The sound is not kept."""

from __future__ import annotations

import hashlib

from aws_lambda_powertools import Logger

from castline import keys
from castline.errors import UnreadableObject
from castline.gallery import changes
from castline.gallery.changes import Change
from castline.records import EnrolledVoice, KnownVoice
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)


def enrol_voice(name: str, voice: EnrolledVoice, store: ObjectStore, settings: Settings) -> str:
    """Store a voice as a person's; the same one twice counts once. It can be undone (``undo``), renamed and forgotten.

    Returns:
        Its key.

    Raises:
        KeyLayoutError: a name that cannot be a prefix.
    """
    body = voice.to_json()
    key = f"{keys.gallery_prefix(name)}{hashlib.sha256(body).hexdigest()[:16]}{keys.VOICE_SUFFIX}"
    if store.head(settings.gallery_bucket, key) is None:
        changes.record(Change(kind="enrolled", added=(key,)), store, settings)
        store.put(settings.gallery_bucket, key, body)
    return key


def load_voices(store: ObjectStore, bucket: str) -> tuple[KnownVoice, ...]:
    """All enrolled voices, by key; unreadable ones are left out, with a line in the log."""
    found = []
    for info in store.find(bucket):
        name = keys.parse_voice(info.key)
        if not name:
            continue
        try:
            voice = read_object(EnrolledVoice, store, bucket, info.key)
        except UnreadableObject as error:
            logger.warning("a voice of the gallery is left out", voice=info.key, reason=error.message)
            continue
        if voice:
            found.append(KnownVoice(name=name, key=info.key, voice=voice))
    return tuple(found)
