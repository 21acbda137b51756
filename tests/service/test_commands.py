"""``castline tokens`` and ``castline task``, and what ``castline serve`` says when it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from castline.cli import app
from castline.service.settings import service_settings
from tests.service.conftest import free_port, until


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CASTLINE_SERVICE_FOLDER", str(tmp_path / "service"))
    service_settings.cache_clear()
    yield tmp_path / "service"
    service_settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_tokens_are_added_listed_imported_and_revoked(tmp_path: Path, folder: Path) -> None:
    added = run("tokens", "add", "ada", "--admin").stdout.strip()
    assert re.fullmatch(r"ada:[\w-]{43}", added)
    (tmp_path / "users.txt").write_text("n:bob:word\n")
    assert "1 tokens" in run("tokens", "import", str(tmp_path / "users.txt")).stdout
    listed = run("tokens", "list").stdout
    assert re.search(r"ada\s+yes", listed) and "bob" in listed
    secret = added.partition(":")[2]
    assert secret not in listed
    assert all(secret.encode() not in path.read_bytes() for path in folder.iterdir())
    assert folder.stat().st_mode & 0o077 == 0
    assert run("tokens", "revoke", "bob").exit_code == 0
    assert run("tokens", "revoke", "bob").exit_code == 1
    assert run("tokens", "add", "a:b").exit_code == 2


def test_a_task_that_is_not_told_what_to_do_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEC_LANG", "xyz")
    found = run("task")
    assert found.exit_code == 2
    assert "not set, or not valid: BUCKET_NAME, OBJECT_PATH, DEC_LANG" in found.stderr


def test_the_first_start_makes_a_token() -> None:
    port = free_port()
    serving = subprocess.Popen(
        [sys.executable, "-m", "castline.cli", "serve", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=os.environ,
    )  # fmt: skip
    try:
        until(lambda: _answers(port))
    finally:
        serving.send_signal(signal.SIGTERM)
        said, _ = serving.communicate(timeout=60)
    [token] = re.findall(r"me:[\w-]{43}", said)
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert "me" in run("tokens", "list").stdout and token.partition(":")[2] not in run("tokens", "list").stdout


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False
