"""What the gate adds: the same requests to the emulator behind it, and to the emulator alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import interleaved, peak_mb
from castline.gate.credentials import Credentials, Keyring
from castline.local.access import aws_client
from castline.local.engine import Engine, free_port, is_ready
from castline.local.functions import FunctionSpec
from castline.local.lambda_host import LambdaHost
from castline.local.watchdog import Watchdog

_BUCKET, _FUNCTION = "films", "empty"
_SIZE_MB = 100
#: Turns of each task. Only one for 100 MB in one piece, which takes the emulator minutes.
_WORKS = {"invoke": 400, "put_small": 400, "upload_parts": 7, "download": 7, "put_whole": 1}
_TEST = Credentials("test", "test")


def run(folder: Path) -> dict[str, float]:
    """Medians of both sides, and ratios: a warm invocation, a small upload, 100 MB in parts and in one piece."""
    with Watchdog() as watchdog, contextlib.ExitStack() as undo:
        keyring = Keyring(Credentials.random(), Credentials.random())
        host = _host(folder, watchdog, undo)
        engine = Engine(folder / "gated", 0, keyring, watchdog)
        undo.callback(engine.stop)
        engine.start({_FUNCTION: host.url(_FUNCTION)})
        url, bare_pid = undo.enter_context(_bare(folder / "bare", host.url(_FUNCTION)))
        sides = [_Side(engine.url, keyring.deployer, engine.pid), _Side(url, _TEST, bare_pid)]
        film = folder / "film.bin"
        film.write_bytes(os.urandom(_SIZE_MB * 10**6))
        found: dict[str, float] = {}
        for name, repeats in _WORKS.items():
            # In turn, so that both see the same noise; the first turn warms up.
            works = [lambda _, side=side, name=name: getattr(side, name)(film) for side in sides]
            if repeats > 1:
                interleaved(works[0], works[1], 1)
            before = [side.cpu_s for side in sides]
            gated_s, bare_s, ratio = interleaved(works[0], works[1], repeats)
            cpu = [(side.cpu_s - start) / repeats for side, start in zip(sides, before, strict=True)]
            found |= {f"{name}_gated_ms": gated_s * 1000, f"{name}_bare_ms": bare_s * 1000, f"{name}_ratio": ratio}
            found |= {f"{name}_gated_cpu_ms": cpu[0] * 1000, f"{name}_bare_cpu_ms": cpu[1] * 1000}
        return found | {"peak_gated_mb": peak_mb(engine.pid), "peak_bare_mb": peak_mb(bare_pid)}


class _Side:
    def __init__(self, url: str, keys: Credentials, emulator: int) -> None:
        self._emulator = psutil.Process(emulator)
        self._s3, self._lambda = aws_client(url, "s3", keys), aws_client(url, "lambda", keys)
        self._s3.create_bucket(Bucket=_BUCKET)
        role = "arn:aws:iam::000000000000:role/r"
        code = {"ZipFile": b"PK\x05\x06" + bytes(18)}
        self._lambda.create_function(
            FunctionName=_FUNCTION, Runtime="python3.12", Handler="app.handler", Role=role, Code=code
        )

    @property
    def cpu_s(self) -> float:
        """CPU time of the emulator's process; on a busy machine it says more than the clock."""
        used = self._emulator.cpu_times()
        return float(used.user + used.system)

    def invoke(self, _film: Path) -> None:
        answer = self._lambda.invoke(FunctionName=_FUNCTION, Payload=b"{}")
        assert "FunctionError" not in answer

    def put_small(self, _film: Path) -> None:
        self._s3.put_object(Bucket=_BUCKET, Key="small", Body=b"x" * 1000)

    def upload_parts(self, film: Path) -> None:
        self._s3.upload_file(str(film), _BUCKET, "film")

    def download(self, film: Path) -> None:
        self._s3.download_file(_BUCKET, "film", str(film.with_suffix(".back")))

    def put_whole(self, film: Path) -> None:
        with film.open("rb") as body:
            self._s3.put_object(Bucket=_BUCKET, Key="whole", Body=body)


def _host(folder: Path, watchdog: Watchdog, undo: contextlib.ExitStack) -> LambdaHost:
    code = folder / "gate-function"
    code.mkdir(exist_ok=True)
    (code / "app.py").write_text("def handler(event, context):\n    return event\n")
    host = LambdaHost(folder / "gate-host", watchdog)
    host.start()
    undo.callback(host.stop)
    spec = FunctionSpec(name=_FUNCTION, handler="app.handler", task_root=code, timeout_s=10, slots=1)
    host.configure([spec], endpoint_url="http://127.0.0.1:9", credentials=_TEST, prewarm=True)
    return host


@contextlib.contextmanager
def _bare(folder: Path, function_url: str) -> Iterator[tuple[str, int]]:
    """URL and process of plain ministack, with the settings it has behind the gate."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    environment: dict[str, Any] = {
        **{key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ},
        f"MINISTACK_LAMBDA_PROXY_{_FUNCTION}": function_url,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    emulator = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, cwd=folder)
    try:
        while not is_ready(f"http://127.0.0.1:{port}"):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", emulator.pid
    finally:
        emulator.terminate()
        emulator.wait(10)
