"""What `run` prints before it works, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from castline.cli import connect as connecting
from castline.cli import everyday, operations
from castline.cli import main as commands
from castline.cli import run as running
from castline.cli.connect import Connection
from castline.engines.plugins import ROLES
from castline.engines.report import _TITLES
from castline.local.engine import ACCOUNT
from castline.operations.progress import MediaProgress
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.cli.conftest import Deployment


@pytest.mark.parametrize(
    ("deployment", "options", "unused"),
    [
        ("off", [None], {"voice_encoder", "active_speaker"}),
        ("voices", [None], {"active_speaker"}),
        ("auto", [None], set()),
        ("off", [None, b'{"speakers": "auto"}'], set()),
        ("auto", [b'{"speakers": "off"}', b'{"speakers": "voices"}'], {"active_speaker"}),
    ],
)
def test_the_header_names_the_engines_that_will_be_used(
    deployment: str,
    options: list[bytes | None],
    unused: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nets = dict.fromkeys(ROLES, "mine")
    settings = Settings(models_dir=tmp_path, state_dir=tmp_path, speakers=deployment, **nets)  # type: ignore[arg-type]
    monkeypatch.setattr("castline.engines.report.make_ready", lambda *_: None)
    running._say_engines(options, settings)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == f"Castline  {len(options)} file{'s' * (len(options) > 1)}, engines on this machine:"
    assert lines == [f"  {_TITLES[role]}: mine, as asked for" for role in ROLES if role not in unused]


@pytest.fixture
def run(stack: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`castline run` on the deployment in memory, which works while the command waits."""
    session = SimpleNamespace(started=True, differences=list)
    library = stack.settings.model_copy(update={"state_dir": tmp_path / "library"})

    def watched(_: object, look: Callable[[], list[MediaProgress]]) -> list[MediaProgress]:
        stack.works()
        return look()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "settings", lambda: library)
    monkeypatch.setattr(running, "_say_engines", lambda *_: running.console.print("engines on this machine"))
    monkeypatch.setattr(running, "local_session", lambda *_, **__: (stack.there, session))
    monkeypatch.setattr(running, "watch", watched)
    return lambda *words: CliRunner().invoke(commands.app, ["run", *words])


def test_stdout_is_all_json(run: Callable[..., Result], tmp_path: Path, odd_media: dict[str, Path]) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(odd_media["both.mp4"].read_bytes())
    (folder / "b.mp4").write_bytes(b"a letter")
    (folder / "notes.rmvb").write_bytes(b"what nobody can read")
    done = run("film", "--json")
    assert done.exit_code == 1, done.output
    good, bad = json.loads("\n".join(line for line in done.stdout.splitlines() if not line.startswith('{"level"')))
    assert (good["media"], good["state"], good["problem"]) == ("a.mp4", "complete", "")
    assert Path(good["result"]).is_file() and Path(good["report"]).is_file()
    assert (bad["media"], bad["state"]) == ("b.mp4", "failed")
    assert bad["problem"]
    assert "engines on this machine" in done.stderr
    assert "left out (not a media suffix): notes.rmvb\n" in done.stderr
    assert (tmp_path / "results" / "index.html").is_file()
    again = run("film/a.mp4", "--json")
    assert again.exit_code == 0 and "already has its result" in again.stderr


def test_broken_objects_in_the_library_harm_no_other_file(
    run: Callable[..., Result], stack: Deployment, odd_media: dict[str, Path]
) -> None:
    _damage(stack)
    done = run(str(odd_media["both.mp4"]))
    assert done.exit_code == 0, done.output
    assert "report: results/both.mp4/report.html" in done.output


_BROKEN = ("sidecar.mp4", "manifest.mp4", "result.mp4")


def _damage(store: Any) -> None:
    """Recordings with a broken sidecar, a broken manifest and a broken result."""
    settings = Settings()
    for media in _BROKEN:
        store.put(settings.input_bucket, media, b"x")
    store.put(settings.input_bucket, "sidecar.mp4.json", b"[" * 5000)
    store.put(settings.stage1_bucket, "manifest.mp4/0123456789abcdef/manifest.json", b'{"units": [' * 300)
    store.put(settings.output_bucket, "result.mp4/result.json", b"\xff{")


