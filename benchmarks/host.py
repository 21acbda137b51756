"""What the Lambda host adds to a warm invocation: an empty handler, in the host alone and through the emulator."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from castline.gate.credentials import Credentials
from castline.local.functions import FunctionSpec
from castline.local.lambda_host import LambdaHost
from castline.local.watchdog import Watchdog

CALLS = 300


def run(folder: Path) -> dict[str, float]:
    """Median and 99th percentile of a warm invocation, in milliseconds."""
    code = folder / "empty-function"
    code.mkdir(exist_ok=True)
    (code / "app.py").write_text("def handler(event, context):\n    return event\n")
    spec = FunctionSpec(
        name="empty",
        handler="app.handler",
        task_root=code,
        timeout_s=10,
        memory_mb=128,
        environment={},
        path=(),
        slots=1,
    )
    with Watchdog() as watchdog:
        host = LambdaHost(folder / "state-host", watchdog)
        host.start()
        try:
            host.configure([spec], endpoint_url="http://127.0.0.1:9", credentials=Credentials.random(), prewarm=True)
            event = json.loads((Path(__file__).resolve().parents[1] / "events/stage1_frames.json").read_text())
            for _ in range(20):
                host.invoke("empty", event)
            times = []
            for _ in range(CALLS):
                start = time.perf_counter()
                host.invoke("empty", event)
                times.append((time.perf_counter() - start) * 1000)
        finally:
            host.stop()
    return {"median_ms": statistics.median(times), "p99_ms": sorted(times)[int(len(times) * 0.99)]}
