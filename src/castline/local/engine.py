"""The AWS emulator, ministack, behind its gate, as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from castline.errors import LocalStackError
from castline.gate.credentials import Keyring
from castline.gate.emulator import secrets_line
from castline.gate.gate import HEALTH
from castline.gate.private import UMASK, open_private, private_folder
from castline.local.watchdog import Watchdog

REGION = "us-east-1"
ACCOUNT = "000000000000"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def has_bucket(state_dir: Path, bucket: str) -> bool:
    """Whether a bucket of this state folder ever had an object; the stack need not be running."""
    return (state_dir / "s3" / ACCOUNT / bucket).is_dir()


def is_taken(port: int) -> bool:
    """Whether a process listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Engine:
    """One ministack.

    Args:
        port: where its gate listens, on 127.0.0.1 only; 0 uses a free one.
        state_dir: objects go to ``s3/``, its log to ``logs/ministack.log``.
        keyring: the keys whose requests the gate lets through.
    """

    def __init__(self, state_dir: Path, port: int, keyring: Keyring, watchdog: Watchdog) -> None:
        self._keyring = keyring
        self._state_dir = state_dir.resolve()
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self, proxies: Mapping[str, str]) -> None:
        """Start it and wait until it answers.

        Args:
            proxies: URL that runs the function, by function name.

        Raises:
            LocalStackError: the port is taken, or it did not answer in time; the log's end is in ``detail``.
        """
        if is_taken(self.port):
            raise LocalStackError(f"port {self.port} is taken; set CASTLINE_PORT to another one, or to 0")
        log_path = self._state_dir / "logs" / "ministack.log"
        tmp = self._state_dir / "tmp" / "ministack"
        for folder in (log_path.parent, tmp, self._state_dir / "s3"):
            private_folder(folder)
        with open_private(log_path) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "castline.gate.emulator"],
                env=self._environment(tmp),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=UMASK,
            )
        self._watchdog.add(self._process.pid)
        self._tell(secrets_line(self._keyring, dict(proxies)))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log_path.read_bytes()[-4000:].decode("utf-8", "replace")
                self.stop()
                raise LocalStackError("the AWS emulator did not start", detail=tail)
            time.sleep(0.05)

    def ready(self) -> bool:
        return is_ready(self.url)

    def stop(self) -> None:
        """End it and wait. Safe to call again."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._watchdog.remove(self._process.pid)
        self._process = None

    def _tell(self, line: bytes) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is None:
            return
        # If the process is already gone, the code that waits for it to be ready notices, and reports its log.
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(line)

    def _environment(self, tmp: Path) -> dict[str, str]:
        return {
            **{key: os.environ[key] for key in ("HOME", "PATH", "LANG", "LD_LIBRARY_PATH") if key in os.environ},
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._state_dir / "s3"),
            # Everything except objects comes from the template, at every start.
            "PERSIST_STATE": "0",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            "MINISTACK_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # Listeners on further ports that are not needed here.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(tmp),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }


def is_ready(url: str) -> bool:
    """Whether an emulator answers at this endpoint."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}{HEALTH}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
