"""A page of another origin in a real browser, against a running stack: it changes nothing and learns nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from castline.events import object_created
from castline.gate.credentials import Credentials
from castline.local import LocalStack
from castline.local.access import aws_client
from castline.local.engine import free_port, is_ready
from castline.settings import Settings
from tests.local.browser.conftest import Browser, Visitor

pytestmark = pytest.mark.e2e

ATTACK = (Path(__file__).parent / "attack.js").read_text()
#: Chromium resolves every name below localhost to this machine, and the gate accepts none of them.
REBOUND = "rebound.evil.localhost"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a foreign web site."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>a site</title><body>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    config = Settings(state_dir=tmp_path_factory.mktemp("state"), port=0, prefix="unit")
    with LocalStack(config, slots=1, prewarm=True) as running:
        yield running


Found = dict[str, list[str]]


_NOT_OURS = json.dumps(object_created("elsewhere", "notes.txt")).encode()


def contents(client: Callable[[str], Any]) -> Found:
    """The contents of a stack that an attack could change."""
    s3 = client("s3")
    buckets = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    return {
        "functions": sorted(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
        "buckets": sorted(buckets),
        "objects": sorted(
            item["Key"] for bucket in buckets for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        ),
        "queues": sorted(client("sqs").list_queues().get("QueueUrls", [])),
        "stacks": sorted(each["StackName"] for each in client("cloudformation").list_stacks()["StackSummaries"]),
    }


def attack(page: Visitor, gate: str, host: str, runtimes: list[str]) -> list[list[Any]]:
    target = json.dumps({"gate": gate, "host": host, "runtimes": runtimes})
    learned: list[list[Any]] = page.js(f"(async () => {{ {ATTACK}\nreturn attack({target}); }})()")
    return learned


def listeners() -> list[str]:
    """Every port of the Lambda host and its runtimes; a page can find them by trying all ports."""
    found = {item.laddr.port for item in psutil.Process().net_connections("inet") if item.status == "LISTEN"}
    return [f"http://127.0.0.1:{port}" for port in sorted(found)]


@pytest.mark.parametrize("site", ["127.0.0.1", "localhost", "evil.localhost"])
def test_a_page_of_another_origin_does_nothing_and_learns_nothing(
    stack: LocalStack, browser: Browser, elsewhere: int, site: str
) -> None:
    assert stack.host is not None
    before = contents(stack.client)
    gate, host = stack.endpoint_url, f"http://127.0.0.1:{stack.host.port}"
    page = Visitor(browser).visit(f"http://{site}:{elsewhere}/")
    others = [url for url in listeners() if url not in (host, f"http://127.0.0.1:{elsewhere}")]
    assert others, "the runtimes listen"
    learned = attack(page, gate, host, others)
    assert len(learned) > 20
    assert [each for each in learned if each[1] not in ("error", "opaque")] == []
    assert contents(stack.client) == before
    assert_it_works(stack)


def test_a_rebound_name_gains_nothing(stack: LocalStack, browser: Browser) -> None:
    """DNS rebinding: for the browser, page and emulator have the same origin."""
    assert stack.host is not None
    before = contents(stack.client)
    port = stack.endpoint_url.rpartition(":")[2]
    page = Visitor(browser).pretend(f"http://{REBOUND}:{port}/", "<!doctype html><title>before</title><body>")
    learned = attack(page, f"http://{REBOUND}:{port}", f"http://{REBOUND}:{stack.host.port}", [])
    assert {each[2] for each in learned} <= {0, 403}
    assert "unit-input" not in json.dumps(learned)
    assert contents(stack.client) == before


def test_a_presigned_url_opens_in_the_browser(stack: LocalStack, browser: Browser) -> None:
    s3 = stack.client("s3")
    s3.put_object(Bucket="unit-output", Key="note.txt", Body=b"for whoever has the link", ContentType="text/plain")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "unit-output", "Key": "note.txt"})
    page = Visitor(browser).visit(url)
    assert page.js("document.body.textContent") == "for whoever has the link"
    s3.delete_object(Bucket="unit-output", Key="note.txt")


def test_without_the_gate_the_same_page_creates_a_function(browser: Browser, elsewhere: int, tmp_path: Path) -> None:
    """The attack is real: the emulator alone accepts it."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port), "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    emulator = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not is_ready(url):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        keys = Credentials("test", "test")
        aws_client(url, "s3", keys).create_bucket(Bucket="unit-input")
        page = Visitor(browser).visit(f"http://evil.localhost:{elsewhere}/")
        learned = attack(page, url, url, [])
        found = contents(partial(aws_client, url, credentials=keys))
        assert found["functions"] == ["evil"]
        assert "unit-input" in json.dumps(learned), "it read the list of buckets"
    finally:
        emulator.terminate()
        emulator.wait(60)


def assert_it_works(stack: LocalStack) -> None:
    """No event was stolen and no process was stopped: an invocation is answered."""
    answer = stack.client("lambda").invoke(FunctionName="video-splitting", Payload=_NOT_OURS)
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer, answer["Payload"].read()
