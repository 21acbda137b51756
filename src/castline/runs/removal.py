"""What belongs to one media file, and taking it away: from stage 1 and from the output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from castline import keys
from castline.runs.common import read_result
from castline.runs.flat import withdraw_flat
from castline.settings import Settings
from castline.storage.base import ObjectStore


class Owner(NamedTuple):
    """Whose an object of the stage-1 or the output bucket is; all empty for what is nobody's.

    Attributes:
        run: empty for what is published, which belongs to a media file and to no run.
        view: name of the published file, or of what people put right in it.
    """

    media: str = ""
    run: str = ""
    view: str = ""


def owner_of(key: str) -> Owner:
    """Whose a key is. S3 has no folders: ``talk.mp4/people/b.mp4`` may be another media file, with files of its own."""
    if found := keys.parse_unit(key):
        return Owner(found.media, found.run)
    if part := keys.parse_part(key):
        return Owner(part[0].media, part[0].run)
    if motion := keys.parse_motion(key):
        return Owner(*motion[:2])
    if mouths := keys.parse_mouths(key):
        return Owner(*mouths)
    if run := keys.parse_manifest(key) or keys.parse_options(key) or keys.parse_of_ranges(key):
        return Owner(*run)
    media, _, view = key.rpartition("/")
    if media.endswith("/people"):
        media, view = media.removesuffix("/people"), f"people/{view}"
    published = keys.is_view(view) or view == keys.CORRECTIONS
    return Owner(media, "", view) if keys.is_media(media) and published else Owner()


def keys_of_run(bucket: str, media: str, run: str, store: ObjectStore) -> Iterator[str]:
    """What a run left in a bucket."""
    for info in store.find(bucket, f"{media}/{run}/"):
        if owner_of(info.key)[:2] == (media, run):
            yield info.key


def discard_run(media: str, run: str, store: ObjectStore, settings: Settings) -> None:
    """Remove a run whose upload is gone: its units, its parts with their embeddings, and what it published.

    The manifests go last: they are what shows, after an interruption, that something may be left.
    """
    published = read_result(media, store, settings)
    shows_nothing = store.head(settings.output_bucket, keys.result_key(media)) is None
    if shows_nothing or (published and published.run == run):
        views = (info.key for info in store.find(settings.output_bucket, f"{media}/"))
        store.delete(settings.output_bucket, [key for key in views if owner_of(key)[:2] == (media, "")])
        if settings.transcript_layout == "flat":
            withdraw_flat(media, store, settings)
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        found = list(keys_of_run(bucket, media, run, store))
        manifest = keys.manifest_key(media, run)
        store.delete(bucket, sorted(found, key=lambda key: key == manifest))


def discard_units(media: str, store: ObjectStore, settings: Settings) -> None:
    """Remove from stage 1 what an upload that is gone has left there, but for the run whose result is shown.

    Whoever was ended between writing and looking again has left something; the event that comes once more does this.
    Parts that were made of it meanwhile are their writers' to remove (`complete`).
    """
    published = read_result(media, store, settings)
    kept = published.run if published else ""
    owners = ((info.key, owner_of(info.key)) for info in store.find(settings.stage1_bucket, f"{media}/"))
    found = [key for key, owner in owners if owner.media == media and owner.run != kept]
    store.delete(settings.stage1_bucket, sorted(found, key=lambda key: keys.parse_manifest(key) is not None))
