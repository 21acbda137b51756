"""What several stages need: the run of an object, and a stopwatch for usage records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from castline import keys
from castline.records import SCHEMA_VERSION, ObjectInfo, Options, Source, Usage
from castline.settings import Settings


def source_of(bucket: str, info: ObjectInfo) -> Source:
    return Source(bucket=bucket, key=info.key, etag=info.etag, version=info.version, size=info.size)


def run_of(source: Source, options: Options) -> str:
    """The run id of one upload under the given options, in this version's format of records."""
    return keys.run_id(source.bucket, source.key, source.identity, f"{SCHEMA_VERSION} {options.model_dump_json()}")


class Stopwatch:
    """Measures one invocation and its steps.

    ``step`` may be entered several times under one name; times add up.
    """

    def __init__(self, stage: str, settings: Settings) -> None:
        self._stage = stage
        self._memory_mb = settings.memory_mb
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._steps[name] = self._steps.get(name, 0.0) + time.perf_counter() - start

    def usage(self) -> Usage:
        return Usage(
            stage=self._stage,
            seconds=round(time.perf_counter() - self._start, 4),
            memory_mb=self._memory_mb,
            steps={name: round(seconds, 4) for name, seconds in self._steps.items()},
        )
