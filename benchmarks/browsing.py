"""The library in the browser under load: fifty people browse, first alone, then while four recordings are processed.

A stack of its own and `castline serve` as a separate process, on this machine. Each of the fifty users has a token,
opens a page, thinks for a second or two and opens the next: home, search, a report, people, subtitles, the lines to
correct; for some pages also what a browser loads with them. The given seconds bound everything.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.common import DEMO, FFMPEG
from castline import keys
from castline.local.engine import free_port
from castline.local.stack import LocalStack
from castline.records import Result
from castline.runs.common import read_result
from castline.settings import Settings
from castline.storage import S3Store

_RECORDINGS = 100
_CLIENTS = 50
_SECONDS = 40.0
_MOST_S = 420.0  # that the four recordings may take


def run(folder: Path) -> dict[str, Any]:
    """Idle, while four recordings are processed, and idle again."""
    return browse(folder / "browsing")


def browse(
    folder: Path, *, recordings: int = _RECORDINGS, clients: int = _CLIENTS, seconds: float = _SECONDS
) -> dict[str, Any]:
    """
    Returns:
        Milliseconds (median, 95th percentile) and number of answers by status, before, during and after load; the
        ratio of the 95th percentiles.
    """
    settings = Settings(
        state_dir=folder / "state", port=0, embedder="facenet-casia", transcriber="faster-whisper:tiny.en",
        threads=1, ffmpeg=FFMPEG,
    )  # fmt: skip
    with LocalStack(settings, slots=2) as stack:
        store = S3Store(stack.client("s3"))
        store.put(settings.input_bucket, "first.mp4", DEMO)
        first = _result("first.mp4", store, settings, time.monotonic() + _MOST_S)
        media = [f"week {n // 10}/recording {n:03d}.mp4" for n in range(recordings)]
        for each in media:
            _copy(first, each, store, settings)
        with _Service(folder / "service", stack, settings, clients) as service:
            service.until_ready(len(media))
            idle = asyncio.run(_all(service, clients, seconds, media))
            names = [f"now/{n}.mp4" for n in range(4)]
            start = time.monotonic()
            for name in names:
                store.put(settings.input_bucket, name, DEMO)
            load = asyncio.run(_all(service, clients, seconds, media))
            running = sum(read_result(name, store, settings) is None for name in names)
            for name in names:
                _result(name, store, settings, start + _MOST_S)
            took = time.monotonic() - start
            after = asyncio.run(_all(service, clients, seconds, media))
    return {
        "idle": _numbers(idle),
        "four_run": _numbers(load),
        "idle_again": _numbers(after),
        "p95_ratio": round(2 * _p95(load) / (_p95(idle) + _p95(after)), 2),
        "still_running_when_measured": running,
        "four_took_s": round(took, 1),
        "load_average": [round(each, 1) for each in os.getloadavg()],
    }


def _result(media: str, store: S3Store, settings: Settings, deadline: float) -> Result:
    while (result := read_result(media, store, settings)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{media} has no result")
        time.sleep(0.3)
    return result


def _copy(first: Result, media: str, store: S3Store, settings: Settings) -> None:
    """The first recording's files, copied to another key."""
    bucket = settings.output_bucket
    for info in list(store.find(bucket, "first.mp4/")):
        name = info.key.removeprefix("first.mp4/")
        if name != keys.RESULT and keys.is_view(name):
            store.put(bucket, keys.result_key(media, name), store.get(bucket, info.key) or b"")
    result = first.model_copy(update={"media": media})
    store.put(bucket, keys.result_key(media), result.to_json())


class _Service:
    """``castline serve``, and a token for each user."""

    def __init__(self, folder: Path, stack: LocalStack, settings: Settings, clients: int) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder, self._clients = folder, clients
        self._environment = {
            **os.environ,
            "CASTLINE_STATE_DIR": str(settings.state_dir),
            "CASTLINE_FFMPEG": FFMPEG,
            "CASTLINE_SERVICE_FOLDER": str(folder),
            "CASTLINE_SERVICE_PAGES_LOGIN": "always",
            "CASTLINE_SERVICE_PAGES_FOR": "everybody",
            "AWS_ENDPOINT_URL": stack.endpoint_url,
        }

    def __enter__(self) -> _Service:
        self._folder.mkdir(parents=True)
        users = self._folder / "users.txt"
        users.write_text("".join(f"n:user{n}:secret{n}\n" for n in range(self._clients)))
        command = [sys.executable, "-m", "castline.cli"]
        quiet = {"env": self._environment, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        subprocess.run([*command, "tokens", "import", str(users)], check=True, **quiet)  # type: ignore[call-overload]
        port = self.url.rpartition(":")[2]
        self._process = subprocess.Popen([*command, "serve", "--port", port, "--workers", "1"], **quiet)  # type: ignore[call-overload]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def until_ready(self, recordings: int) -> None:
        deadline = time.monotonic() + 120
        headers = {"Authorization": "Bearer user0:secret0"}
        while time.monotonic() < deadline:
            try:
                found = httpx.get(f"{self.url}/running", headers=headers, timeout=30)
                if int(found.headers.get("X-Castline-Recordings", 0)) >= recordings:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        raise TimeoutError("the library does not show the recordings")


Seen = tuple[str, int, float]
"""What was asked for, the status (0: no answer), and milliseconds."""


async def _all(service: _Service, clients: int, seconds: float, media: list[str]) -> list[Seen]:
    seen: list[Seen] = []
    end = time.monotonic() + seconds
    await asyncio.gather(*(_client(service.url, number, end, media, seen) for number in range(clients)))
    return seen


async def _client(url: str, number: int, end: float, media: list[str], seen: list[Seen]) -> None:
    chance = random.Random(number)
    headers = {"Authorization": f"Bearer user{number}:secret{number}", "Accept": "text/html"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        await asyncio.sleep(chance.random() * 2)
        while time.monotonic() < end:
            one = f"/recordings/{quote(chance.choice(media), safe='')}"
            pages = {
                "home": ["/", "/static/pages.css", "/running"],
                "search": ["/?q=navy", f"{one}/people/person-2.jpg"],
                "hit": ["/search?q=film+person:Person"],
                "report": [f"{one}/report.html"],
                "lines": [f"{one}/edit"],
                "people": ["/people"],
                "subtitles": [f"{one}/transcript.vtt"],
            }
            kind = chance.choice(list(pages))
            for path in pages[kind]:
                start = time.perf_counter()
                try:
                    status = (await client.get(path)).status_code
                except httpx.TransportError:
                    status = 0
                seen.append((kind, status, (time.perf_counter() - start) * 1000))
            await asyncio.sleep(1 + chance.random())


def _numbers(seen: list[Seen]) -> dict[str, Any]:
    times = [ms for _, _, ms in seen]
    kinds = sorted({kind for kind, _, _ in seen})
    slowest = {kind: round(_p95([each for each in seen if each[0] == kind]), 1) for kind in kinds}
    return {
        "answers": dict(sorted(Counter(str(status) for _, status, _ in seen).items())),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(_p95(seen), 1),
        "p95_ms_of": slowest,
    }


def _p95(seen: list[Seen]) -> float:
    return sorted(ms for _, _, ms in seen)[int(len(seen) * 0.95)]
