"""Processes of functions as forks of one that has imported what they need: a second of imports once, not for each.

``Nursery`` is the host's side. Run as a program, this file is the process that forks: a line of JSON on standard input
asks for a process, and lines on standard output tell its number and, later, its end. Only the standard library, and
one thread: nobody may be in the middle of something when it forks.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

_UMASK = 0o077  # as castline.gate.private has it
#: A process, and its exit status once it has one (negative: the signal that ended it).
Child: TypeAlias = "tuple[int, asyncio.Future[int]]"


class Nursery:
    """Starts processes; all methods run in one event loop.

    Args:
        preload: modules that are imported before the first process starts; what is not installed is left out.
        environment: of those imports; a process has its own.
        log: file for what goes wrong before a process has a log of its own.
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
        """Begin with the imports; does not wait for them."""
        from castline.gate.private import open_private

        with open_private(self._log) as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # our folder's modules are nobody's top-level ones
                str(Path(__file__)),
                *self._preload,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                umask=_UMASK,
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
        with contextlib.suppress(ConnectionError):  # the reader sees the end, too, and answers
            await pipe.drain()
        return await asked

    async def stop(self) -> None:
        """End it. What it started has ended before; the rest is killed."""
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
                self._children.pop(told["ended"]).set_result(told["status"])
        await process.wait()
        self._process = None
        while self._asked:
            asked = self._asked.popleft()
            if not asked.done():
                asked.set_exception(OSError("the process that starts functions has ended"))
        for pid, ended in self._children.items():  # nobody will hear of their end
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            ended.set_result(-signal.SIGKILL)
        self._children.clear()


def _main(preload: list[str]) -> None:
    warnings.filterwarnings("ignore", message=".*use of fork")  # threads of libraries, which know how to be forked
    told, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    before = set(os.environ)
    for module in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    added = {name: os.environ[name] for name in os.environ.keys() - before}  # by modules that are not run again
    waiting = b""
    with selectors.DefaultSelector() as ready:
        for source in (0, told):
            ready.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == told:
                    os.read(told, 4096)
                    continue
                read = os.read(0, 1 << 20)
                if not read:
                    return
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    wanted = json.loads(line)
                    wanted["environment"] = {**added, **wanted["environment"]}
                    _start(wanted, (told, woken, ready.fileno()))
            _reap()


def _start(wanted: dict[str, Any], ours: tuple[int, ...]) -> None:
    try:
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        in_session, entered = os.pipe()
        pid = os.fork()
    except OSError as error:
        _tell({"refused": str(error)})
        return
    if not pid:
        _run(wanted, log, (*ours, in_session, entered))
    os.close(log)
    os.close(entered)
    os.read(in_session, 1)  # so that its group can be killed from now on
    os.close(in_session)
    _tell({"started": pid})


def _run(wanted: dict[str, Any], log: int, ours: tuple[int, ...]) -> None:
    """Become what is wanted, in the child; does not return."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for number in (log, *ours):
            os.close(number)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        time.tzset()
        tempfile.tempdir = None
        os.chdir(wanted["cwd"])
        module, *arguments = wanted["argv"]
        if sys.platform == "darwin":  # its frameworks do not survive a fork without a new program
            os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606
        sys.path[:0] = [wanted["cwd"]]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _tell({"ended": found[0], "status": os.waitstatus_to_exitcode(found[1])})


def _tell(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
