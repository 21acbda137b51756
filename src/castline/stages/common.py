"""What several stages need: a stopwatch for usage records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from castline.records import Usage
from castline.settings import Settings


class Stopwatch:
    """Measures one invocation and its steps.

    ``step`` may be entered several times under one name; times add up.
    """

    def __init__(self, stage: str, settings: Settings) -> None:
        self._stage = stage
        self._memory_mb = settings.memory_mb
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start

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
