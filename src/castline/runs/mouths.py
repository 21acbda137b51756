"""What was seen of mouths, determined once for a run.

The invocation that completes the set of parts watches mouths before assembling, and writes the outcome beside the
parts. The first to write wins, so a run that is assembled again (to bind names) does not watch again.
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
"""Watches the mouths of a run."""


def mouths_of(
    manifest: Manifest, parts: Parts, store: ObjectStore, settings: Settings, watch: Watch | None
) -> Mouths | None:
    """What is known of mouths; they are watched now if that was not done before and an engine is available.

    Args:
        watch: watches mouths; None if there is no engine.
    """
    if manifest.options.speakers != "auto" or not _both(parts):
        return None
    key, bucket = keys.mouths_key(manifest.media, manifest.run), settings.output_bucket
    try:
        found = read_object(Mouths, store, bucket, key)
    except UnreadableObject as error:
        logger.error("what was seen of mouths cannot be read; they are watched again", reason=error.message)
        store.delete(bucket, [key])
        found = None
    if found is None and watch:
        made = watch(manifest, parts)
        if store.put(bucket, key, made.to_json(), if_absent=True):
            return made
        return read_object(Mouths, store, bucket, key)
    return found


def _both(parts: Parts) -> bool:
    """Whether there are both faces and words."""
    faces = any(frame.faces for part in parts.values() if isinstance(part, FramesPart) for frame in part.frames)
    return faces and any(part.segments for part in parts.values() if isinstance(part, AudioPart))
