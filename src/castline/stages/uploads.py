"""Uploads units to stage 1 while the next ones are decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from castline import keys
from castline.settings import Settings
from castline.stages.announce import Announce
from castline.storage.base import ObjectStore

_UPLOADS = 4  # at once; decoding is the bottleneck, and uploads must not delay it
_BACKLOG = 16  # units waiting for upload before decoding waits; bounds memory


#: Units as (key, body), made while they are consumed.
Units = Generator[tuple[str, bytes], None, None]


def put_all(units: Units, store: ObjectStore, settings: Settings, announce: Announce) -> None:
    """Write and announce units; their generator is closed in any case."""

    def put(key: str, body: bytes) -> None:
        store.put(settings.stage1_bucket, key, body)
        if keys.parse_motion(key) is None:  # small pictures alone are not a unit to be analysed
            announce(key)

    with closing(units), ThreadPoolExecutor(_UPLOADS) as pool:
        waiting: deque[Future[None]] = deque()
        for key, body in units:
            waiting.append(pool.submit(put, key, body))
            while len(waiting) > _BACKLOG or (waiting and waiting[0].done()):
                waiting.popleft().result()
        for upload in waiting:
            upload.result()
