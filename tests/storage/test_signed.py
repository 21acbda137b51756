"""Pieces by a signed URL from a real server: the same bytes, and after any failure an ordinary request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from castline import aws
from castline.records import ObjectInfo
from castline.storage import S3Store

_BODY = bytes(range(256)) * 4
_INFO = ObjectInfo(key="week 1/Été + party.MP4", size=len(_BODY), etag="e1")
_KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret"}
Trouble = Callable[[BaseHTTPRequestHandler, bytes], bool]


class S3:
    """Answers ranges of one object. ``trouble`` may answer a signed request itself, and says whether it did."""

    def __init__(self) -> None:
        self.signed: list[str] = []
        self.ordinary: list[str] = []
        self.trouble: Trouble = lambda _handler, _piece: False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                by_url = "X-Amz-Signature=" in self.path
                (outer.signed if by_url else outer.ordinary).append(self.path)
                first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                piece = _BODY[first : last + 1]
                if by_url and outer.trouble(self, piece):
                    return
                if self.headers["If-Match"] != '"e1"':
                    answer(self, 412, b"<Error><Code>PreconditionFailed</Code></Error>")
                else:
                    answer(self, 206, piece)

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None) -> bool:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.send_header("ETag", '"e1"')
    handler.end_headers()
    handler.wfile.write(body)
    return True


def cut_off(handler: BaseHTTPRequestHandler, piece: bytes) -> bool:
    answer(handler, 206, piece[:-1], len(piece))
    handler.close_connection = True
    return True


@pytest.fixture
def s3() -> Iterator[S3]:
    made = S3()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def store(s3: S3) -> S3Store:
    return S3Store(aws.client("s3", endpoint=s3.url, keys=_KEYS))


def test_many_pieces_of_an_object_are_signed_once(s3: S3, store: S3Store) -> None:
    for at in range(0, len(_BODY), 100):
        assert store.read("b", _INFO, at, 100) == _BODY[at : at + 100]
    assert len(s3.signed) == 11
    assert len(set(s3.signed)) == 1
    assert not s3.ordinary
    assert store.read("b", _INFO.model_copy(update={"etag": "e0"}), 0, 1) is None  # replaced meanwhile
    assert len(set(s3.signed)) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        lambda handler, _: answer(handler, 403, b"<Error><Code>AccessDenied</Code></Error>"),
        lambda handler, _: answer(handler, 503, b"<Error><Code>SlowDown</Code></Error>"),
        lambda handler, piece: answer(handler, 200, piece),
        lambda handler, piece: answer(handler, 206, piece[:-1]),
        cut_off,
        lambda handler, _: bool(handler.connection.shutdown(2)) or setattr(handler, "close_connection", True) is None,
    ],
    ids=["denied", "slow down", "not a range", "short", "cut off", "hung up"],
)
def test_after_a_failure_an_ordinary_request_is_made(s3: S3, store: S3Store, trouble: Trouble) -> None:
    s3.trouble = trouble
    for at in range(0, 30, 3):
        assert store.read("b", _INFO, at, 3) == _BODY[at : at + 3]
    assert len(s3.ordinary) == 10
    assert len(s3.signed) == 8, "after so many failures in a row it is no longer tried"


def test_occasional_failures_change_nothing(s3: S3, store: S3Store) -> None:
    s3.trouble = lambda handler, _: len(s3.signed) % 3 == 0 and answer(handler, 500, b"")
    for at in range(60):
        assert store.read("b", _INFO, at, 1) == _BODY[at : at + 1]
    assert (len(s3.signed), len(s3.ordinary)) == (60, 20)


def test_no_signature_is_logged(s3: S3, store: S3Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        s3.trouble = cut_off
        assert store.read("b", _INFO, 0, 3) == _BODY[:3]
    assert "Signature" not in caplog.text
