"""The analyser's cold start as in a container: AWS's Runtime Interface Emulator around the image's files.

    python3 -m benchmarks.cold_start IMAGE --python PYTHON --rie RIE

IMAGE is the output of scripts/image_steps.py (FOLDER/image), PYTHON the interpreter used for it, RIE the emulator
(part of the SAM CLI: samcli/local/rapid/aws-lambda-rie-x86_64). Each start is a new process. Beside a whole cold
invocation, import and loading models are each measured alone.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import DEMO, FFMPEG, machine
from castline import keys
from castline.local import LocalStack
from castline.settings import Settings
from castline.stages import split_event
from castline.storage import S3Store

_TURNS = 3
COLD = Settings(prefix="cold", ffmpeg=FFMPEG)
BUCKETS = (COLD.input_bucket, COLD.stage1_bucket, COLD.output_bucket, COLD.gallery_bucket)
_PHASES = """
import time
begun = time.perf_counter()
import app
imported = time.perf_counter()
from castline.engines.choose import load_detector, load_embedder, load_transcriber
from castline.settings import settings
took = {"import": imported - begun}
for name, load in (("detector", load_detector), ("embedder", load_embedder), ("transcriber", load_transcriber)):
    begun = time.perf_counter()
    load(settings())
    took[name] = time.perf_counter() - begun
import json
print(json.dumps(took))
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _units(stack: LocalStack) -> dict[str, str]:
    """Split the demo into buckets without notifications; the first key of each kind of unit."""
    for bucket in BUCKETS:
        stack.deployer("s3").create_bucket(Bucket=bucket)
    store = S3Store(stack.client("s3"))
    store.upload(COLD.input_bucket, "demo.mp4", DEMO)
    split_event(_event(COLD.input_bucket, "demo.mp4"), store, COLD, lambda _: None)
    units = [(unit.kind, info.key) for info in store.find(COLD.stage1_bucket) if (unit := keys.parse_unit(info.key))]
    return dict(reversed(units))


def _event(bucket: str, key: str) -> dict[str, Any]:
    record = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": record}]}


def _invoke(port: int, event: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    request = urllib.request.Request(url, json.dumps(event).encode())
    for _ in range(500):
        try:
            answer = json.load(urllib.request.urlopen(request, timeout=120))
        except (ConnectionError, urllib.error.URLError):
            time.sleep(0.01)
            continue
        assert answer.get("parts"), answer
        return
    raise AssertionError("the emulator does not answer")


def _start(
    python: str, rie: Path, environment: dict[str, str], event: dict[str, Any], forget: Callable[[], None]
) -> tuple[float, float]:
    """Seconds from the start of the process to the first answer, and for the same request again."""
    forget()
    port, control = _free_port(), _free_port()
    addresses = [f"--runtime-interface-emulator-address=127.0.0.1:{port}", f"--runtime-api-address=127.0.0.1:{control}"]
    argv = [str(rie), *addresses, python, "-m", "awslambdaric", "app.handler"]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, env={**environment, "HOME": folder}, cwd=folder, stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        try:
            _invoke(port, event)
            first = time.perf_counter() - begun
            forget()
            begun = time.perf_counter()
            _invoke(port, event)
            return first, time.perf_counter() - begun
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def _phases(python: str, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run([python, "-c", _PHASES], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(image: Path, python: str, rie: Path) -> dict[str, Any]:
    """Medians, seconds."""
    task = image / "var" / "task"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(task),
        "LAMBDA_TASK_ROOT": str(task),
        "CASTLINE_MODELS_DIR": str(image / "opt" / "models"),
        "CASTLINE_PREFIX": "cold",
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "face-recognition",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_METRICS_NAMESPACE": "Castline",
        "POWERTOOLS_SERVICE_NAME": "face-recognition",
    }
    figures: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder, LocalStack(Settings(state_dir=Path(folder), port=0)) as stack:
        environment |= {**stack.credentials.environment, "AWS_ENDPOINT_URL": stack.endpoint_url}
        alone = [_phases(python, environment) for _ in range(_TURNS)]
        figures["alone"] = {name: round(statistics.median(turn[name] for turn in alone), 2) for name in alone[0]}
        store = S3Store(stack.client("s3"))

        def forget() -> None:
            store.delete(COLD.output_bucket, [info.key for info in store.find(COLD.output_bucket)])

        for kind, key in _units(stack).items():
            event = _event(COLD.stage1_bucket, key)
            turns = [_start(python, rie, environment, event, forget) for _ in range(_TURNS)]
            figures[kind] = {
                "cold": round(statistics.median(first for first, _ in turns), 2),
                "warm": round(statistics.median(second for _, second in turns), 2),
            }
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--python", default="python3.13")
    parser.add_argument("--rie", type=Path, required=True)
    asked = parser.parse_args()
    print(json.dumps(run(asked.image.resolve(), asked.python, asked.rie.resolve()), indent=2))
