"""Runs actors in every order of a schedule: they take turns at each call of the store.

After the method of Musuvathi and Qadeer (CHESS, 2007): most concurrency faults need very few switches, so all schedules
with up to two are tried, and random ones beyond that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from castline.storage import MemoryStore

_CALLS = ("head", "get", "download", "read", "stream", "upload", "put", "delete", "find", "versions", "erase")
_GENERATORS = ("find", "stream", "versions")


class TurnStore(MemoryStore):
    """A store in which every call waits for its actor's turn; calls from other threads do not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = threading.local()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in _CALLS:
            return found
        wait: Callable[[], None] | None = getattr(super().__getattribute__("turns"), "wait", None)

        def call(*args: Any, **more: Any) -> Any:
            if wait:
                wait()
            answer = found(*args, **more)
            # A generator would run during another actor's turn.
            return iter(list(answer)) if name in _GENERATORS else answer

        return call


class _Actor:
    def __init__(self, action: Callable[[], object], store: TurnStore) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._store = store
        self._thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._thread.start()
        self._stands.acquire()

    def step(self) -> None:
        """Let it do one call, and advance to the next one."""
        self._go.release()
        self._stands.acquire()

    def _wait(self) -> None:
        self._stands.release()
        self._go.acquire()

    def _run(self, action: Callable[[], object]) -> None:
        self._store.turns.wait = self._wait
        try:
            action()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._stands.release()


def interleave(store: TurnStore, actions: list[Callable[[], object]], schedule: Iterable[int]) -> list[int]:
    """Run actions; ``schedule`` names whose call is next. After its end, or for ended actors, the first one continues.

    Returns:
        How many calls each made.

    Raises:
        BaseException: what an action raised.
    """
    actors = [_Actor(action, store) for action in actions]
    counts = [0] * len(actors)
    turns = iter(schedule)
    while any(not actor.ended for actor in actors):
        wanted = next(turns, 0) % len(actors)
        at = wanted if not actors[wanted].ended else next(i for i, actor in enumerate(actors) if not actor.ended)
        actors[at].step()
        counts[at] += 1
    for actor in actors:
        if actor.error:
            raise actor.error
    return counts


def few_switches(counts: list[int]) -> Iterator[list[int]]:
    """Schedules of two actors with up to two switches, beginning with either."""
    for first, second in ((0, 1), (1, 0)):
        for before in range(counts[first] + 1):
            for between in range(1, counts[second] + 1):
                yield [first] * before + [second] * between + [first] * counts[first]
