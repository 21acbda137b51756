"""Which uploads have their result: one listing per look, however many are waited for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from castline import keys
from castline.records import ObjectInfo
from castline.workload_generator.sending import Stored
from castline.workload_generator.target import Profile, Target


class Answer(NamedTuple):
    """A result of this very upload.

    Attributes:
        seen: ``time.monotonic()`` when the listing showed it.
        error: why it is no good one; None for a good one.
    """

    modified: datetime
    seen: float
    error: str | None


def result_key(profile: Profile, media: str) -> str:
    """Where the result of a media file appears in the output bucket."""
    return keys.classic_answer_key(media) if profile == "classic" else keys.result_key(media)


def stage1_key(profile: Profile, media: str) -> str:
    """What the splitter writes for a media file: a key (classic), or the beginning of keys (full)."""
    return keys.classic_frame_key(media) if profile == "classic" else f"{media}/"


def listing(target: Target, bucket: str, wanted: Sequence[str]) -> list[ObjectInfo]:
    """The objects of a bucket below what all wanted keys begin with."""
    beginning = os.path.commonprefix(list(wanted))  # noqa: RUF071 - keys are strings, and not paths
    return list(target.store.find(bucket, beginning))


def modified(listed: ObjectInfo) -> datetime:
    """When the store says that it was written; listings always do."""
    return cast(datetime, listed.last_modified)


def not_older(result: datetime, upload: datetime) -> bool:
    """Whether a result may be of an upload, both by the store's clock, which shows whole seconds.

    What lay there before the load is older by at least a second: the load waits for that.
    """
    return int(result.timestamp()) >= int(upload.timestamp())


class Watch:
    """Looks for the results of uploads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._read: dict[str, ObjectInfo] = {}  # results of other uploads, by key: they are read once
        self._same_bytes: set[str] = set()
        self._errors: dict[str, str] = {}

    def look(self, waiting: Mapping[str, Stored]) -> dict[str, Answer]:
        """The answers that are there now, by media key; ``waiting`` are uploads that the store has.

        Raises:
            StorageError: the store cannot be asked now.
        """
        wanted = {result_key(self._target.profile, media): media for media in waiting}
        found = {}
        # The whole listing first: reading results must not make the later pages older.
        objects = listing(self._target, self._target.output_bucket, list(wanted))
        seen = time.monotonic()
        for listed in objects:
            media = wanted.get(listed.key)
            if media and self._is_of(media, listed, waiting[media]):
                found[media] = Answer(modified(listed), seen, self._errors.get(media))
        return found

    def why_not(self, late: Mapping[str, Stored]) -> dict[str, str]:
        """How far uploads without a result have come, by media key, in words; from one listing of stage-1.

        Raises:
            StorageError: the store cannot be asked now.
        """
        profile, bucket = self._target.profile, self._target.stage1_bucket
        wanted = {media: stage1_key(profile, media) for media in late}
        newest: dict[str, datetime] = {}
        for listed in listing(self._target, bucket, list(wanted.values())):
            for media in late if profile == "full" else ():
                if listed.key.startswith(wanted[media]):
                    newest[media] = max(modified(listed), newest.get(media, modified(listed)))
            if profile == "classic":
                newest[listed.key] = modified(listed)
        return {media: self._words(media, upload, newest.get(media if profile == "full" else wanted[media]))
                for media, upload in late.items()}  # fmt: skip

    def _words(self, media: str, upload: Stored, stage1: datetime | None) -> str:
        if media in self._same_bytes:
            return "only the result of an earlier upload of the same bytes; --clear first"
        if stage1 is None or not not_older(stage1, upload.modified):
            return f"nothing in {self._target.stage1_bucket} either"
        return f"{self._target.stage1_bucket} has it"

    def _is_of(self, media: str, listed: ObjectInfo, upload: Stored) -> bool:
        """Whether a listed result is of this upload; what is wrong with it is in ``_errors`` then."""
        if self._target.profile == "classic":
            return not_older(modified(listed), upload.modified)
        if self._read.get(listed.key) == listed:
            return False
        body = self._target.store.read(self._target.output_bucket, listed, 0, listed.size)
        if body is None:  # replaced meanwhile: the next look reads the new one
            return False
        result = parse(body)
        matches = result is not None and (
            result.version == upload.version if upload.version else result.etag == upload.etag
        )
        # Without versions the same bytes look the same: then only time tells the uploads apart.
        if matches and not upload.version and not not_older(modified(listed), upload.modified):
            self._same_bytes.add(media)
            matches = False
        if not matches:
            self._read[listed.key] = listed
        elif result and result.error:
            self._errors[media] = result.error
        return matches


class Published(NamedTuple):
    """What matters of a ``result.json``: of which upload it is, and what is wrong with it."""

    etag: str
    version: str | None
    error: str | None


def parse(body: bytes) -> Published | None:
    """Read a ``result.json`` of any version of Castline; None for anything else."""
    try:
        result = json.loads(body)
        source, status = result["source"], result["status"]
        failure = (result["error"] or {}).get("message") or f"units failed: {len(result['failures'])}"
        error = None if status == "complete" else f"{status}: {failure}"
        return Published(str(source["etag"]).strip('"'), source["version"], error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
