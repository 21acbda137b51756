"""Units go to stage 1 while the next ones are decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from castline.settings import Settings
from castline.stages.announce import Announce
from castline.storage.base import ObjectStore

_UPLOADS = 4  # at once; decoding is the bottleneck, uploads must only not hold it up
_BACKLOG = 16  # units waiting for upload before decoding waits; bounds memory


def put_all(units: Iterable[tuple[str, bytes]], store: ObjectStore, settings: Settings, announce: Announce) -> None:
    """Write units, (key, body), and tell of each."""

    def put(key: str, body: bytes) -> None:
        store.put(settings.stage1_bucket, key, body)
        announce(key)

    with ThreadPoolExecutor(_UPLOADS) as pool:
        waiting: deque[Future[None]] = deque()
        for key, body in units:
            waiting.append(pool.submit(put, key, body))
            while len(waiting) > _BACKLOG or (waiting and waiting[0].done()):
                waiting.popleft().result()
        for upload in waiting:
            upload.result()
