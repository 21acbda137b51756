"""``castline tokens`` and ``castline task``, and what ``castline serve`` says when it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from castline.cli import app
from castline.errors import ServiceError
from castline.service.gpus import gpus_of_workers
from castline.service.published import read_published
from castline.service.settings import ServiceSettings, service_settings
from castline.settings import Settings, settings
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
    assert "1 token\n" in run("tokens", "import", str(tmp_path / "users.txt")).stdout
    listed = run("tokens", "list").stdout
    assert re.search(r"ada\s+admin", listed) and "bob" in listed
    secret = added.partition(":")[2]
    assert secret not in listed
    assert all(secret.encode() not in path.read_bytes() for path in folder.iterdir())
    assert folder.stat().st_mode & 0o077 == 0
    assert run("tokens", "revoke", "bob").exit_code == 0
    assert run("tokens", "revoke", "bob").exit_code == 1
    assert run("tokens", "add", "a:b").exit_code == 2


def test_a_task_without_instructions_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEC_LANG", "xyz")
    found = run("task")
    assert found.exit_code == 2
    assert "not set, or not valid: BUCKET_NAME, OBJECT_PATH, DEC_LANG" in found.stderr


def test_its_folder_is_in_the_library_and_nothing_is_made_in_the_current_folder(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CASTLINE_SERVICE_FOLDER"}
    environment["XDG_DATA_HOME"] = str(tmp_path / "data")
    environment.pop("CASTLINE_STATE_DIR", None)
    for words in (["tokens", "add", "ada"], ["tokens", "add", "bob", "--library", str(tmp_path / "other")]):
        subprocess.run([sys.executable, "-m", "castline.cli", *words], cwd=here, env=environment, check=True)
    assert list(here.iterdir()) == []
    for library in (tmp_path / "data/castline", tmp_path / "other"):
        assert (library / "service/service.db").is_file()


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
        said, _ = serving.communicate(timeout=600)
    [token] = re.findall(r"me:[\w-]{43}", said)
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert "me" in run("tokens", "list").stdout and token.partition(":")[2] not in run("tokens", "list").stdout


def test_the_published_server_s_configuration_is_accepted(tmp_path: Path) -> None:
    """Its address, its users and its models; the database that it names is another program's, and is left alone."""
    port = free_port()
    for folder in ("var", "etc", "models/whisper.cpp", "models/openai-whisper"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/transcription.db").write_bytes(b"another program's")
    (tmp_path / "etc/users.txt").write_text("y:ada:word\n")
    (tmp_path / "models/whisper.cpp/ggml-small.en.bin").write_bytes(b"ggml")
    (tmp_path / "models/openai-whisper/tiny.pt").write_bytes(b"torch")
    config = tmp_path / "etc/server.conf"
    config.write_text(
        f"---\nserver:\n  port: {port}\n  host: 127.0.0.1\n\nfiles:\n  database: var/transcription.db\n  log_dir: var\n"
        "  models_dir: models\n  users: etc/users.txt\n"
    )
    serving = subprocess.Popen(
        [sys.executable, "-m", "castline.cli", "serve", "--config", str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        until(lambda: _answers(port) or serving.poll() is not None)
        found = httpx.get(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": "Bearer ada:word"})
    finally:
        serving.send_signal(signal.SIGTERM)
        said, _ = serving.communicate(timeout=600)
    assert "1 token from" in said and "there was no token" not in said
    names = {each["id"] for each in found.json()["data"]}
    assert {f"{engine}:{model}" for engine, model, package in
            (("whisper.cpp", "small.en", "_pywhispercpp"), ("openai-whisper", "tiny", "whisper")) if find_spec(package)
            } <= names  # fmt: skip
    assert (tmp_path / "var/transcription.db").read_bytes() == b"another program's"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("server: {port: 99999}", "server.port: Input should be less than or equal to 65535"),
        ("servers: {}", "servers: Extra inputs are not permitted"),
        ("[" * 5000, "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("- 1", "Input should be"),
        ("!!python/object/apply:os.system [id]", "is not YAML"),
        ("#" * 70_000, "is larger than 64 KiB"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_any_other_configuration_is_refused(tmp_path: Path, body: str | None, message: str) -> None:
    config = tmp_path / "server.conf"
    if body is not None:
        config.write_text(body)
    with pytest.raises(ServiceError) as caught:
        read_published(config, ServiceSettings(), Settings())
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("variables", "there", "message"),
    [
        ({"CASTLINE_DEVICE": "cuda"}, 0, "CASTLINE_DEVICE=cuda: CTranslate2 sees no GPU here"),
        ({"CASTLINE_DEVICE": "cuda", "CASTLINE_SERVICE_GPUS": "0,2"}, 2,
         "CASTLINE_SERVICE_GPUS=0,2: CTranslate2 sees no GPU 2 here"),
        ({"CASTLINE_DEVICE": "auto", "CASTLINE_SERVICE_GPUS": "0"}, 0,
         "CASTLINE_SERVICE_GPUS=0: CTranslate2 sees no GPU 0 here"),
        ({"CASTLINE_SERVICE_GPUS": "0"}, 1,
         "CASTLINE_SERVICE_GPUS needs CASTLINE_DEVICE=cuda; without it, engines use the processor"),
        ({"CASTLINE_DEVICE": "cuda", "CASTLINE_SERVICE_GPUS": "first"}, 1,
         "CASTLINE_SERVICE_GPUS: Value error, 'first' is not a GPU's number or name"),
        ({"CASTLINE_DEVICE": "tpu"}, 1, "CASTLINE_DEVICE=tpu: input should be 'cpu', 'cuda' or 'auto'"),
    ],
)  # fmt: skip
def test_a_missing_gpu_is_reported_at_the_start(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], there: int, message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("castline.service.gpus.gpus_seen", _gpus(there))
    settings.cache_clear()
    try:
        refused = run("serve", "--port", "0")
    finally:
        settings.cache_clear()
    assert (refused.exit_code, " ".join(refused.stderr.split())) == (2, f"error {message}")


@pytest.mark.parametrize(
    ("device", "gpus", "workers", "there", "found"),
    [
        ("cuda", ("0", "1"), 0, 2, ["0", "1"]),
        ("cuda", ("0", "1"), 4, 2, ["0", "1", "0", "1"]),
        ("auto", ("GPU-5a-b",), 0, 1, ["GPU-5a-b"]),
        ("cuda", (), 0, 2, [""]),
        ("cuda", (), 3, 2, ["", "", ""]),
        ("auto", (), 0, 0, ["", ""]),
        ("cpu", (), 0, 2, ["", ""]),
    ],
)
def test_a_worker_for_each_gpu_or_core(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: tuple[str, ...], workers: int, there: int, found: list[str]
) -> None:
    monkeypatch.setattr("castline.service.gpus.gpus_seen", _gpus(there))
    monkeypatch.setattr("castline.service.gpus.cores", lambda: 2)
    asked = ServiceSettings(gpus=gpus, workers=workers)
    assert list(gpus_of_workers(asked, Settings(device=device))) == found


def _gpus(there: int) -> Callable[..., int]:
    """What a process sees on a machine with so many GPUs."""
    return lambda gpu="": (int(int(gpu) < there) if gpu.isdigit() else 1) if gpu else there


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False
