"""What was seen of mouths, once for a run.

Whoever completes the set of parts has it looked at, before assembling, and writes it beside the parts; the first one
to write is believed, so a run that is assembled again (names were bound anew) looks at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aws_lambda_powertools import Logger

from castline import keys
from castline.errors import UnreadableObject
from castline.records import AudioPart, FramesPart, Manifest, Mouths
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

Parts = Mapping[str, FramesPart | AudioPart]
Watch = Callable[[Manifest, Parts], Mouths]
"""Looks at the mouths of a run."""


def mouths_of(
    manifest: Manifest, parts: Parts, store: ObjectStore, settings: Settings, watch: Watch | None
) -> Mouths | None:
    """What is known of mouths; looked at first where nobody did, and anybody here can.

    Args:
        watch: how to look; None where there is no engine.
    """
    if manifest.options.speakers != "auto" or not _both(parts):
        return None
    key, bucket = keys.mouths_key(manifest.media, manifest.run), settings.output_bucket
    try:
        found = read_object(Mouths, store, bucket, key)
    except UnreadableObject as error:
        logger.error("what was seen of mouths cannot be read; it is made again", reason=error.message)
        store.delete(bucket, [key])
        found = None
    if found is None and watch:
        made = watch(manifest, parts)
        if store.put(bucket, key, made.to_json(), if_absent=True):
            return made
        return read_object(Mouths, store, bucket, key)
    return found


def _both(parts: Parts) -> bool:
    """Whether there is a face, and a word."""
    faces = any(frame.faces for part in parts.values() if isinstance(part, FramesPart) for frame in part.frames)
    return faces and any(part.segments for part in parts.values() if isinstance(part, AudioPart))
