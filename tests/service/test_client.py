"""castline-transcribe, with the published arguments and environment, against a service and an S3."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from castline.cli import transcribe
from castline.cli.transcribe import app
from tests.answering import QuietHandler, answering
from tests.service.conftest import Bucket, Running, job

pytestmark = pytest.mark.usefixtures("needs_whisper")


@pytest.fixture
def ask(service: Running, monkeypatch: pytest.MonkeyPatch):
    """Runs a command as a user who is new in each test."""
    monkeypatch.setenv("TRANSCRIPTION_TOKEN", service.state.tokens.add("client"))
    monkeypatch.setenv("S3_ACCESS_KEY", "key")
    monkeypatch.setenv("S3_SECRET_KEY", "secret")
    for found in service.state.jobs.page(service.state.tokens.user_of(service.admin), 0, 100):  # type: ignore[arg-type]
        service.state.jobs.cancel_or_delete(found.id)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [service.url, *map(str, arguments)])

    return run


@pytest.mark.parametrize(("command", "engine"), [("whisper", "openai-whisper"), ("whispercpp", "whisper.cpp")])
def test_a_file_in_a_bucket_is_transcribed(ask, bucket: Bucket, clip: Path, command: str, engine: str) -> None:
    bucket.files["sounds/talks/clip.flac"] = clip.read_bytes()
    extra = ("--csv", "a.csv") if command == "whispercpp" else ()
    found = ask(
        command, bucket.base, "sounds", "talks/clip.flac", "--output_bucket", "texts", "--priority", 2,
        "--language", "en", "--model", "tiny.en", "--json", "a.json", "--txt", bucket.url("elsewhere.txt"),
        "--meta", "a.meta", *extra, "--wait",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    decoder = json.JSONDecoder()
    options, end = decoder.raw_decode(found.stdout)
    made, _ = decoder.raw_decode(found.stdout[end:].lstrip())
    assert options["engine"] == engine
    assert options["priority"] == 2 == made["priority"]
    assert list(options) == sorted(options)
    assert (made["state"], made["owner"]) == ("finished", "client")
    signed = urlsplit(options["input"])
    query = parse_qs(signed.query)
    assert signed.path == "/sounds/talks/clip.flac"  # path style
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["604799"]
    assert "us-east-1/s3" in query["X-Amz-Credential"][0]
    paths = {urlsplit(path).path for path, _ in bucket.puts}
    assert paths == {"/texts/a.json", "/elsewhere.txt", "/texts/a.meta"} | ({"/texts/a.csv"} if extra else set())


def test_jobs_are_listed_shown_deleted_and_purged(ask, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job(bucket, "nothing")))
    made = [json.loads(ask("submit", tmp_path / "job.json").stdout) for _ in range(3)]
    listed = json.loads(ask("list").stdout)
    assert [each["id"] for each in listed] == [each["id"] for each in made]
    assert json.loads(ask("list", "--json").stdout)[0]["id"] == made[0]["id"]
    assert json.loads(ask("info", made[0]["id"]).stdout)["owner"] == "client"
    ask("delete", made[0]["id"])
    assert ask("purge").exit_code == 0
    ask("purge")  # the first command canceled the running one
    assert json.loads(ask("list").stdout) == []
    gone = ask("info", made[0]["id"])
    assert gone.exit_code == 2
    assert "404: Job not found" in gone.stderr


@pytest.mark.parametrize("gone", [0, 503, 429], ids=["no answer", "503", "429"])
def test_who_waits_is_patient_with_a_service_that_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    """Two of its answers are missing; with no patience left, the third is the end."""
    monkeypatch.setattr(transcribe, "_POLL_S", 0.0)
    monkeypatch.setenv("TRANSCRIPTION_TOKEN", "ada:word")
    states = ["running", "", "", "running", "", "", "finished"]
    left = iter(states)

    class Service(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(200, "queued")

        def do_GET(self) -> None:
            state = next(left)
            if state or gone:
                self._say(200 if state else gone, state)

        def _say(self, status: int, state: str) -> None:
            self.say(status, {"id": "1", "state": state, "message": "", "detail": "later"})

    (tmp_path / "job.json").write_text("{}")
    with answering(Service) as url:
        wait = [url, "submit", str(tmp_path / "job.json"), "--wait"]
        found = CliRunner().invoke(app, wait)
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout)["state"] == "finished"
        left = iter(states)
        monkeypatch.setattr(transcribe, "_PATIENCE_S", -1.0)
        assert CliRunner().invoke(app, wait).exit_code == 2


def test_a_failed_job_is_an_exit_code(ask, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job(bucket, "nothing")))
    found = ask("submit", tmp_path / "job.json", "--wait")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["state"] == "error"


def test_locking_is_for_administrators(ask, service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "403: Unauthorized" in ask("lock", "on").stderr
    monkeypatch.setenv("TRANSCRIPTION_TOKEN", service.admin)
    assert json.loads(ask("lock", "on").stdout) == {"ok": True}
    assert service.state.jobs.locked
    assert json.loads(ask("lock", "off").stdout) == {"ok": True}
    assert not service.state.jobs.locked


def test_a_missing_service_is_one_line() -> None:
    found = CliRunner().invoke(app, ["http://127.0.0.1:9", "list"])
    assert found.exit_code == 2
    assert "no answer from http://127.0.0.1:9" in found.stderr
