"""One job in one task: the published headers, the published answers, the published result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws
from pydantic import ValidationError

from castline.errors import StorageError
from castline.service.run_task import REQUIRED, StarterSettings, TaskSettings, start
from castline.service.task import run_task
from castline.settings import Settings
from castline.weights.prepare import can_make_voice
from tests.service.conftest import CHECKOUT, service_settings

STARTER = StarterSettings(cluster="c", definition="d", subnets="s-1,s-2", security_group="sg-1")
HEADERS = {
    "X_API_KEY": "key", "DEC_LANG": "eng", "SR": "16000", "NUM_CHANNELS": "1", "SAC": "no", "DIA": "no",
    "BUCKET_NAME": "sounds", "OBJECT_PATH": "talks/a.wav", "USER_ID": "u1",
}  # fmt: skip


@contextmanager
def ecs(*answers: dict[str, Any] | str, **expected: Any) -> Iterator[Any]:
    """A client of ECS that checks its requests against ECS's own model; a text is an error's code. All answers must be
    used."""
    client = boto3.client("ecs", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as stubber:
        for answer in answers:
            if isinstance(answer, str):
                stubber.add_client_error("run_task", answer, "arn:aws:iam::123456789012:role/secret", 400)
            else:
                stubber.add_response("run_task", answer, expected or None)
        yield client
        stubber.assert_no_pending_responses()


def asked(client: Any, **headers: str | None) -> tuple[int, str]:
    """Status and text of the answer to the usual headers with some replaced."""
    given = {name: each for name, each in (HEADERS | headers).items() if each is not None}
    answer = start({"headers": given}, STARTER, lambda: "key", client)
    return answer["statusCode"], json.loads(answer["body"])


STARTED: dict[str, Any] = {"tasks": [{"taskArn": "arn"}], "failures": []}
GIVEN = {
    "BUCKET_NAME": "sounds", "CAP_PROV": "FARGATE", "CUSTOM_GRAPH": "none", "DEC_LANG": "eng", "DIA": "no",
    "FE_API_KEY": "none", "JOB_ID": "none", "NUM_CHANNELS": "1", "NUM_SPK": "1", "NUM_THREADS": "4",
    "OBJECT_NAME": "a.wav", "OBJECT_PATH": "talks/a.wav", "OBJECT_URL": "none", "PRIV": "yes", "RETURN_URL": "",
    "SAC": "no", "SR": "16000", "TAG": "t-1", "USER_ID": "u1",
}  # fmt: skip


def run(given: dict[str, str]) -> dict[str, Any]:
    """The expected request to ECS: all headers but the key."""
    network = {"subnets": ["s-1", "s-2"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}
    environment = [{"name": name, "value": given[name]} for name in sorted(given)]
    return {
        "cluster": "c",
        "taskDefinition": "d",
        "count": 1,
        "platformVersion": "LATEST",
        "capacityProviderStrategy": [{"capacityProvider": given["CAP_PROV"], "weight": 1}],
        "networkConfiguration": {"awsvpcConfiguration": network},
        "overrides": {"containerOverrides": [{"name": "task", "environment": environment}]},
    }


def test_a_request_starts_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    lower = {name.lower(): value for name, value in HEADERS.items()}  # as HTTP APIs deliver them
    with ecs(STARTED, **run(GIVEN)) as client:
        answer = start({"headers": lower | {"tag": "t-1", "cap_prov": "FARGATE"}}, STARTER, lambda: "key", client)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == "Fargate task started sucesfully. See sounds/decoded/"
    monkeypatch.setattr("castline.service.run_task.uuid4", lambda: UUID(int=7))
    with ecs(STARTED, **run(GIVEN | {"CAP_PROV": "FARGATE_SPOT", "TAG": UUID(int=7).hex})) as client:
        assert asked(client)[0] == 200


@pytest.mark.parametrize("missing", REQUIRED)
def test_missing_headers_are_named(missing: str) -> None:
    with ecs() as client:
        assert asked(client, **{missing: None}) == (400, f"Bad request: {missing} not present in POST headers")
        assert start({}, STARTER, lambda: "key", client)["statusCode"] == 400


def test_another_key_is_refused() -> None:
    with ecs() as client:
        assert asked(client, X_API_KEY="wrong") == (401, "Authentication error: Incorrect X_API_KEY")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEC_LANG", "xyz"), ("DIA", "maybe"), ("SAC", "1"), ("SR", "44100"), ("CAP_PROV", "EC2"), ("TAG", "x" * 300),
        ("TAG", "../up"), ("TAG", "a b"), ("TAG", ""), ("NUM_THREADS", "many"), ("NUM_THREADS", "0"),
        ("BUCKET_NAME", ""), ("OBJECT_PATH", ""), ("OBJECT_URL", "file:///etc/passwd"), ("RETURN_URL", "here"),
    ],
)  # fmt: skip
def test_headers_that_the_task_would_refuse_are_refused_before_it_starts(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ecs() as client:
        assert asked(client, **{name: value}) == (400, f"Bad request: {name} is not valid")
    if name in ("SAC", "SR", "CAP_PROV"):  # which the task does not read
        return
    for each, given in (GIVEN | {name: value}).items():
        monkeypatch.setenv(each, given)
    with pytest.raises(ValidationError, match=name.lower()):
        TaskSettings()


def test_more_than_ecs_accepts_is_refused() -> None:
    """8192 characters of overrides as JSON, to the character."""
    room = 8192 - len(json.dumps(run(GIVEN | {"USER_ID": ""})["overrides"]))
    given: dict[str, str | None] = {"TAG": "t-1", "CAP_PROV": "FARGATE"}
    with ecs(STARTED, **run(GIVEN | {"USER_ID": "u" * room})) as client:
        assert asked(client, **given, USER_ID="u" * room)[0] == 200
    with ecs() as client:
        assert asked(client, **given, USER_ID="u" * (room + 1)) == (400, "Bad request: the POST headers are too long")


def test_errors_from_aws_are_named() -> None:
    with ecs({"tasks": [], "failures": [{"reason": "RESOURCE:CPU"}]}) as client:
        assert asked(client) == (503, "No task could be started: RESOURCE:CPU")
    for code in ("AccessDeniedException", "ThrottlingException", "InvalidParameterException"):
        with ecs(code) as client:
            assert asked(client) == (503, f"No task could be started: {code}")

    def nothing() -> str:
        raise ClientError({"Error": {"Code": "DecryptionFailure", "Message": "arn:…"}}, "GetSecretValue")

    with ecs() as client:
        answer = start({"headers": HEADERS}, STARTER, nothing, client)
    assert (answer["statusCode"], json.loads(answer["body"])) == (503, "No task could be started: DecryptionFailure")


def test_the_function_reads_its_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own handler: the settings are the stack's, the key is the secret's text."""
    for name, value in STARTER.model_dump().items():
        monkeypatch.setenv(f"RUN_TASK_{name.upper()}", value)
    secrets = boto3.client("secretsmanager", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setenv("RUN_TASK_KEY_SECRET", "arn:key")
    spec = spec_from_file_location("run_task_app", CHECKOUT / "functions" / "run_task" / "app.py")
    assert spec and spec.loader
    app = module_from_spec(spec)
    spec.loader.exec_module(app)
    with ecs(STARTED, STARTED) as client, Stubber(secrets) as stubber:
        monkeypatch.setattr(app, "client", {"ecs": client, "secretsmanager": secrets}.__getitem__)
        stubber.add_response("get_secret_value", {"SecretString": "key"}, {"SecretId": "arn:key"})
        for _ in range(2):
            assert app.handler({"headers": HEADERS}, None)["statusCode"] == 200
        assert app.handler({"headers": HEADERS | {"X_API_KEY": "other"}}, None)["statusCode"] == 401
        stubber.assert_no_pending_responses()


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
def test_a_task_writes_the_published_result_and_notifies_three_times(s3: Any, clip: Path, tmp_path: Path) -> None:
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
def test_words_have_a_speaker_on_request(s3: Any, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    clip = tmp_path / "longer.flac"
    ffmpeg("-ss", 1, "-i", CHECKOUT / "examples" / "demo.mp4", "-t", 9, "-vn", "-ar", 16000, "-ac", 1, clip)
    s3.put_object(Bucket="sounds", Key="a.flac", Body=clip.read_bytes())
    task = TaskSettings(bucket_name="sounds", object_path="a.flac", tag="t", dia="yes")
    assert run_task(task, service_settings(tmp_path), Settings()) == 0
    found = json.loads(s3.get_object(Bucket="sounds", Key="decoded/t.json")["Body"].read())["results"]
    speakers = {word.get("speaker") for each in found for word in each["alternatives"][0]["words"]}
    assert ("Speaker 1" in speakers) == can_make_voice()


def test_a_file_that_is_not_media_is_101_and_a_missing_one_an_error(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="sounds", Key="letter", Body=b"This is a letter.\n" * 50)
    task = TaskSettings(bucket_name="sounds", object_path="letter")
    assert run_task(task, service_settings(tmp_path), Settings()) == 101
    with pytest.raises(StorageError, match="could not be read"):
        run_task(TaskSettings(bucket_name="sounds", object_path="nothing"), service_settings(tmp_path), Settings())
