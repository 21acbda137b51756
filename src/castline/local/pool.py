"""The processes of one function, and the queue in front of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castline.local.bridge import error_body
from castline.local.functions import FunctionSpec
from castline.local.nursery import Nursery
from castline.local.runtime_process import Invocation, Outcome, ProcessFailed, RuntimeProcess
from castline.local.watchdog import Watchdog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observation:
    """The raw values of the metrics.

    Attributes:
        concurrent: invocations of this function running when this one began, itself included.
    """

    function: str
    duration_s: float
    error: bool
    concurrent: int


class FunctionPool:
    """Runs invocations of one function on its slots, first come first served.

    Nothing is ever throttled: an invocation that finds no free process waits.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        environment: dict[str, str],
        state_dir: Path,
        nursery: Nursery,
        watchdog: Watchdog,
        observe: Callable[[Observation], None],
    ) -> None:
        self.spec = spec
        self._environment = environment
        self._state_dir = state_dir
        self._nursery = nursery
        self._watchdog = watchdog
        self._observe = observe
        self._waiting: asyncio.Queue[tuple[Invocation, asyncio.Future[Outcome]]] = asyncio.Queue()
        self._running = 0
        self._processes: dict[int, RuntimeProcess] = {}
        self._slots: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> list[int]:
        """Process ids (and group ids) of the slots that have a process."""
        return [process.pid for process in self._processes.values() if process.pid is not None and process.alive]

    @property
    def queued(self) -> int:
        return self._waiting.qsize()

    @property
    def running(self) -> int:
        """Number of invocations that are running."""
        return self._running

    def start(self, *, prewarm: int = 0) -> None:
        """Begin to serve. This many processes start now, the others with their first event."""
        slots = range(self.spec.slots)
        self._slots = [asyncio.create_task(self._serve(slot, prewarm=slot < prewarm)) for slot in slots]

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation, waiting for a free process first. Never raises for a function error."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((invocation, future))
        return await future

    async def stop(self) -> None:
        """End all processes; waiting and running invocations are answered as failed."""
        for task in self._slots:
            task.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes.values()))
        while not self._waiting.empty():
            _answer(self._waiting.get_nowait()[1], Outcome(error_body("Host.Stopped", "the local stack stopped"), True))

    async def _serve(self, slot: int, *, prewarm: bool) -> None:
        if prewarm:
            try:
                await self._ready_process(slot)
            except ProcessFailed as failure:
                logger.warning("%s did not start: %s", self.spec.name, failure)
                await self._discard(slot)
        while True:
            invocation, future = await self._waiting.get()
            try:
                outcome = await self._run(slot, invocation)
            except asyncio.CancelledError:
                _answer(future, Outcome(error_body("Host.Stopped", "the local stack stopped"), True))
                raise
            except Exception as error:  # a bug or a full disk must cost one invocation, not the slot
                logger.exception("invocation of %s broke the host", self.spec.name)
                await self._discard(slot)
                outcome = Outcome(error_body("Host.Error", f"{type(error).__name__}: {error}"), True)
            _answer(future, outcome)

    async def _run(self, slot: int, invocation: Invocation) -> Outcome:
        self._running += 1
        concurrent = self._running
        try:
            process = await self._ready_process(slot)
            outcome = await process.invoke(invocation)
            if outcome.error:
                outcome = Outcome(_shortened(outcome.body), True, outcome.duration_s)
        except ProcessFailed as failure:
            logger.warning("%s: %s", self.spec.name, failure)
            await self._discard(slot)
            duration = self.spec.timeout_s if failure.error_type == "Sandbox.Timedout" else 0.0
            body = _shortened(str(failure).encode()) if failure.error_type == "init" else None
            outcome = Outcome(body or error_body(failure.error_type, str(failure)), True, duration)
        finally:
            self._running -= 1
        self._observe(Observation(self.spec.name, outcome.duration_s, outcome.error, concurrent))
        return outcome

    async def _ready_process(self, slot: int) -> RuntimeProcess:
        """The slot's idle process; started if there is no live one."""
        process = self._processes.get(slot)
        if process is not None:
            try:
                await process.wait_ready()
                return process
            except ProcessFailed as failure:
                # It ended after its last answer. It had no event, so no event fails.
                logger.info("%s: replacing a process: %s", self.spec.name, failure)
                await self._discard(slot)
        process = RuntimeProcess(self.spec, slot, self._environment, self._state_dir, self._nursery, self._watchdog)
        self._processes[slot] = process
        await process.start()
        await process.wait_ready()
        return process

    async def _discard(self, slot: int) -> None:
        process = self._processes.pop(slot, None)
        if process is not None:
            await process.stop()


def _answer(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _shortened(body: bytes) -> bytes:
    """A runtime's error document without its stack trace, which is in the log."""
    try:
        document = json.loads(body)
        return error_body(str(document["errorType"]), str(document["errorMessage"]))
    except (ValueError, KeyError, TypeError):
        return error_body("Runtime.Unknown", body.decode("utf-8", "replace"))
