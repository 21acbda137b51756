"""What the pages show: a deployment, its index, and what is in progress; kept up to date by two threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from castline.archive.feed import Feed
from castline.archive.index import Index
from castline.archive.place import open_index
from castline.archive.refresh import refresh
from castline.errors import CastlineError, LocalStackError
from castline.operations.progress import MediaProgress, progress_of
from castline.runs.request import uploaded_media
from castline.settings import Settings
from castline.storage import S3Store
from castline.storage.base import ObjectStore

logger = logging.getLogger(__name__)

_URL_S = 3600  # a part of 16 MB, at 5 kB a second
_REST = 10  # times as long as the last look took, at least
_REST_WITHOUT = 100  # likewise where there is nothing to show: nobody waits, and looking keeps the interpreter busy
_FEEDLESS_S = 60.0  # between two checks whether there is a queue that announces results
_ASKED = 8  # unfinished media files whose progress is queried; each takes a few requests


@dataclass(frozen=True, slots=True)
class Deployment:
    """Attributes:
    where: identifies its S3, also to people.
    client: returns the boto3 client of a service there, always the same, because making one takes 90 ms.
    """

    store: ObjectStore
    settings: Settings
    where: str
    client: Callable[[str], Any]


Find = Callable[[], Deployment]


class Shelf:
    """Args:
    find: finds the deployment, or raises LocalStackError if there is none now.
    refresh_s: least seconds between two looks at what is published.
    """

    def __init__(self, find: Find, refresh_s: float = 1.0) -> None:
        self._find, self._refresh_s = find, refresh_s
        self._deployment: Deployment | None = None
        self._index: Index | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("library", self._keep), ("library-feed", self._follow))
        ]
        self.under_way: tuple[MediaProgress, ...] = ()
        self.waiting = 0
        self.looked = False  # at least once

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()

    @property
    def deployment(self) -> Deployment:
        """
        Raises:
            LocalStackError: there is none now.
        """
        if self._deployment is None:
            raise LocalStackError("no deployment is there: no local stack is running (castline up)")
        return self._deployment

    @property
    def index(self) -> Index:
        """
        Raises:
            LocalStackError: there is no deployment now.
        """
        there = self.deployment
        if self._index is None:
            self._index = open_index(there.where, there.settings)
        return self._index

    def look(self) -> None:
        """Bring the index up to date with what is published.

        Raises:
            LocalStackError: there is no deployment now.
        """
        with self._lock:
            there = self._deployment = self._deployment or self._find()
            refresh(self.index, there.store, there.settings)
            self._look_under_way(there)
            self.looked = True

    def wake(self) -> None:
        """Look at once, because something has happened."""
        self._wake.set()

    def _look_under_way(self, there: Deployment) -> None:
        indexed = self.index.etags()
        unfinished = [source for source in uploaded_media(there.store, there.settings) if source.key not in indexed]
        self.waiting = len(unfinished)
        found = [progress_of(source, there.store, there.settings) for source in unfinished[:_ASKED]]
        self.under_way = tuple(item for item in found if not item.finished or item.problem)

    def _follow(self) -> None:
        """Follow the deployment's queue, if it has one; listing finds what was missed."""
        there, feed = None, None
        while not self._ended.is_set():
            try:
                if there is None or there is not self._deployment:
                    there, feed = self.deployment, None
                feed = feed or Feed(there.client("sqs"), there.settings)
                told = feed.follow(self.index, there.store)
                self.under_way = tuple(item for item in self.under_way if item.media not in told)
            except CastlineError as error:
                logger.info("the library follows by listing alone: %s", error.message)
                feed = None
                self._ended.wait(1.0 if self._deployment is None else _FEEDLESS_S)
            except Exception:
                logger.exception("the library was not told")
                feed = None
                self._ended.wait(_FEEDLESS_S)

    def _keep(self) -> None:
        while not self._ended.is_set():
            start = time.monotonic()
            try:
                self.look()
            except CastlineError as error:
                logger.info("the library was not refreshed: %s", error.message)
                self._deployment, self._index = None, None
            except Exception:
                logger.exception("the library was not refreshed")
            rest = _REST if self._deployment else _REST_WITHOUT
            self._wake.wait(max(self._refresh_s, rest * (time.monotonic() - start)))
            self._wake.clear()


def origin_of(there: Deployment) -> str:
    """The origin to which a browser uploads parts; empty if it cannot."""
    if not isinstance(there.store, S3Store):
        return ""
    found = urlsplit(part_url(there, "a", "b", 1))
    return f"{found.scheme}://{found.netloc}"


def part_url(there: Deployment, key: str, upload: str, part: int) -> str:
    """The URL to which a browser uploads one part."""
    named = {"Bucket": there.settings.input_bucket, "Key": key, "UploadId": upload, "PartNumber": part}
    return str(there.client("s3").generate_presigned_url("upload_part", Params=named, ExpiresIn=_URL_S))