@pytest.fixture(params=["over HTTP", "in its files"])
def library(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    """A library that contains broken objects, for the commands."""
    store, config = MemoryStore(), Settings(state_dir=tmp_path)
    _damage(store)
    store.put(config.input_bucket, "good.mp4", b"x")
    if request.param == "over HTTP":
        there = Connection(store, config, "memory")
        monkeypatch.setattr(everyday, "connect", lambda *_, **__: there)
    else:
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(connecting, "settings", lambda: config)
        for (bucket, key), body in store.objects.items():
            path = tmp_path / "s3" / ACCOUNT / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    yield store


def test_status_lists_what_is_broken_beside_what_is_fine(library: MemoryStore) -> None:
    done = CliRunner().invoke(commands.app, ["status"])
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert {"good.mp4", *_BROKEN} <= lines.keys()
    assert "waiting" in lines["good.mp4"]


class _Client:
    """Accepts events, and has no queues, as this deployment has none."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def get_queue_url(self, **_: object) -> None:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "GetQueueUrl")

    def invoke(self, **call: Any) -> None:
        self.sent.append(json.loads(call["Payload"])["Records"][0]["s3"]["object"]["key"])


def test_reconcile_and_catching_up_finish_whole_and_broken_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from castline.local import __main__ as controller

    store, client = MemoryStore(), _Client()
    _damage(store)
    store.put("castline-input", "good.mp4", b"x")
    there = Connection(store, Settings(), "memory", lambda _: client)
    monkeypatch.setattr(operations, "connect", lambda *_, **__: there)
    done = CliRunner().invoke(commands.app, ["reconcile", "--yes"])
    assert done.exit_code == 0, done.output
    assert sorted(client.sent) == sorted(["good.mp4", *_BROKEN])
    sent, client.sent = client.sent, []
    monkeypatch.setattr("castline.storage.S3Store", lambda _: store)
    controller._catch_up(SimpleNamespace(client=lambda _: client), Settings())  # type: ignore[arg-type]
    assert client.sent == sent


def test_rerun_sends_the_upload_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = MemoryStore(), _Client()
    store.put("castline-input", "talk.mp4", b"x")
    there = Connection(store, Settings(), "memory", lambda _: client)
    monkeypatch.setattr(operations, "connect", lambda *_, **__: there)
    done = CliRunner().invoke(commands.app, ["rerun", "talk.mp4"])
    assert (done.exit_code, client.sent) == (0, ["talk.mp4"])
    assert "talk.mp4 is being processed again" in done.output
    missing = CliRunner().invoke(commands.app, ["rerun", "tak.mp4"])
    assert missing.exit_code == 2
    assert "there is no recording tak.mp4; did you mean talk.mp4?" in missing.stderr


@pytest.mark.parametrize(
    "words", [("upload", "talk.mp4"), ("redrive", "--yes"), ("reconcile", "--yes"), ("rerun", "talk.mp4")]
)
def test_after_a_run_commands_start_the_stack_until_their_work_is_done(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    config, store, client = Settings(state_dir=tmp_path / "library"), MemoryStore(), _Client()
    (config.state_dir / "s3" / ACCOUNT / config.input_bucket).mkdir(parents=True)
    (tmp_path / "talk.mp4").write_bytes(b"x")
    store.put(config.input_bucket, "talk.mp4", b"x")
    started: list[str] = []

    def start(_: Settings, keep: str = "", **__: object) -> tuple[Connection, object]:
        started.append(keep)
        return Connection(store, config, "local stack", lambda _: client), None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connecting, "settings", lambda: config)
    monkeypatch.setattr(connecting, "local_session", start)
    monkeypatch.setattr(operations, "queue_url", lambda *_: "dead")
    monkeypatch.setattr(operations, "read_dead_letters", lambda *_: [])
    monkeypatch.setattr(operations, "put_back", lambda *_: None)
    done = CliRunner().invoke(commands.app, list(words))
    assert done.exit_code == 0, done.output
    assert started == ["busy"]


def test_up_twice_and_down_are_what_a_person_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Settings(state_dir=tmp_path)
    running_now = SimpleNamespace(endpoint_url="http://127.0.0.1:4566", settings=config)
    monkeypatch.setattr(everyday, "settings", lambda: config)
    monkeypatch.setattr(
        everyday, "local_session", lambda *_, **__: (None, SimpleNamespace(started=False, stack=running_now))
    )
    up = CliRunner().invoke(commands.app, ["up"])
    assert (up.exit_code, up.output) == (0, "up  http://127.0.0.1:4566 was running already\n")
    down = CliRunner().invoke(commands.app, ["down"])
    assert (down.exit_code, down.output) == (0, f"no stack is running in {tmp_path}\n")
    monkeypatch.setattr("castline.local.stack.running_stack", lambda _: running_now)
    for stopped, said in ((True, "down\n"), (False, "another command is using it; it stops when that ends\n")):
        monkeypatch.setattr("castline.local.session.stop_unless_used", lambda _, stopped=stopped: stopped)
        down = CliRunner().invoke(commands.app, ["down"])
        assert (down.exit_code, down.output) == (0, said)


def test_status_waits_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    store.put("castline-input", "talk.mp4", b"x")
    asked: list[bool] = []

    def found(_: object, *, read: bool) -> Connection:
        asked.append(read)
        return Connection(store, Settings(), "memory")

    def watched(_: object, look: Callable[[], list[MediaProgress]]) -> list[MediaProgress]:
        assert [item.state for item in look()] == ["waiting"]
        return [MediaProgress("talk.mp4", "complete", (1, 1), (1, 1))]

    monkeypatch.setattr(everyday, "connect", found)
    monkeypatch.setattr(everyday, "watch", watched)
    assert "waiting" in CliRunner().invoke(commands.app, ["status"]).output
    done = CliRunner().invoke(commands.app, ["status", "--wait"])
    assert done.exit_code == 0
    assert "complete" in done.output
    assert asked == [True, False], "only waiting needs a working stack"
