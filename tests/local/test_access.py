"""A running stack and the keys to it: boto3, the AWS CLI, plain HTTP, the commands."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.exceptions import ClientError

from castline.cli import connect as cli
from castline.errors import LocalStackError, StorageError
from castline.events import object_created
from castline.gate.credentials import Credentials
from castline.local import LocalStack
from castline.local.access import aws_client, local_credentials
from castline.local.wiring import assert_wiring
from castline.settings import Settings
from castline.workload_generator import target as tool

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(state_dir=tmp_path_factory.mktemp("state"), port=0, prefix="unit")


@pytest.fixture(scope="module")
def stack(config: Settings) -> Iterator[LocalStack]:
    with LocalStack(config, slots=1, prewarm=True) as running:
        yield running


_NOT_OURS = json.dumps(object_created("elsewhere", "notes.txt")).encode()


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def status(url: str, data: bytes | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("service", "call"),
    [("s3", "list_buckets"), ("lambda", "list_functions"), ("sqs", "list_queues"), ("sns", "list_topics"),
     ("cloudformation", "list_stacks"), ("cloudwatch", "list_metrics"), ("logs", "describe_log_groups"),
     ("stepfunctions", "list_state_machines"), ("events", "list_rules"), ("iam", "list_roles")],
)  # fmt: skip
def test_the_right_keys_open_every_service_and_others_none(stack: LocalStack, service: str, call: str) -> None:
    getattr(stack.client(service), call)()
    for keys, code in (
        (Credentials("test", "test"), "InvalidAccessKeyId"),
        (Credentials(stack.credentials.access_key, "test"), "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(aws_client(stack.endpoint_url, service, keys), call)()
        assert code_of(refused.value) == code


def test_code_comes_from_the_deploy_step_only(stack: LocalStack, config: Settings) -> None:
    function: dict[str, Any] = {
        "FunctionName": "evil",
        "Runtime": "python3.12",
        "Handler": "a.b",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Code": {"ZipFile": b"PK\x05\x06" + bytes(18)},
    }
    for refused in (stack, LocalStack.attach(config)):
        with pytest.raises(ClientError, match="only the deploy step"):
            refused.client("lambda").create_function(**function)
    with pytest.raises(LocalStackError, match="only the process that started"):
        LocalStack.attach(config).deployer("lambda")
    stack.deployer("lambda").create_function(**function)
    stack.deployer("lambda").delete_function(FunctionName="evil")


def test_the_host_accepts_only_the_emulator_s_invocations(stack: LocalStack) -> None:
    assert stack.host is not None
    url = stack.host.url("video-splitting")
    assert status(url, _NOT_OURS) == 200
    root, _, name = url.rpartition("/")
    for path in ("/", "/video-splitting", f"/guess/{name}"):
        assert status(f"http://127.0.0.1:{stack.host.port}{path}", b"{}") == 404
    assert status(url, b"{}", Origin="http://evil.example") == 403
    assert status(url, b"{}", Host="evil.example") == 403
    assert status(url, b"{}", User_Agent="Mozilla/5.0") == 403
    assert root.rpartition("/")[2] not in json.dumps(os.environ.copy())


def test_the_aws_cli_works_with_what_up_prints(stack: LocalStack, tmp_path: Path) -> None:
    program = shutil.which("aws")
    if program is None:
        pytest.skip("no AWS CLI on this machine")
    bare = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
    bare |= {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
             "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip

    def aws(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], env={**bare, **environment}, capture_output=True, text=True, timeout=600, check=False
        )

    film = tmp_path / "film.bin"
    film.write_bytes(os.urandom(20_000_000))  # the CLI uploads it in parts
    sent = aws("s3", "cp", str(film), "s3://unit-output/ä b.bin", **stack.environment)
    assert sent.returncode == 0, sent.stderr
    link = aws("s3", "presign", "s3://unit-output/ä b.bin", **stack.environment).stdout.strip()
    with urllib.request.urlopen(link, timeout=600) as answer:
        assert answer.read() == film.read_bytes()
    event, out = tmp_path / "event.json", tmp_path / "out.json"
    event.write_text(_NOT_OURS.decode())
    invoke = ("lambda", "invoke", "--function-name", "video-splitting", "--payload", f"fileb://{event}", str(out))
    assert '"StatusCode": 200' in aws(*invoke, **stack.environment).stdout
    wrong = aws("s3", "ls", **{**stack.environment, "AWS_SECRET_ACCESS_KEY": "test"})
    assert "SignatureDoesNotMatch" in wrong.stderr


def test_plain_http_may_only_use_a_presigned_url(stack: LocalStack) -> None:
    s3 = stack.client("s3")
    s3.put_object(Bucket="unit-output", Key="a.txt", Body=b"1")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "unit-output", "Key": "a.txt"})
    assert status(url) == 200
    assert status(url, Host="rebound.example") == 403
    assert status(url, Origin="http://evil.example") == 403
    assert status(url.replace("a.txt", "b.txt")) == 403
    assert status(f"{stack.endpoint_url}/unit-output/a.txt") == 403
    assert status(f"{stack.endpoint_url}/_ministack/health") == 200
    assert status(f"{stack.endpoint_url}/_ministack/reset", b"") == 403
    assert status(f"{stack.endpoint_url}/_ministack/config", b"{}") == 403
    s3.delete_object(Bucket="unit-output", Key="a.txt")


def test_an_interrupted_upload_leaves_no_object(stack: LocalStack) -> None:
    url = stack.client("s3").generate_presigned_url("put_object", Params={"Bucket": "unit-output", "Key": "half"})
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500)
    log = Path(stack.settings.state_dir / "logs" / "ministack.log")
    deadline = time.monotonic() + 60
    while "the body ended early" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "Contents" not in stack.client("s3").list_objects_v2(Bucket="unit-output", Prefix="half")


def test_many_requests_share_a_connection(stack: LocalStack) -> None:
    parts = urlsplit(stack.endpoint_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    for _ in range(3):
        connection.request("GET", "/_ministack/health")
        assert connection.getresponse().read()
    assert connection.sock is not None
    connection.close()


def test_the_wiring_can_be_read_with_the_user_s_keys(config: Settings, stack: LocalStack) -> None:
    attached = LocalStack.attach(config)
    assert_wiring(attached.deployment.resolver, attached.client)
    assert attached.credentials == stack.credentials


def test_the_emulator_has_no_port_but_the_gates(stack: LocalStack) -> None:
    [emulator] = [
        each for each in psutil.Process().children(recursive=True) if "castline.gate.emulator" in each.cmdline()
    ]
    listening = {item.laddr for item in emulator.net_connections("inet") if item.status == "LISTEN"}
    assert listening == {("127.0.0.1", urlsplit(stack.endpoint_url).port)}
    secrets = {stack.credentials.secret_key, stack.host.url("x") if stack.host else ""}
    assert not secrets & set(emulator.environ().values())
    assert not secrets & set(emulator.cmdline())


def test_what_the_stack_writes_is_its_owner_s(stack: LocalStack) -> None:
    stack.client("s3").put_object(Bucket="unit-output", Key="wöche/a.txt", Body=b"1")
    root = stack.settings.state_dir
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    found = [path for path in root.rglob("*") if not path.is_symlink()]
    assert {"ministack.log", "video-splitting-0.log", "credentials", "stack.json", "a.txt"} <= {
        each.name for each in found
    }
    for path in found:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    stack.client("s3").delete_object(Bucket="unit-output", Key="wöche/a.txt")


def test_commands_find_the_keys_of_their_own_endpoint(
    stack: LocalStack, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setattr(cli, "settings", lambda: config)
    monkeypatch.setattr(tool, "settings", lambda: config)
    nothing = dict.fromkeys(("access_key", "secret_key", "asu_id", "prefix"))
    for endpoint in (stack.endpoint_url, stack.endpoint_url.replace("127.0.0.1", "localhost")):
        assert local_credentials(endpoint, config) == stack.credentials
        assert cli.connect(endpoint).store.put("unit-output", "k", b"1")
        target = tool.connect(endpoint_url=endpoint, **nothing)
        target.check(*target.buckets)
    stack.client("s3").delete_object(Bucket="unit-output", Key="k")
    for elsewhere in ("http://127.0.0.1:9", "https://s3.example.org", "nowhere"):
        assert local_credentials(elsewhere, config) is None
    given = {**nothing, "access_key": "AKIAX", "secret_key": "hush"}
    target = tool.connect(endpoint_url=stack.endpoint_url, **given)
    with pytest.raises(StorageError, match="InvalidAccessKeyId"):
        target.check(*target.buckets)
