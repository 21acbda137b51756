"""Removes a media file for good: every version of the upload, and everything that was made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from castline import keys
from castline.runs.audit import Removed, digest, write_down
from castline.runs.flat import withdraw_flat
from castline.runs.removal import owner_of
from castline.settings import Settings
from castline.storage.base import ObjectStore, ObjectVersion

_ROUNDS = 3  # a stage that is processing it may write once more before it sees that the upload is gone


@dataclass(frozen=True, slots=True)
class Deletion:
    """Attributes:
    removed: how many objects, in all buckets.
    left: what was still found afterwards, as ``s3://bucket/key``.
    """

    removed: int
    left: tuple[str, ...]


def delete_media(media: str, store: ObjectStore, settings: Settings, *, who: str = "") -> Deletion:
    """Remove an upload, its sidecar, units, parts with their embeddings, pictures and results; then check again.

    The upload goes first: from then on no stage publishes anything of it. Photos in the gallery that were taken from
        the media belong to a person, and stay. The removal is recorded (`runs.audit`).
    """
    removed: dict[tuple[str, str], int] = {}
    left: list[tuple[str, ObjectVersion]] = []
    for _ in range(_ROUNDS):
        left = list(_everything(media, store, settings))
        if not left:
            break
        _erase(left, store)
        for bucket, version in left:
            removed[bucket, version.key] = removed.get((bucket, version.key), 0) + 1
    left = list(_everything(media, store, settings))
    gone = tuple(
        Removed(bucket=bucket, key=digest(key), versions=count) for (bucket, key), count in sorted(removed.items())
    )
    if gone or left:
        write_down("delete", media, gone, store, settings, who=who, proven=not left)
        # Who publishes from here on finds the entry; what was published before it was written is found here.
        if store.head(settings.input_bucket, media) is None:
            _erase(list(_everything(media, store, settings)), store)
        left = list(_everything(media, store, settings))
    # Last, because it is the transcript of another upload that comes back.
    if (settings.output_bucket, keys.flat_transcript_key(media)) in removed and settings.profile != "classic":
        withdraw_flat(media, store, settings)
    return Deletion(len(gone), tuple(dict.fromkeys(f"s3://{bucket}/{version.key}" for bucket, version in left)))


def _erase(found: Sequence[tuple[str, ObjectVersion]], store: ObjectStore) -> None:
    for bucket in dict.fromkeys(bucket for bucket, _ in found):
        store.erase(bucket, [version for where, version in found if where == bucket])


def _everything(media: str, store: ObjectStore, settings: Settings) -> Iterator[tuple[str, ObjectVersion]]:
    """(bucket, version) of everything that belongs to a media file, the upload first."""
    exact = {
        settings.input_bucket: [media, keys.sidecar_key(media)],
        settings.stage1_bucket: [keys.classic_frame_key(media)] if settings.profile == "classic" else [],
        # The classic answer, or a flat transcript, whatever the deployment's present settings.
        settings.output_bucket: [keys.flat_transcript_key(media), *_messages(media, store, settings)],
    }
    for bucket, names in exact.items():
        for key in names:
            yield from ((bucket, version) for version in store.versions(bucket, key) if version.key == key)
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        for version in store.versions(bucket, f"{media}/"):
            if owner_of(version.key).media == media:
                yield bucket, version


def _messages(media: str, store: ObjectStore, settings: Settings) -> Iterator[str]:
    """The objects of a voice note's messages, which contain its transcript; the notes that lead to them go last."""
    note = keys.parse_note(media)
    if note is None:
        return
    notes = [info.key for info in store.find(settings.output_bucket, keys.note_prefix(*note))]
    for key in notes:
        yield keys.message_key(note[0], key.rpartition("/")[2])
    for key in notes:
        yield keys.answer_key(key)
        yield key
