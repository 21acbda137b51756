"""A proxy between the functions and S3 that injects the faults of networks and of S3."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

FAULTS = ("slow down", "internal error", "reset", "lost answer", "half a body", "delay")
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect", "content-encoding"})


class FaultyProxy:
    """Forwards HTTP unchanged, except for the share of requests that get a fault.

    Args:
        target: ``http://127.0.0.1:port`` of the emulator; may change when it is restarted.
        rate: share of requests, 0..1.
    """

    def __init__(self, target: str, dice: random.Random, rate: float) -> None:
        self.target = target
        self.rate = rate
        self.done: Counter[str] = Counter()
        self.requests = 0
        self.port = 0
        self._dice = dice
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-proxy", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests += 1
        fault = self._dice.choice(FAULTS) if self._dice.random() < self.rate else ""
        if fault:
            self.done[fault] += 1
        if fault == "slow down":
            return _error(503, "SlowDown")
        if fault == "internal error":
            return _error(500, "InternalError")
        if fault == "delay":
            await asyncio.sleep(self._dice.uniform(0.1, 1.0))
        if fault == "reset":
            return _cut(request)
        try:
            answer = await self._forward(request, body)
        except aiohttp.ClientError:  # the emulator is being killed
            return _cut(request)
        if fault == "lost answer":
            return _cut(request)
        status, headers, content = answer
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        if request.method != "HEAD":
            cut = fault == "half a body" and len(content) > 1
            await response.write(content[: len(content) // 2] if cut else content)
            if cut:
                return _cut(request)
        return response

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if "Content-Encoding" in request.headers:  # signed, in case of aws-chunked
            headers["Content-Encoding"] = request.headers["Content-Encoding"]
        async with self._session.request(
            request.method,
            URL(f"{self.target}{request.raw_path}", encoded=True),
            headers=headers,
            data=body,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return answer.status, kept, content


def _error(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>a fault of the test</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=599)
