import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from castline.errors import ModelCorrupt, ModelNotFound
from castline.weights.download import fetch, repair
from castline.weights.downloads import DOWNLOADS

BODY = bytes(range(256)) * 4000
ENTRY = replace(
    DOWNLOADS["facenet-vggface2"][0],
    title="a test model",
    file="model.bin",
    max_bytes=2 * len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
)


class Hub(ThreadingHTTPServer):
    """A model hub that behaves as the path says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.release = threading.Event()
        self.requests = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests += 1
        behaviour = self.path.strip("/")
        if behaviour == "hang":
            self.server.release.wait(600)
            self.close_connection = True
            return
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        body = {"corrupt": BODY[:-1] + b"?", "endless": BODY * 3}.get(behaviour, BODY)
        self.send_response(200)
        if behaviour not in ("endless", "unsized"):
            self.send_header("Content-Length", str(10**12 if behaviour == "huge" else len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if behaviour in ("short", "huge", "stall") else body)
        if behaviour == "stall":
            self.wfile.flush()
            self.server.release.wait(600)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    for behaviour in ("good", "moved", "unsized", "corrupt", "short", "huge", "endless", "missing", "hang", "stall"):
        monkeypatch.setitem(DOWNLOADS, behaviour, (replace(ENTRY, url=server.url(behaviour)),))
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("behaviour", ["good", "moved", "unsized"])
def test_a_file_is_fetched_once(hub, tmp_path, behaviour):
    folder = tmp_path / "new" / "models"
    seen = []
    path = fetch(behaviour, folder, lambda received, total: seen.append((received, total)))
    assert path == folder / "model.bin"
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), None if behaviour == "unsized" else len(BODY))
    requests = hub.requests
    assert fetch(behaviour, folder) == path
    assert hub.requests == requests
    assert [entry.name for entry in folder.iterdir()] == ["model.bin"]


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        ("corrupt", ModelCorrupt, "is not the file it should be: SHA-256"),
        ("short", ModelCorrupt, "was cut short: 512000 of 1024000 bytes"),
        ("huge", ModelCorrupt, "has 1000000000000 bytes, over the limit"),
        ("endless", ModelCorrupt, "is over the limit of 2048000 bytes"),
        ("missing", ModelNotFound, "answered 404 to the request for"),
    ],
)
def test_a_failed_download_leaves_no_file(hub, tmp_path, behaviour, error, message):
    with pytest.raises(error, match=message):
        fetch(behaviour, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_files_make_a_folder(hub, tmp_path, monkeypatch):
    files = [replace(ENTRY, url=hub.url("good"), file=f"net/{name}") for name in ("config.json", "model.bin")]
    monkeypatch.setitem(DOWNLOADS, "several", tuple(files))
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_bytes(BODY)
    assert fetch("several", tmp_path) == tmp_path / "net"
    assert hub.requests == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == {
        "config.json": BODY,
        "model.bin": BODY,
    }


def test_only_damaged_files_are_repaired(hub, tmp_path):
    file = tmp_path / "model.bin"
    assert not repair("good", tmp_path)  # a missing file is not damaged
    file.write_bytes(BODY)
    assert not repair("good", tmp_path)
    file.write_bytes(BODY[:-1])
    assert repair("good", tmp_path)
    assert file.read_bytes() == BODY
    assert hub.requests == 1
    assert not repair("a model of somebody's own", tmp_path)


def test_a_file_that_cannot_be_repaired_stays_as_it_is(hub, tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(BODY[:-1])
    with pytest.raises(ModelCorrupt):
        repair("corrupt", tmp_path)
    assert file.read_bytes() == BODY[:-1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.bin"]


def test_a_hub_that_hangs_costs_under_two_seconds(hub, tmp_path):
    start = time.monotonic()
    with pytest.raises(ModelNotFound, match=r"127\.0\.0\.1:\d+ did not answer within 1\.8 s \(a test model\)"):
        fetch("hang", tmp_path)
    assert time.monotonic() - start < 60  # not as long as the server is silent


def test_a_hub_that_falls_silent_is_abandoned(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("castline.weights.download.STALL_TIMEOUT_S", 0.3)
    with pytest.raises(ModelNotFound, match=r"stopped sending model\.bin after"):
        fetch("stall", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_refuses_costs_nothing(hub, tmp_path, monkeypatch):
    closed = Hub()
    monkeypatch.setitem(DOWNLOADS, "closed", (replace(ENTRY, url=closed.url("good")),))
    closed.server_close()
    start = time.monotonic()
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        fetch("closed", tmp_path)
    assert time.monotonic() - start < 60


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ModelNotFound, match="no download for 'eigenfaces'; known: facenet-vggface2"):
        fetch("eigenfaces", tmp_path)


def test_every_entry_is_bounded_encrypted_and_pinned():
    assert len(sorted(DOWNLOADS)) > 30
    for files in DOWNLOADS.values():
        for entry in files:
            assert entry.url.startswith("https://")
            assert entry.max_bytes < 5 * 2**30
            assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
            assert "/main/" not in entry.url.replace("/main/whisper/models/", "/")


def test_the_reference_implementation_pins_the_same_digests():
    import whisper

    ours = {name.partition(":")[2]: files[0].url for name, files in DOWNLOADS.items() if name.startswith("openai-")}
    assert ours == {name: url for name, url in whisper._MODELS.items() if name not in ("large", "turbo")}
    assert all(files[0].sha256 in files[0].url for name, files in DOWNLOADS.items() if name.startswith("openai-"))


def test_the_reference_names_are_those_that_faster_whisper_knows():
    from faster_whisper.utils import _MODELS

    for name, files in DOWNLOADS.items():
        if name.startswith("faster-whisper:"):
            assert _MODELS[name.partition(":")[2]] in files[0].url
