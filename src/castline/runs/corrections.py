"""People's corrections of a recording: read, written and published. One object, replaced only if unchanged since read.

Views are made from a result and its corrections, and after writing views, the writer checks whether both are still the
same (`publish`). So the views written last are made from the latest of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aws_lambda_powertools import Logger

from castline import keys
from castline.assembly import Assembly
from castline.corrections import Corrected, Draft, corrected, with_name, without_name
from castline.errors import CorrectionError, StorageError
from castline.records import Change, Corrections, Result
from castline.records.corrections import MAX_BYTES, MAX_CHANGES
from castline.runs.common import read_result, why_no_result
from castline.runs.publish import publish
from castline.runs.written import Written, read_written
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

_TRIES = 20  # attempts; somebody else wrote in between each time


@dataclass(frozen=True, slots=True)
class Shown:
    """A recording as people see it.

    Attributes:
        machine: ``result.json``.
        view: the result with people's corrections.
    """

    machine: Result
    view: Corrected
    corrections: Corrections


Edit = Callable[[Shown], Draft]


def read_shown(media: str, store: ObjectStore, settings: Settings) -> Shown | None:
    """The published result of a media file as people see it; None if there is none that can be read."""
    result = read_result(media, store, settings)
    return None if result is None else show(result, store, settings)


def show(result: Result, store: ObjectStore, settings: Settings) -> Shown:
    corrections = read_written(result.media, store, settings).corrections
    return Shown(result, corrected(result, corrections.now()), corrections)


def correct(media: str, who: str, edit: Edit, store: ObjectStore, settings: Settings) -> Shown:
    """Change the corrections of a recording, and publish it.

    Args:
        who: recorded as the author.
        edit: called again with the new state if somebody else was faster; it raises ``CorrectionConflict`` if both
            changed the same thing.

    Raises:
        CorrectionError: there is no result, the corrections cannot be read, or ``edit`` raised it.
        StorageError: others kept writing in between.
    """
    for _ in range(_TRIES):
        written = read_written(media, store, settings)
        if written.problem:
            raise CorrectionError(f"{written.problem}; it is left as it is")
        result = read_result(media, store, settings)
        if result is None:
            raise CorrectionError(why_no_result(media, store, settings))
        shown = Shown(result, corrected(result, written.corrections.now()), written.corrections)
        draft = edit(shown)
        if draft == Draft():
            return shown
        if len(shown.corrections.changes) >= MAX_CHANGES:
            raise CorrectionError(f"a recording keeps {MAX_CHANGES} changes at most")
        if _write(_after(shown.corrections, draft, who), written, store, settings):
            publish_again(media, store, settings)
            return show(result, store, settings)
    raise StorageError(f"the corrections of {media} were written by others {_TRIES} times")


def _after(before: Corrections, draft: Draft, who: str) -> Corrections:
    number = before.changes[-1].number + 1 if before.changes else 1
    added = tuple(
        each if each.id else each.model_copy(update={"id": f"{number}.{place}"})
        for place, each in enumerate(draft.added)
    )
    change = Change(
        number=number,
        who=who,
        when=datetime.now(UTC).replace(microsecond=0),
        removed=draft.removed,
        added=added,
        undoes=draft.undoes,
    )
    return before.model_copy(update={"changes": (*before.changes, change)})


def _write(new: Corrections, instead_of: Written, store: ObjectStore, settings: Settings) -> bool:
    key, etag, body = keys.result_key(new.media, keys.CORRECTIONS), instead_of.etag, new.to_json()
    if len(body) > MAX_BYTES:
        raise CorrectionError(f"the corrections of a recording take {MAX_BYTES} bytes at most")
    return store.put(settings.output_bucket, key, body, if_absent=not etag, if_match=etag or None)


def publish_again(media: str, store: ObjectStore, settings: Settings) -> bool:
    """Write the views of the published result again.

    Returns:
        False if there is no result.

    Raises:
        StorageError: somebody else kept publishing in between.
    """
    for _ in range(_TRIES):
        shown = store.head(settings.output_bucket, keys.result_key(media))
        result = read_result(media, store, settings)
        if shown is None or result is None:
            return False
        images = {
            person.image: body
            for person in result.people
            if person.image
            and (body := store.get(settings.output_bucket, keys.result_key(media, person.image))) is not None
        }
        if publish(Assembly(result, images), shown, store, settings):
            return True
    raise StorageError(f"the result of {media} was replaced {_TRIES} times while it was being published")


def forget_in_corrections(name: str, store: ObjectStore, settings: Settings) -> list[str]:
    """Remove a name from all corrections, history included, and from the views.

    Unreadable corrections are left for the proof to find.

    Returns:
        Media files whose corrections were written.
    """
    return _everywhere(lambda corrections: without_name(corrections, name), store, settings)


def rename_in_corrections(old: str, new: str, store: ObjectStore, settings: Settings) -> list[str]:
    """Rename somebody in all corrections, as in the gallery; returns the same as above."""
    return _everywhere(lambda corrections: with_name(corrections, old, new), store, settings)


def _everywhere(change: Callable[[Corrections], Corrections], store: ObjectStore, settings: Settings) -> list[str]:
    changed = []
    for info in list(store.find(settings.output_bucket)):
        media = info.key.removesuffix(f"/{keys.CORRECTIONS}")
        if media == info.key or not keys.is_media(media):
            continue
        for _ in range(_TRIES):
            written = read_written(media, store, settings)
            new = change(written.corrections)
            if written.problem or new == written.corrections:
                break
            if _write(new, written, store, settings):
                publish_again(media, store, settings)
                changed.append(media)
                break
    return changed
