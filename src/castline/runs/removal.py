"""Finds and removes what belongs to one media file in stage 1 and in the output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aws_lambda_powertools import Logger

from castline import keys
from castline.runs.audit import Deleted
from castline.runs.common import read_result
from castline.runs.flat import withdraw_flat
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)


class Owner(NamedTuple):
    """The media file and run to which an object of the stage-1 or output bucket belongs; empty if it has none.

    Attributes:
        run: empty for published files, which belong to a media file and to no run.
        view: name of the published file, or of the corrections.
    """

    media: str = ""
    run: str = ""
    view: str = ""


def owner_of(key: str) -> Owner:
    """The owner of a key. S3 has no folders: ``talk.mp4/people/b.mp4`` may be another media file with its own files."""
    if found := keys.parse_unit(key):
        return Owner(found.media, found.run)
    if part := keys.parse_part(key):
        return Owner(part[0].media, part[0].run)
    if motion := keys.parse_motion(key):
        return Owner(*motion[:2])
    if mouths := keys.parse_mouths(key):
        return Owner(*mouths)
    for parse in (keys.parse_manifest, keys.parse_options, keys.parse_of_ranges, keys.parse_proxy):
        if run := parse(key):
            return Owner(*run)
    media, _, view = key.rpartition("/")
    if media.endswith("/people"):
        media, view = media.removesuffix("/people"), f"people/{view}"
    published = keys.is_view(view) or view == keys.CORRECTIONS
    return Owner(media, "", view) if keys.is_media(media) and published else Owner()


def keys_of_run(bucket: str, media: str, run: str, store: ObjectStore) -> Iterator[str]:
    """The keys of a run in a bucket."""
    for info in store.find(bucket, f"{media}/{run}/"):
        if owner_of(info.key)[:2] == (media, run):
            yield info.key


def discard_run(media: str, run: str, store: ObjectStore, settings: Settings) -> None:
    """Remove a run whose upload is gone: its units, its parts with their embeddings, and what it published.

    The manifests go last: after an interruption, they show that something may be left.
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


def discard_deleted(media: str, run: str, store: ObjectStore, settings: Settings) -> bool:
    """Remove a run that cannot be completed now if its upload was deleted; otherwise it is still being made."""
    if store.head(settings.input_bucket, media) is not None:
        return False
    published = read_result(media, store, settings)
    if published and published.run == run and media not in Deleted(store, settings):
        return False
    logger.info("deleted before it was complete; removed", media=media, run=run)
    discard_run(media, run, store, settings)
    return True


def discard_units(media: str, store: ObjectStore, settings: Settings) -> None:
    """Remove from stage 1 what a vanished upload has left there, except for the run whose result is shown.

    An invocation that was killed between writing and checking again has left something; the repeated event removes it.
    Parts that were made from it meanwhile are removed by their writers (`complete`).
    """
    published = read_result(media, store, settings)
    kept = published.run if published else ""
    owners = ((info.key, owner_of(info.key)) for info in store.find(settings.stage1_bucket, f"{media}/"))
    found = [key for key, owner in owners if owner.media == media and owner.run != kept]
    store.delete(settings.stage1_bucket, sorted(found, key=lambda key: keys.parse_manifest(key) is not None))
