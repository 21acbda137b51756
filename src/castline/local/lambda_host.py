"""The Lambda service of the local stack: takes invocations over HTTP and runs them in real runtimes.

ministack, the AWS emulator, forwards an invocation as ``POST /<secret>/<function>`` with the event as body (its
documented proxy; we choose the URL, and only ministack knows the secret). Status 200 carries the handler's answer;
500 is a function error, which ministack retries and sends to the on-failure destination as AWS does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import threading
import uuid
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from castline.errors import LocalStackError
from castline.gate.credentials import Credentials
from castline.gate.private import private_folder
from castline.local.bridge import error_body, is_test_event, to_aws
from castline.local.functions import FunctionSpec
from castline.local.listener import ours_only
from castline.local.metrics import MetricsPublisher
from castline.local.nursery import Nursery
from castline.local.pool import FunctionPool
from castline.local.queue_reader import QueueMapping, QueueReader
from castline.local.runtime_process import Invocation
from castline.local.watchdog import Watchdog

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_BODY = 64 * 1024 * 1024
_BASE_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
#: What a process needs from the user's environment to find its home, its certificates and the network.
#: Credentials are not passed on: a handler must never reach a real account from here.
_PASSED_ON = frozenset(
    {
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "XDG_CACHE_HOME",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "HF_HOME",
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
    }
)


class LambdaHost:
    """Runs in a thread with its own event loop; the public methods may be called from any thread.

    Args:
        state_dir: logs go to ``logs/``, each process's temporary folder is in ``tmp/``.
        preload: modules that functions need, imported once for all of their processes.
    """

    def __init__(self, state_dir: Path, watchdog: Watchdog, preload: tuple[str, ...] = ()) -> None:
        self._state_dir = state_dir.resolve()
        self._watchdog = watchdog
        self._pools: dict[str, FunctionPool] = {}
        self._readers: list[QueueReader] = []
        self._metrics = MetricsPublisher()
        self._nursery = Nursery(preload, _base_environment(), self._state_dir / "logs" / "functions.log")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lambda-host", daemon=True)
        self._runner: web.AppRunner | None = None
        self._configured = asyncio.Event()
        self._secret = secrets.token_urlsafe(24)
        self.port = 0

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1; ``port`` says which."""
        self._thread.start()
        self.port = self._call(self._listen())

    def url(self, function: str) -> str:
        """The URL that takes invocations of a function; knowing it is enough to invoke."""
        return f"http://127.0.0.1:{self.port}/{self._secret}/{function}"

    def configure(
        self,
        specs: Iterable[FunctionSpec],
        *,
        endpoint_url: str,
        credentials: Credentials,
        extra_environment: dict[str, str] | None = None,
        prewarm: bool | Mapping[str, int] = False,
        mappings: Iterable[QueueMapping] = (),
        sqs: Any | None = None,
        retry_s: float = 15.0,
    ) -> None:
        """Replace the functions. Those running are ended first, and their events answered as failed.

        Invocations that arrive before the first call, or during one, wait.

        Args:
            endpoint_url: what the functions' AWS clients talk to.
            credentials: what those clients sign with.
            extra_environment: variables for every function; a function's own override them.
            prewarm: how many processes of a function start now, not with the first event; True means all of them.
            mappings: queues that functions read.
            sqs: a boto3 client that reads them.
            retry_s: seconds before a message is delivered again after its process died.
        """
        surroundings = {**(extra_environment or {}), **credentials.environment, "AWS_ENDPOINT_URL": endpoint_url}
        functions = list(specs)
        warm = {spec.name: spec.slots for spec in functions} if prewarm is True else dict(prewarm or {})
        self._call(self._configure(functions, surroundings, warm))
        if sqs is not None:
            self._call(self._start_reading(list(mappings), sqs, retry_s))

    def publish_metrics(self, cloudwatch: Any) -> None:
        """Send metrics to this boto3 client, in the background."""

        async def begin() -> None:
            self._metrics.start(cloudwatch)

        self._call(begin())

    def flush_metrics(self) -> None:
        """Send at once what was collected so far."""
        self._call(self._metrics.flush())

    def pids(self, function: str) -> list[int]:
        """The processes of a function."""
        pool = self._pools.get(function)
        return pool.pids if pool else []

    @property
    def busy(self) -> bool:
        """Whether an invocation waits or runs."""
        return any(pool.queued or pool.running for pool in self._pools.values())

    def invoke(self, function: str, event: object) -> tuple[Any, bool]:
        """Invoke without the emulator; returns the answer and whether it is an error."""
        pool = self._pool(function)
        invocation = Invocation(str(uuid.uuid4()), json.dumps(event).encode())
        outcome = self._call(pool.invoke(invocation))
        return json.loads(outcome.body or b"null"), outcome.error

    def stop(self) -> None:
        """End every process and the thread. Safe to call again."""
        if not self._thread.is_alive():
            return
        self._call(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- inside the loop ---

    async def _listen(self) -> int:
        private_folder(self._state_dir / "logs")
        await self._nursery.start()
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[ours_only])
        app.router.add_post(f"/{self._secret}/{{function}}", self._on_invoke)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _configure(self, specs: list[FunctionSpec], surroundings: dict[str, str], warm: dict[str, int]) -> None:
        self._configured.clear()
        await self._end_functions()
        self._pools = {
            spec.name: FunctionPool(
                spec,
                function_environment(spec, surroundings),
                self._state_dir,
                self._nursery,
                self._watchdog,
                self._metrics.observe,
            )
            for spec in specs
        }
        for pool in self._pools.values():
            pool.start(prewarm=warm.get(pool.spec.name, 0))
        self._configured.set()

    async def _start_reading(self, mappings: list[QueueMapping], sqs: Any, retry_s: float) -> None:
        self._readers = [QueueReader(one, self._pools[one.function], sqs, retry_s) for one in mappings]
        for reader in self._readers:
            reader.start()

    async def _end_functions(self) -> None:
        """Take nothing more from the queues; running invocations are answered as failed, and their messages return."""
        await asyncio.gather(*(reader.stop_reading() for reader in self._readers))
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))
        await asyncio.gather(*(reader.stop() for reader in self._readers))
        self._readers = []

    async def _shut_down(self) -> None:
        await self._end_functions()
        await self._nursery.stop()
        await self._metrics.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._loop.shutdown_default_executor()

    async def _on_invoke(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self._configured.wait()
        pool = self._pools.get(request.match_info["function"])
        if pool is None:
            return _failed(error_body("Host.UnknownFunction", f"no function {request.match_info['function']}"))
        event = json.loads(body) if body else {}
        if is_test_event(event):
            return web.Response(body=b"null", content_type="application/json")
        request_id = request.headers.get("X-Amzn-Lambda-Request-Id") or str(uuid.uuid4())
        outcome = await pool.invoke(Invocation(request_id, json.dumps(to_aws(event), ensure_ascii=False).encode()))
        if outcome.error:
            return _failed(outcome.body)
        return web.Response(body=outcome.body, content_type="application/json")

    def _pool(self, function: str) -> FunctionPool:
        pool = self._pools.get(function)
        if pool is None:
            raise LocalStackError(f"the Lambda host has no function {function}")
        return pool

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def function_environment(spec: FunctionSpec, surroundings: Mapping[str, str]) -> dict[str, str]:
    """The environment Lambda gives a function.

    Args:
        surroundings: the emulator as AWS, and variables for every function; a function's own override the latter.
    """
    aws = {key: value for key, value in surroundings.items() if key.startswith("AWS_")}
    return {
        **_base_environment(),
        **surroundings,
        **spec.environment,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "CASTLINE_ELSEWHERE": "true",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        **aws,
        # No look-up of an EC2 instance's credentials, and no proxy on the way to the emulator.
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "LAMBDA_TASK_ROOT": str(spec.task_root),
        "_HANDLER": spec.handler,
        "PATH": os.pathsep.join([*(str(folder) for folder in spec.path), *_BASE_PATH]),
        "PYTHONPATH": str(spec.task_root),
    }


def _base_environment() -> dict[str, str]:
    return {"PATH": os.pathsep.join(_BASE_PATH), **{key: os.environ[key] for key in _PASSED_ON & os.environ.keys()}}


def _failed(body: bytes) -> web.Response:
    return web.Response(status=500, body=body, content_type="application/json")
