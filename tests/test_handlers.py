"""The functions' own handlers, each in a separate process as on Lambda: answers, JSON logs, metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

ROOT = Path(__file__).parents[1]

_PROGRAM = """
import importlib.util, json, sys, types
from castline import handler, keys
from castline.storage import MemoryStore
from castline.settings import settings

store = MemoryStore()
handler._store = lambda: store
root, folder, event, split_first = sys.argv[1:]
event = json.load(open(f"{root}/events/{event}.json"))
store.put("castline-input", "week1/lesson1/video0.mp4", b"this is a letter")
if split_first == "yes":
    import logging
    from castline.events import object_created
    from castline.stages import split_event
    logging.disable()
    (run,) = split_event(object_created("castline-input", "week1/lesson1/video0.mp4"), store, settings())["runs"]
    logging.disable(logging.NOTSET)
    event = json.loads(json.dumps(event).replace("0123456789abcdef", run))
spec = importlib.util.spec_from_file_location("app", f"{root}/functions/{folder}/app.py")
app = importlib.util.module_from_spec(spec)
spec.loader.exec_module(app)
context = types.SimpleNamespace(function_name=folder.replace("_", "-"), memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-west-1:1:function:f", aws_request_id="1")
print("ANSWER", json.dumps(app.handler(event, context)))
"""


@pytest.mark.parametrize(
    ("folder", "event", "metrics"),
    [
        ("video_splitting", "input_video", {"SplitSeconds"}),
        ("face_recognition", "stage1_manifest", {"Media", "CostUSD", "Failures"}),
        ("failure_recorder", "failure_splitter", {"Media", "CostUSD", "Failures"}),
    ],
)
def test_every_line_is_json_and_names_the_run(folder: str, event: str, metrics: set[str]) -> None:
    name = folder.replace("_", "-")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "CASTLINE_FFMPEG": imageio_ffmpeg.get_ffmpeg_exe(),
        "POWERTOOLS_SERVICE_NAME": name,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    split_first = "yes" if folder == "face_recognition" else "no"
    argv = [sys.executable, "-W", "error", "-c", _PROGRAM, str(ROOT), folder, event, split_first]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *lines, answer = done.stdout.splitlines()
    assert answer.startswith("ANSWER")
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    published = [entry for entry in entries if "_aws" in entry]
    logged = [entry for entry in entries if "_aws" not in entry]
    assert {item["Name"] for item in published[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == metrics
    assert len(logged) >= 2
    assert {entry["service"] for entry in logged} == {name}
    # Until the version of the media file has been read, there is no run to name.
    known = [entry for entry in logged if entry["message"] != "out of retries"]
    assert all(entry["media"] == "week1/lesson1/video0.mp4" and len(entry["run"]) == 16 for entry in known), known


_BAD_SETTING = """
import importlib.util, json, sys, types
from castline import handler, keys
from castline.errors import SettingsError
from castline.events import object_created
from castline.storage import MemoryStore

store = MemoryStore()
handler._store = lambda: store
root = sys.argv[1]
store.put("castline-input", "talk.mp4", b"this is a letter")
context = types.SimpleNamespace(function_name="f", memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-west-1:1:function:f", aws_request_id="1")
def invoke(folder, event):
    spec = importlib.util.spec_from_file_location("app", f"{root}/functions/{folder}/app.py")
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app.handler(event, context)
event = object_created("castline-input", "talk.mp4")
try:
    invoke("video_splitting", event)
except SettingsError as error:
    reason = error
failed = {"version": "1.0", "timestamp": "2026-01-01T00:00:00Z",
    "requestContext": {"requestId": "1", "functionArn": "arn:aws:lambda:eu-west-1:1:function:video-splitting:$LATEST",
        "condition": "RetriesExhausted", "approximateInvokeCount": 3},
    "requestPayload": event, "responseContext": {"statusCode": 200, "executedVersion": "$LATEST",
        "functionError": "Unhandled"},
    "responsePayload": {"errorMessage": str(reason), "errorType": "SettingsError"}}
invoke("failure_recorder", failed)
result = json.loads(store.get("castline-output", keys.result_key("talk.mp4")))
print("RESULT", json.dumps([result["status"], result["error"]["message"]]))
"""


def test_an_unreadable_setting_ends_as_a_result_that_names_it() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "CASTLINE_CHUNK_S": "5",
        "POWERTOOLS_SERVICE_NAME": "f",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    argv = [sys.executable, "-c", _BAD_SETTING, str(ROOT)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    status, message = json.loads(done.stdout.splitlines()[-1].removeprefix("RESULT "))
    assert status == "failed"
    assert "CASTLINE_CHUNK_S=5: input should be greater than or equal to 10 (10 to 600)" in message
