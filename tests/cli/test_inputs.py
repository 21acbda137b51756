"""What `run` accepts as inputs: files, folders, addresses; and names that are taken."""

from __future__ import annotations

import io
import threading
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.response import addinfourl

import boto3
import pytest
from moto import mock_aws

from castline.cli.inputs import inputs, refuse_others
from castline.errors import CastlineError, KeyLayoutError, MediaTooLarge, NotMedia, OptionsError
from castline.settings import Settings
from castline.storage import MemoryStore

_BODY = b"x" * 3_000_000


class _Web(BaseHTTPRequestHandler):
    """``/clip.mp4`` and others, each odd in the way its name says."""

    def do_GET(self) -> None:
        where = {"/moved.mp4": "/clip.mp4", "/local.mp4": "file:///etc/hostname", "/round.mp4": "/round.mp4"}
        if self.path in where:
            self.send_response(302)
            self.send_header("Location", where[self.path])
            self.end_headers()
            return
        self.send_response(404 if self.path == "/gone.mp4" else 200)
        if self.path != "/endless.mp4":
            self.send_header("Content-Length", str(len(_BODY) * (2 if self.path == "/short.mp4" else 1)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _found(what: str, name: str = "", **settings: int) -> tuple[str, bytes, int]:
    """Key and body of one input, and the number of bytes announced."""
    arrived: list[int] = []
    with inputs(what, name, None, Settings(**settings), lambda size, _: arrived.append(size)) as given:
        ((path, key),) = given.files
        return key, path.read_bytes(), sum(arrived)


def test_addresses_are_fetched(web: str) -> None:
    assert _found(f"{web}/clip.mp4?token=1") == ("clip.mp4", _BODY, len(_BODY))
    assert _found(f"{web}/moved.mp4")[:2] == ("moved.mp4", _BODY)
    assert _found(f"{web}/clip", "week 1/talk.mp4")[0] == "week 1/talk.mp4"
    assert _found(f"{web}/endless.mp4")[1] == _BODY


def test_https_is_fetched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: object, request: urllib.request.Request) -> addinfourl:
        length = Message()
        length["Content-Length"] = str(len(_BODY))
        found = addinfourl(io.BytesIO(_BODY), length, request.full_url, 200)
        found.msg = "OK"  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", answer)
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert _found("https://example.org/clip.mp4?token=1") == ("clip.mp4", _BODY, len(_BODY))


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("gone.mp4", OptionsError, "404"),
        ("short.mp4", OptionsError, "3000000 of 6000000"),
        ("local.mp4", OptionsError, "file"),
        ("round.mp4", OptionsError, "could not be fetched"),
        ("clip", NotMedia, "--as NAME.mp4"),
    ],
)
def test_an_address_that_cannot_be_fetched_is_one_line(
    path: str, error: type[CastlineError], said: str, web: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        _found(f"{web}/{path}")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("path", ["clip.mp4", "endless.mp4"])
def test_no_more_bytes_are_fetched_than_accepted(path: str, web: str) -> None:
    with pytest.raises(MediaTooLarge, match="CASTLINE_MAX_BYTES"):
        _found(f"{web}/{path}", max_bytes=1_000_000)


@pytest.mark.parametrize(
    "what", ["file:///etc/passwd", "ftp://host/a.mp4", "javascript://a.mp4", "http://[::1/a.mp4", ""]
)
def test_other_addresses_are_refused(what: str) -> None:
    with pytest.raises(OptionsError):
        _found(what)


@mock_aws
def test_an_object_of_s3_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="elsewhere")
    s3.put_object(Bucket="elsewhere", Key="week 1/a.mp4", Body=b"media")
    assert _found("s3://elsewhere/week 1/a.mp4")[:2] == ("a.mp4", b"media")
    with pytest.raises(NotMedia, match="does not exist"):
        _found("s3://elsewhere/b.mp4")
    with pytest.raises(MediaTooLarge):
        _found("s3://elsewhere/week 1/a.mp4", max_bytes=2)


def test_names_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "week 1").mkdir()
    (tmp_path / "week 1" / "a.mp4").write_bytes(b"a")
    assert _found(str(tmp_path / "week 1" / "a.mp4"), "b.mp4")[0] == "b.mp4"
    assert _found(str(tmp_path), "course/")[0] == "course/week 1/a.mp4"
    with pytest.raises(OptionsError, match="suffix"):
        _found(str(tmp_path / "week 1" / "a.mp4"), "b")
    with pytest.raises(KeyLayoutError):
        _found(str(tmp_path / "week 1" / "a.mp4"), "../b.mp4")


def test_results_and_hidden_folders_are_not_inputs(tmp_path: Path) -> None:
    for place in ("a.mp4", ".castline/s3/a.mp4", "results/a.mp4/a.mp4", "old/a.mp4/a.mp4"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    for name in ("result.json", "report.html"):
        (tmp_path / "old" / "a.mp4" / name).write_text("{}")
    with inputs(str(tmp_path), "", tmp_path / "results", Settings(), lambda *_: None) as given:
        assert [key for _, key in given.files] == ["a.mp4"]


def test_another_recording_of_the_same_name_is_refused_but_not_the_same_one(tmp_path: Path) -> None:
    store, settings = MemoryStore(), Settings()
    first, second = tmp_path / "a" / "IMG_1.mp4", tmp_path / "b" / "IMG_1.mp4"
    for path, body in ((first, b"one"), (second, b"two")):
        path.parent.mkdir()
        path.write_bytes(body)
    refuse_others([(first, "IMG_1.mp4")], store, settings)
    store.upload(settings.input_bucket, "IMG_1.mp4", first)
    refuse_others([(first, "IMG_1.mp4")], store, settings)
    with pytest.raises(
        OptionsError, match=r"another recording is already called IMG_1.mp4: rename this one with --as b/IMG_1.mp4"
    ):
        refuse_others([(second, "IMG_1.mp4")], store, settings)
