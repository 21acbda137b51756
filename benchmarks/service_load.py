"""The transcription service under load and with failures: many clients, and workers and the service are killed.

Inputs and outputs are presigned URLs of the local S3. The service is killed (SIGKILL), not asked to stop.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.common import DEMO, FFMPEG, ffmpeg
from castline import library
from castline.gate.credentials import Credentials, Keyring
from castline.local.access import aws_client
from castline.local.engine import Engine, free_port
from castline.local.watchdog import Watchdog
from castline.service.shapes import renderer
from castline.settings import Settings
from castline.weights.packages import packaged

_BUCKET = "sounds"
_ENGINE = "faster-whisper:tiny.en"
_FORMATS = ("json", "vtt", "txt")
_USERS = "y:root:secret\n"
_LIMIT_S = 1800.0


def run(folder: Path) -> dict[str, Any]:
    """200 jobs from 8 clients on 4 workers; two workers and the service are killed."""
    if packaged(_ENGINE) is None:
        return {"skipped": "the package with Whisper's weights is not here"}
    return storm(folder / "service", jobs=200, clients=8, workers=4, killed=2)


def storm(
    folder: Path, *, jobs: int, clients: int, workers: int, killed: int, gets: int = 300, cancels: int = 5
) -> dict[str, Any]:
    """Submit, kill, restart, wait; then count.

    Returns:
        How many jobs finished, by state; outputs equal to the library's; outputs sent more than once; seconds; 99th
        percentile of a GET in ms, idle and under load; resident MB of all processes by thirds of the run; seconds from
        DELETE of a running job until its worker is gone, one after the other.
    """
    folder.mkdir(parents=True)
    clip = folder / "clip.flac"
    ffmpeg("-ss", 1, "-i", DEMO, "-t", 4, "-vn", "-ar", 16000, "-ac", 1, "-sample_fmt", "s16", clip)
    with Watchdog() as watchdog, contextlib.ExitStack() as undo:
        keyring = Keyring(Credentials.random(), Credentials.random())
        engine = Engine(folder / "s3", 0, keyring, watchdog)
        undo.callback(engine.stop)
        engine.start({})
        deployer = aws_client(engine.url, "s3", keyring.deployer)
        deployer.create_bucket(Bucket=_BUCKET)
        deployer.put_bucket_versioning(Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        s3 = aws_client(engine.url, "s3", keyring.user)  # the emulator accepts their presigned URLs
        s3.put_object(Bucket=_BUCKET, Key="clip.flac", Body=clip.read_bytes())
        service = undo.enter_context(_Service(folder / "state", workers))
        idle = _latencies(service.url, gets)
        canceled = [_cancel(service, s3, folder) for _ in range(cancels)]
        start = time.monotonic()
        with _Watch(service) as watch:
            states = _storm(service, s3, jobs, clients, killed)
        seconds = time.monotonic() - start
        expected = library.listen(clip, settings=Settings(transcriber=_ENGINE, ffmpeg=FFMPEG), language="en")
        same, twice = _outputs(s3, jobs, {each: renderer("openai-whisper", each)(expected) for each in _FORMATS})
    ended = list(states.values())
    return {
        "states": {state: ended.count(state) for state in sorted(set(ended))},
        "outputs_equal": same,
        "outputs_sent_again": twice,
        "seconds": round(seconds, 1),
        "get_p99_idle_ms": round(_p99(idle), 1),
        "get_p99_load_ms": round(_p99(watch.latencies), 1),
        "get_median_load_ms": round(statistics.median(watch.latencies), 1),
        "rss_mb_thirds": watch.thirds(),
        "canceled_after_s": canceled,
    }


def _storm(service: _Service, s3: Any, jobs: int, clients: int, killed: int) -> dict[str, str]:
    """The state in which each job ended, by its number."""
    states: dict[str, str] = {}
    threads = [
        threading.Thread(target=_client, args=(service, s3, range(number, jobs, clients), states))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for turn in range(killed):
        workers = _until(lambda turn=turn: len(states) > jobs * (turn + 1) / (killed + 3) and service.workers())
        os.kill(workers[0], signal.SIGKILL)
    _until(lambda: len(states) > jobs * (killed + 1) / (killed + 3))
    service.kill()
    service.start()
    for thread in threads:
        thread.join()
    return states


def _cancel(service: _Service, s3: Any, folder: Path) -> float:
    """Seconds from DELETE of a running job until the process that worked on it is gone."""
    long = folder / "long.flac"
    if not long.exists():
        ffmpeg("-stream_loop", 60, "-i", DEMO, "-vn", "-ar", 16000, "-ac", 1, long)
        s3.put_object(Bucket=_BUCKET, Key=long.name, Body=long.read_bytes())
    options = {"input": _signed(s3, "get_object", long.name), "model": "tiny.en"}
    options["outputs"] = {"json_url": _signed(s3, "put_object", "canceled.json")}
    made = service.ask("POST", "", json={"options": options, "notification_type": "expire"})["id"]
    _until(lambda: service.ask("GET", made)["state"] == "running")
    (worker,) = _until(service.workers)
    start = time.monotonic()
    service.ask("DELETE", made)
    _until(lambda: not psutil.pid_exists(worker))
    return round(time.monotonic() - start, 2)


def _client(service: _Service, s3: Any, numbers: range, states: dict[str, str]) -> None:
    """Submit jobs, and poll until each has ended."""
    waiting: dict[str, str] = {}
    for number in numbers:
        urls = {f"{each}_url": _signed(s3, "put_object", f"{number}.{each}") for each in _FORMATS}
        options = {"input": _signed(s3, "get_object", "clip.flac"), "outputs": urls, "model": "tiny.en"}
        body = {"options": options, "notification_type": "expire"}
        waiting[service.ask("POST", "", json=body)["id"]] = str(number)
    deadline = time.monotonic() + _LIMIT_S
    while waiting and time.monotonic() < deadline:
        for job_id in list(waiting):
            state = service.ask("GET", job_id)["state"]
            if state not in ("queued", "running"):
                states[waiting.pop(job_id)] = state
        time.sleep(0.2)


def _signed(s3: Any, method: str, key: str) -> str:
    url: str = s3.generate_presigned_url(method, {"Bucket": _BUCKET, "Key": key}, ExpiresIn=3600)
    return url


def _outputs(s3: Any, jobs: int, expected: dict[str, bytes]) -> tuple[int, int]:
    """How many outputs equal what the library makes of the clip, and how many were sent more than once."""
    same = twice = 0
    for number in range(jobs):
        for each, body in expected.items():
            key = f"{number}.{each}"
            same += s3.get_object(Bucket=_BUCKET, Key=key)["Body"].read() == body
            versions = s3.list_object_versions(Bucket=_BUCKET, Prefix=key).get("Versions", [])
            twice += sum(version["Key"] == key for version in versions) > 1
    return same, twice


class _Service:
    """``castline serve`` as a separate process."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/transcription/"
        self._argv = [sys.executable, "-m", "castline.cli", "serve", "--folder", folder, "--port", self.port]
        self._argv += ["--workers", workers]
        self._folder = folder
        self._environment = {
            **os.environ,
            "CASTLINE_FFMPEG": FFMPEG,
            "CASTLINE_SERVICE_FOLDER": str(folder),
            "CASTLINE_SERVICE_ALLOW": "127.0.0.0/8",
            "CASTLINE_SERVICE_REQUESTS_PER_MINUTE": "1000000",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(headers={"Authorization": "Bearer root:secret"}, timeout=30)

    def __enter__(self) -> _Service:
        self._folder.mkdir(parents=True)
        (self._folder / "users.txt").write_text(_USERS)
        tokens = [sys.executable, "-m", "castline.cli", "tokens", "import", self._folder / "users.txt"]
        subprocess.run([*map(str, tokens)], env=self._environment, check=True, stdout=subprocess.DEVNULL)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(30)
        self._client.close()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*map(str, self._argv)], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.ask("GET", "")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def workers(self) -> list[int]:
        """Those that are ready: some may have just ended or just begun."""
        found = []
        for each in self.processes()[1:]:
            with contextlib.suppress(psutil.Error):
                found += [each.pid] if "spawn_main" in " ".join(each.cmdline()) else []
        return found

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._process:
                service = psutil.Process(self._process.pid)
                return [service, *service.children(recursive=True)]
        return []

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Ask until it answers: it may be down for a while."""
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = self._client.request(method, self.url + path, **more)
                answer.raise_for_status()
                return answer.json()
            except (httpx.TransportError, httpx.HTTPStatusError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def _latencies(url: str, count: int) -> list[float]:
    """Milliseconds of successive GETs over one connection."""
    with _asking() as client:
        return [_latency(client, url) for _ in range(count)]


def _asking() -> httpx.Client:
    """One client for everything measured: a new one reads the certificates, which takes longer than many requests."""
    return httpx.Client(headers={"Authorization": "Bearer root:secret"}, timeout=30)


def _latency(client: httpx.Client, url: str) -> float:
    start = time.perf_counter()
    client.get(url, params={"limit": 1})
    return (time.perf_counter() - start) * 1000


def _measure(url: str, over: Event, found: Connection) -> None:
    """Latencies until the end. A separate process, which does not compete with the clients' threads."""
    latencies: list[float] = []
    with _asking() as client:
        while not over.wait(0.05):
            with contextlib.suppress(httpx.TransportError):  # it is being restarted
                latencies += [_latency(client, url) for _ in range(4)]
    found.send(latencies)


class _Watch:
    """Latency and memory during the context."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        spawn = multiprocessing.get_context("spawn")
        self._over = spawn.Event()
        self._found, given = spawn.Pipe(duplex=False)
        self._measuring = spawn.Process(target=_measure, args=(service.url, self._over, given))
        self._thread = threading.Thread(target=self._look)
        self.latencies: list[float] = []
        self.memory: list[float] = []

    def __enter__(self) -> _Watch:
        self._measuring.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.latencies = self._found.recv()
        self._measuring.join()
        self._thread.join()

    def thirds(self) -> list[int]:
        """The maximum in each third of the run."""
        third = max(len(self.memory) // 3, 1)
        return [round(max(self.memory[at * third : (at + 1) * third], default=0)) for at in range(3)]

    def _look(self) -> None:
        while not self._over.wait(0.5):
            with contextlib.suppress(psutil.Error):
                self.memory.append(sum(each.memory_info().rss for each in self._service.processes()) / 1e6)


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _LIMIT_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.02)
    return found
