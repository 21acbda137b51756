"""A large file from a real browser straight into the bucket: across a lost connection, and across a reload."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from castline.local.access import aws_client
from castline.local.stack import LocalStack
from castline.service.pages.shelf import Deployment
from castline.settings import Settings
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.service.conftest import Running, running, service_settings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
__all__ = ["browser"]
_MB = 1024 * 1024
_SIZE = 40 * _MB  # three parts
_MIDDLE = 24 * _MB  # half of the second part


@pytest.fixture(scope="module")
def pipeline(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    config = make_settings(prefix="parts")
    with LocalStack(config, slots=1) as stack:
        yield attach(stack, config)


class Wire:
    """A connection between the browser and S3 that can be cut while bytes are in transit."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._there = threading.Event()
        self._there.set()
        self._ends: list[socket.socket] = []
        self._left: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def cut_after(self, size: int) -> None:
        """Break after so many more bytes have gone to S3, and stay broken."""
        self.cut.clear()
        self._left = size

    def mend(self) -> None:
        self._there.set()

    def close(self) -> None:
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._there.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [near, far]
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while block := here.recv(65536):
                if up and self._left is not None:
                    self._left -= len(block)
                    if self._left <= 0:
                        self._left = None
                        self._there.clear()
                        self._drop()
                        self.cut.set()
                        return
                there.sendall(block)
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def wire(pipeline: Any) -> Iterator[Wire]:
    made = Wire(urlsplit(pipeline.stack.endpoint_url).port or 0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def library(pipeline: Any, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    through = aws_client(wire.url, "s3", pipeline.stack.credentials)  # signs for the wire; all else goes directly

    class Straight:
        generate_presigned_url = through.generate_presigned_url

        def __getattr__(self, name: str) -> Any:
            return getattr(pipeline.stack.client("s3"), name)

    def client(service: str) -> Any:
        return Straight() if service == "s3" else pipeline.stack.client(service)

    there = Deployment(pipeline.store, pipeline.settings, "parts", client)
    service = service_settings(tmp_path_factory.mktemp("service"), pages_refresh_s=0.5)
    with running(service, pipeline.settings, lambda: there) as up:
        yield up


@pytest.fixture
def tab(browser: Browser, library: Running) -> Visitor:
    page = Visitor(browser)
    _open(page, library)
    return page


def _open(tab: Visitor, library: Running) -> None:
    tab.visit(f"{library.url}/")
    tab.wait("document.documentElement?.dataset.ready === 'true'")
    # Every part that is uploaded is noted, across reloads.
    tab.js(
        "(() => { const open = XMLHttpRequest.prototype.open; XMLHttpRequest.prototype.open = function (how, url) {"
        "const part = new URL(url, location).searchParams.get('partNumber');"
        "if (part) localStorage.setItem('put', `${localStorage.getItem('put') ?? ''}${part} `);"
        "return open.apply(this, arguments); }; })()"
    )


def _body() -> bytes:
    return bytes(at % 251 for at in range(251)) * (_SIZE // 251 + 1)


def _drop(tab: Visitor, name: str, seed: int = 0) -> None:
    """A file that the page makes itself, with equal bytes and times each time."""
    tab.js(
        f"(() => {{ const bytes = new Uint8Array({_SIZE}); for (let at = 0; at < bytes.length; at += 1)"
        f"bytes[at] = (at + {seed}) % 251; const files = new DataTransfer();"
        f"files.items.add(new File([bytes], {json.dumps(name)}, {{ lastModified: 1700000000000 }}));"
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })); })()"
    )


def _said(tab: Visitor) -> str:
    return str(tab.js("document.querySelector('#uploads .soft, #uploads .why')?.textContent ?? ''"))


def _parts(pipeline: Any, key: str) -> dict[int, str]:
    s3 = pipeline.stack.client("s3")
    found = s3.list_multipart_uploads(Bucket=pipeline.settings.input_bucket).get("Uploads", [])
    uploads = [each["UploadId"] for each in found if each["Key"] == key]
    if not uploads:
        return {}
    upload = uploads[-1]
    answer = s3.list_parts(Bucket=pipeline.settings.input_bucket, Key=key, UploadId=upload)
    return {part["PartNumber"]: part["ETag"] for part in answer.get("Parts", [])}


def _arrived(pipeline: Any, key: str) -> None:
    body = pipeline.store.get(pipeline.settings.input_bucket, key)
    assert body is not None and hashlib.sha256(body).digest() == hashlib.sha256(_body()[:_SIZE]).digest()
    assert _parts(pipeline, key) == {}


def _ends(tab: Visitor) -> None:
    tab.wait("document.querySelector('#uploads .soft')?.textContent === 'uploaded' || document.querySelector('.card')")


def test_a_connection_that_is_cut_in_the_middle_of_a_part(tab: Visitor, wire: Wire, pipeline: Any) -> None:
    key = "lost & <i>found</i>.mp4"
    wire.cut_after(_MIDDLE)
    _drop(tab, key)
    assert wire.cut.wait(120)
    tab.wait("document.querySelector('#uploads .soft')?.textContent.includes('connection broke')")
    assert _parts(pipeline, key).keys() == {1}
    wire.mend()
    _ends(tab)
    _arrived(pipeline, key)
    put = tab.js("localStorage.getItem('put')").split()
    assert (put.count("1"), put.count("3")) == (1, 1) and put.count("2") > 1, "uploaded parts were not sent again"
    assert not [each for each in tab.js("Object.keys(localStorage)") if each.startswith("castline")]


def test_a_reloaded_page_resumes_the_same_file(tab: Visitor, library: Running, wire: Wire, pipeline: Any) -> None:
    key = "reloaded.mp4"
    tab.js("localStorage.removeItem('put')")
    wire.cut_after(_MIDDLE)
    _drop(tab, key)
    assert wire.cut.wait(120)
    _open(tab, library)
    assert _parts(pipeline, key).keys() == {1}
    wire.mend()
    _drop(tab, key)
    _ends(tab)
    _arrived(pipeline, key)
    assert tab.js("localStorage.getItem('put')").split().count("1") == 1


def test_another_file_of_the_same_name_size_and_time_starts_over(
    tab: Visitor, library: Running, wire: Wire, pipeline: Any
) -> None:
    key = "twin.mp4"
    wire.cut_after(_MIDDLE)
    _drop(tab, key, seed=7)
    assert wire.cut.wait(120)
    _open(tab, library)
    wire.mend()
    _drop(tab, key)
    _ends(tab)
    body = pipeline.store.get(pipeline.settings.input_bucket, key)
    assert hashlib.sha256(body).digest() == hashlib.sha256(_body()[:_SIZE]).digest()


def test_an_upload_never_overwrites_a_recording_of_the_same_name(tab: Visitor, pipeline: Any) -> None:
    pipeline.store.put(pipeline.settings.input_bucket, "taken.mp4", b"mine")
    _drop(tab, "taken.mp4")
    tab.wait("!!document.querySelector('#uploads .why')")
    assert "already" in _said(tab)
    assert pipeline.store.get(pipeline.settings.input_bucket, "taken.mp4") == b"mine"
