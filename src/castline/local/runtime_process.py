"""One execution environment: an ``awslambdaric`` process and the Runtime API it talks to.

Each process has a TCP listener of its own, so that the port identifies the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from castline.gate.private import open_private, private_folder
from castline.local.functions import FunctionSpec
from castline.local.limits import GroupLimits
from castline.local.listener import ours_only
from castline.local.nursery import Nursery
from castline.local.state import ProcessId
from castline.local.watchdog import Watchdog

logger = logging.getLogger(__name__)

_API = "/2018-06-01/runtime"
#: Lambda allows 10 s; loading models with every core busy takes longer than on Lambda.
INIT_TIMEOUT_S = 120.0
#: The runtime repeats an error with its stack in a header, which it truncates at 1 MiB.
_MAX_HEADER = 2 * 1024 * 1024
_MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Invocation:
    """One event on its way to a process. ``payload`` is JSON."""

    request_id: str
    payload: bytes


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended.

    Attributes:
        body: the handler's answer, or the error, as JSON.
        error: whether it is a function error.
        duration_s: seconds from passing on the event to the answer.
    """

    body: bytes
    error: bool = False
    duration_s: float = 0.0


class ProcessFailed(Exception):
    """The process ended, or had to be ended. Carries Lambda's ``errorType``."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class RuntimeProcess:
    """Starts, feeds and ends one process. All methods run in the host's event loop."""

    def __init__(
        self,
        spec: FunctionSpec,
        slot: int,
        environment: dict[str, str],
        state_dir: Path,
        nursery: Nursery,
        watchdog: Watchdog,
    ) -> None:
        self._spec = spec
        self._environment = environment
        self._tmp = state_dir / "tmp" / f"{spec.name}-{slot}"
        self._log_path = state_dir / "logs" / f"{spec.name}-{slot}.log"
        self._nursery = nursery
        self._watchdog = watchdog
        self._runner: web.AppRunner | None = None
        self._process: ProcessId | None = None
        self._ended: asyncio.Future[int] | None = None
        self._limits: GroupLimits | None = None
        self._watch: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._handover: asyncio.Future[Invocation] | None = None
        self._outcome: asyncio.Future[tuple[bytes, bool]] | None = None
        self._current = ""
        self._init_error: bytes | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it has not exited; asks the system, because the event loop learns of an end a moment later."""
        return self._process is not None and self._ended is not None and not self._ended.done() and self._process.alive

    async def start(self) -> None:
        """Open the listener and start the process, without waiting for its initialisation."""
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[ours_only])
        app.router.add_get(f"{_API}/invocation/next", self._on_next)
        app.router.add_post(f"{_API}/invocation/{{id}}/response", self._on_response)
        app.router.add_post(f"{_API}/invocation/{{id}}/error", self._on_error)
        app.router.add_post(f"{_API}/init/error", self._on_init_error)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, max_field_size=_MAX_HEADER)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        # Like a fresh execution environment: an empty /tmp.
        shutil.rmtree(self._tmp, ignore_errors=True)
        private_folder(self._tmp)
        private_folder(self._log_path.parent)
        environment = {
            **self._environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[$LATEST]{secrets.token_hex(16)}",
            "TMPDIR": str(self._tmp),
        }
        pid, self._ended = await self._nursery.spawn(
            "awslambdaric", self._spec.handler, cwd=self._spec.task_root, environment=environment, log=self._log_path
        )
        self._process = ProcessId.of(pid)
        self._watchdog.add(pid)
        self._limits = GroupLimits(pid, self._spec.memory_mb, self._spec.disk_mb, self._tmp)
        self._watch = asyncio.create_task(self._limits.watch())

    async def wait_ready(self) -> None:
        """Wait until the process asks for work.

        Raises:
            ProcessFailed: it ended or reported an error during its initialisation, or took too long.
        """
        assert self._ended is not None  # noqa: S101 - start() comes first
        waiter = asyncio.create_task(self._idle.wait())
        awaited: set[asyncio.Future[Any]] = {waiter, self._ended}
        try:
            await asyncio.wait(awaited, timeout=INIT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        if self._idle.is_set() and self.alive:
            return
        if not self.alive:
            await self._ended
        if self._init_error is not None:
            raise ProcessFailed("init", self._init_error.decode("utf-8", "replace"))
        if self.alive:
            raise ProcessFailed("Sandbox.Timedout", f"Init timed out after {INIT_TIMEOUT_S:.2f} seconds")
        raise ProcessFailed("Runtime.ExitError", f"Runtime exited with error: {self._exit_reason()}")

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Hand an event to the idle process and wait for its answer.

        Raises:
            ProcessFailed: the process died (``Runtime.ExitError``) or ran into the function's timeout
                (``Sandbox.Timedout``). The process cannot be used any more; ``stop`` it.
        """
        assert self._ended is not None and self._handover is not None  # noqa: S101 - wait_ready() comes first
        loop = asyncio.get_running_loop()
        self._outcome = loop.create_future()
        self._current = invocation.request_id
        self._idle.clear()
        self._log(f"START RequestId: {invocation.request_id} Version: $LATEST")
        started = time.perf_counter()
        self._handover.set_result(invocation)
        awaited: set[asyncio.Future[Any]] = {self._outcome, self._ended}
        await asyncio.wait(awaited, timeout=self._spec.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        duration = time.perf_counter() - started
        self._log_report(invocation.request_id, duration)
        if self._outcome.done():
            body, error = self._outcome.result()
            return Outcome(body, error, duration)
        prefix = f"RequestId: {invocation.request_id} Error: "
        if self.alive:
            raise ProcessFailed("Sandbox.Timedout", f"{prefix}Task timed out after {self._spec.timeout_s:.2f} seconds")
        raise ProcessFailed("Runtime.ExitError", f"{prefix}Runtime exited with error: {self._exit_reason()}")

    async def stop(self) -> None:
        """End the whole process group, and the listener. Safe to call again."""
        if self._watch is not None:
            self._watch.cancel()
        if self._process is not None and self._ended is not None:
            # The whole group, even if its leader is gone: a crashed handler may have left children.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._ended
            self._watchdog.remove(self._process.pid)
        if self._handover is not None and not self._handover.done():
            self._handover.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- the Runtime API ---

    async def _on_next(self, _request: web.Request) -> web.Response:
        self._handover = asyncio.get_running_loop().create_future()
        self._idle.set()
        invocation = await self._handover
        deadline_ms = int((time.time() + self._spec.timeout_s) * 1000)
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        return web.Response(
            body=invocation.payload,
            content_type="application/json",
            headers={
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": self._spec.arn,
                "Lambda-Runtime-Trace-Id": trace,
            },
        )

    async def _on_response(self, request: web.Request) -> web.Response:
        return self._answer(request, await request.read(), error=False)

    async def _on_error(self, request: web.Request) -> web.Response:
        return self._answer(request, await request.read(), error=True)

    async def _on_init_error(self, request: web.Request) -> web.Response:
        self._init_error = await request.read()
        return web.json_response({"status": "OK"}, status=202)

    def _answer(self, request: web.Request, body: bytes, *, error: bool) -> web.Response:
        if request.match_info["id"] != self._current or self._outcome is None or self._outcome.done():
            return web.json_response({"errorType": "InvalidRequestID"}, status=400)
        self._outcome.set_result((body, error))
        return web.json_response({"status": "OK"}, status=202)

    # --- small things ---

    def _exit_reason(self) -> str:
        code = self._ended.result() if self._ended and self._ended.done() else 0
        return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def _log_report(self, request_id: str, duration_s: float) -> None:
        limits = self._limits
        self._log(
            f"REPORT RequestId: {request_id}\tDuration: {duration_s * 1000:.2f} ms\t"
            f"Memory Size: {self._spec.memory_mb} MB\tMax Memory Used: {limits.peak_mb if limits else 0} MB"
            + (f"\tKilled: {limits.exceeded}" if limits and limits.exceeded else "")
        )

    def _log(self, line: str) -> None:
        try:
            with open_private(self._log_path) as log:
                log.write(f"{line}\n".encode())
        except OSError as error:
            logger.warning("cannot write %s: %s", self._log_path, error)
