"""One job in one task: the published headers, the published answers, the published result."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from moto import mock_aws

from castline.errors import StorageError
from castline.service.run_task import REQUIRED, StarterSettings, start
from castline.service.task import TaskSettings, run_task
from castline.settings import Settings
from castline.weights.prepare import can_make_voice
from tests.service.conftest import CHECKOUT, service_settings

STARTER = StarterSettings(cluster="c", definition="d", subnets="s-1,s-2", security_group="sg-1")
HEADERS = {
    "X_API_KEY": "key", "DEC_LANG": "eng", "SR": "16000", "NUM_CHANNELS": "1", "SAC": "no", "DIA": "no",
    "BUCKET_NAME": "sounds", "OBJECT_PATH": "talks/a.wav", "USER_ID": "u1",
}  # fmt: skip


class Ecs:
    def __init__(self, **answer: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def run_task(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return self._answer


def test_a_request_starts_one_task() -> None:
    ecs = Ecs()
    lower = {name.lower(): value for name, value in HEADERS.items()}  # as HTTP APIs give them
    answer = start({"headers": lower | {"tag": "t-1", "cap_prov": "FARGATE"}}, STARTER, "key", ecs)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == "Fargate task started sucesfully. See sounds/decoded/"
    [asked] = ecs.asked
    assert asked["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
    [container] = asked["overrides"]["containerOverrides"]
    environment = {each["name"]: each["value"] for each in container["environment"]}
    assert environment["OBJECT_NAME"] == "a.wav"
    assert environment["TAG"] == "t-1"
    assert environment["NUM_SPK"] == "1"
    assert "X_API_KEY" not in environment
    start({"headers": HEADERS}, STARTER, "key", ecs)
    assert ecs.asked[1]["capacityProviderStrategy"][0]["capacityProvider"] == "FARGATE_SPOT"
    tags = [
        each["value"]
        for each in ecs.asked[1]["overrides"]["containerOverrides"][0]["environment"]
        if each["name"] == "TAG"
    ]
    assert len(tags[0]) == 32


@pytest.mark.parametrize("missing", REQUIRED)
def test_what_is_missing_is_named(missing: str) -> None:
    ecs = Ecs()
    answer = start({"headers": {name: each for name, each in HEADERS.items() if name != missing}}, STARTER, "key", ecs)
    assert (answer["statusCode"], json.loads(answer["body"])) == (
        400,
        f"Bad request: {missing} not present in POST headers",
    )
    assert ecs.asked == []


def test_other_refusals() -> None:
    ecs = Ecs(failures=[{"reason": "RESOURCE:CPU"}])
    answer = start({"headers": HEADERS | {"X_API_KEY": "wrong"}}, STARTER, "key", ecs)
    assert (answer["statusCode"], json.loads(answer["body"])) == (401, "Authentication error: Incorrect X_API_KEY")
    assert start({"headers": HEADERS | {"DEC_LANG": "xyz"}}, STARTER, "key", ecs)["statusCode"] == 400
    assert start({"headers": HEADERS | {"TAG": "x" * 3000}}, STARTER, "key", ecs)["statusCode"] == 400
    assert start({}, STARTER, "key", ecs)["statusCode"] == 400
    assert ecs.asked == []
    assert start({"headers": HEADERS}, STARTER, "key", ecs)["statusCode"] == 503


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="sounds")
        yield client


@pytest.mark.usefixtures("needs_whisper")
def test_a_task_writes_the_published_shape_and_tells_three_times(s3: Any, clip: Path, tmp_path: Path) -> None:
    told: list[tuple[dict[str, str], bytes]] = []
    answers = [500, 302, 200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((dict(self.headers.items()), body))
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        s3.put_object(Bucket="sounds", Key="talks/a.flac", Body=clip.read_bytes())
        task = TaskSettings(
            bucket_name="sounds",
            object_path="talks/a.flac",
            tag="t-1",
            user_id="u1",
            job_id="j1",
            fe_api_key="front",
            return_url=f"http://127.0.0.1:{server.server_port}/back",
        )
        assert run_task(task, service_settings(tmp_path), Settings()) == 0
    finally:
        server.shutdown()
        server.server_close()
    body = s3.get_object(Bucket="sounds", Key="decoded/t-1.json")["Body"].read()
    first = json.loads(body)["results"][0]["alternatives"][0]
    assert set(first) == {"transcript", "confidence", "words"}
    assert set(first["words"][0]) == {"startTime", "endTime", "word", "confidence"}
    assert " ".join(word["word"] for word in first["words"]) == first["transcript"]
    assert 0 < first["confidence"] <= 1
    assert len(told) == 3
    headers, form = told[-1]
    sent = {name: headers[name] for name in ("X-API-KEY", "USER-ID", "JOB-ID", "S3-PATH", "STATUS")}
    assert sent == {
        "X-API-KEY": "front", "USER-ID": "u1", "JOB-ID": "j1", "S3-PATH": "sounds/decoded/t-1.json",
        "STATUS": "SUCCESS",
    }  # fmt: skip
    [part] = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + form).get_payload()
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_payload(decode=True) == body


@pytest.mark.usefixtures("needs_whisper")
def test_words_have_a_speaker_where_that_is_asked(s3: Any, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    clip = tmp_path / "longer.flac"
    ffmpeg("-ss", 1, "-i", CHECKOUT / "examples" / "demo.mp4", "-t", 9, "-vn", "-ar", 16000, "-ac", 1, clip)
    s3.put_object(Bucket="sounds", Key="a.flac", Body=clip.read_bytes())
    task = TaskSettings(bucket_name="sounds", object_path="a.flac", tag="t", dia="yes")
    assert run_task(task, service_settings(tmp_path), Settings()) == 0
    found = json.loads(s3.get_object(Bucket="sounds", Key="decoded/t.json")["Body"].read())["results"]
    speakers = {word.get("speaker") for each in found for word in each["alternatives"][0]["words"]}
    assert ("Speaker 1" in speakers) == can_make_voice()


def test_what_is_no_media_is_101_and_what_is_not_there_an_error(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="sounds", Key="letter", Body=b"This is a letter.\n" * 50)
    task = TaskSettings(bucket_name="sounds", object_path="letter")
    assert run_task(task, service_settings(tmp_path), Settings()) == 101
    with pytest.raises(StorageError, match="could not be read"):
        run_task(TaskSettings(bucket_name="sounds", object_path="nothing"), service_settings(tmp_path), Settings())
