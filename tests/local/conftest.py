"""A Lambda host with one small function, run by real runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from castline.gate.credentials import Credentials
from castline.local.functions import FunctionSpec
from castline.local.lambda_host import LambdaHost
from castline.local.watchdog import Watchdog

NAME = "probe"

#: A handler that does what the event says.
HANDLER = """
import os, pathlib, signal, subprocess, sys, tempfile, time

CALLS = 0

def handler(event, context):
    global CALLS
    CALLS += 1
    do = event.get("do", "echo")
    if do == "echo":
        return event
    if do == "describe":
        return {
            "pid": os.getpid(), "calls": CALLS, "tmp": tempfile.gettempdir(), "environment": dict(os.environ),
            "left_ms": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn,
            "cwd": os.getcwd(),
        }
    if do == "raise":
        raise ValueError(event["message"])
    if do == "sleep":
        started = time.time()
        time.sleep(event["seconds"])
        return {"pid": os.getpid(), "started": started, "ended": time.time()}
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "exit":
        sys.exit(3)
    if do == "leave":  # answer, then go away before the next event
        pid = os.getpid()
        subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -9 {pid}"])
        return {"pid": pid}
    if do == "hang with child":
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path(event["file"]).write_text(str(child.pid))
        time.sleep(60)
    if do == "die with child":
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path(event["file"]).write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "take memory":
        taken = [bytearray(os.urandom(1 << 20)) for _ in range(event["mb"])]
        time.sleep(event.get("seconds", 0))
        return len(taken)
    if do == "child takes memory":
        code = "import os, time; taken = os.urandom(%d << 20); time.sleep(60)" % event["mb"]
        subprocess.run([sys.executable, "-c", code])
    if do == "fill the disk":
        for number in range(event["files"]):
            pathlib.Path(tempfile.gettempdir(), str(number)).write_bytes(bytes(event["mb"] << 20))
        time.sleep(event.get("seconds", 0))
        return "written"
    if do == "leave a file":
        pathlib.Path(tempfile.gettempdir(), "mark").write_text("here")
        return str(pathlib.Path(tempfile.gettempdir(), "mark"))
"""

StartHost = Callable[..., LambdaHost]


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts of the probe function: ``start_host(timeout_s=2, slots=1, code=...)``."""
    hosts: list[LambdaHost] = []
    with Watchdog() as watchdog:

        def start(
            *,
            timeout_s: float = 20.0,
            slots: int = 1,
            code: str = HANDLER,
            environment: dict[str, str] | None = None,
            prewarm: bool = False,
        ) -> LambdaHost:
            root = tmp_path / "code"
            root.mkdir(exist_ok=True)
            (root / "app.py").write_text(code)
            host = LambdaHost(tmp_path / "state", watchdog)
            hosts.append(host)
            host.start()
            spec = FunctionSpec(
                name=NAME,
                handler="app.handler",
                task_root=root,
                timeout_s=timeout_s,
                memory_mb=256,
                disk_mb=64,
                environment=environment or {},
                path=(tmp_path / "layer" / "bin",),
                slots=slots,
            )
            host.configure(
                [spec], endpoint_url="http://127.0.0.1:9", credentials=Credentials("key", "secret"), prewarm=prewarm
            )
            return host

        yield start
        for host in hosts:
            host.stop()
