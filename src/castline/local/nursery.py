"""Forks function processes from one that has imported what they need: a second of imports once, not per process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from castline.gate.private import UMASK, open_private
from castline.local import forking

#: A process, and its exit status once it has one (negative: the signal that ended it).
Child: TypeAlias = "tuple[int, asyncio.Future[int]]"


class Nursery:
    """Starts processes; all methods run in one event loop.

    Args:
        preload: modules that are imported before the first process starts; missing ones are skipped.
        environment: for those imports; each process has its own.
        log: file for errors that occur before a process has a log of its own.
    """

    def __init__(self, preload: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._preload = preload
        self._environment = dict(environment)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: deque[asyncio.Future[Child]] = deque()
        self._children: dict[int, asyncio.Future[int]] = {}

    async def start(self) -> None:
        """Start importing; does not wait for it."""
        with open_private(self._log) as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # modules in this folder must not become top-level modules
                forking.__file__,
                *self._preload,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                umask=UMASK,
            )
        self._reading = asyncio.create_task(self._read(self._process))

    async def spawn(self, module: str, *arguments: str, cwd: Path, environment: Mapping[str, str], log: Path) -> Child:
        """Run a module as a program, in a session of its own.

        Raises:
            OSError: no process can be started.
        """
        if self._process is None or self._process.returncode is not None:
            await self.start()
        pipe = self._process.stdin if self._process else None
        assert pipe is not None  # noqa: S101 - for the type checker: stdin=PIPE above
        asked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        wanted = {
            "argv": [module, *arguments],
            "cwd": str(cwd),
            "environment": dict(environment),
            "log": str(log),
        }
        pipe.write(json.dumps(wanted).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # the reader also sees the end, and resolves the futures
            await pipe.drain()
        return await asked

    async def stop(self) -> None:
        """End it. Its children should have ended before; any that remain are killed."""
        if self._process is None or self._reading is None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        await self._reading
        self._process = None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - for the type checker: stdout=PIPE above
        async for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            if "started" in told:
                ended = self._children[told["started"]] = asyncio.get_running_loop().create_future()
                asked = self._asked.popleft()
                if not asked.done():
                    asked.set_result((told["started"], ended))
            elif "refused" in told:
                asked = self._asked.popleft()
                if not asked.done():
                    asked.set_exception(OSError(told["refused"]))
            else:
                _tell(self._children.pop(told["ended"]), told["status"])
        await process.wait()
        self._process = None
        while self._asked:
            asked = self._asked.popleft()
            if not asked.done():
                asked.set_exception(OSError("the process that starts functions has ended"))
        for pid, ended in self._children.items():  # their end will not be reported any more
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            _tell(ended, -signal.SIGKILL)
        self._children.clear()


def _tell(ended: asyncio.Future[int], status: int) -> None:
    """Nobody may be waiting any more: a stopped host cancels what waits."""
    if not ended.done():
        ended.set_result(status)
