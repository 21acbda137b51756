"""What holds for every command: one way to report errors, help that fits the terminal, and an order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from castline.cli import main as commands
from castline.settings import settings

#: What a command needs in order to begin.
_GIVEN = {
    "run": "talk.mp4",
    "upload": "talk.mp4",
    "watch": ".",
    "search": "budget",
    "people add": "Ada ada.jpg",
    "people add-voice": "Ada ada.wav",
    "people name": "talk.mp4 1 Ada",
    "people rename": "Ada Bob",
    "people merge": "Ada Bob",
    "people split": "Ada Bob 1.jpg",
    "people undo": "--yes",
    "people forget": "Ada --yes",
    "correct list": "talk.mp4",
    "correct set": "talk.mp4 1 x",
    "correct voice": "talk.mp4 1 Ada",
    "correct person": "talk.mp4 1 Ada",
    "correct undo": "talk.mp4",
    "correct history": "talk.mp4",
    "models fetch": "yunet",
    "eval faces": ".",
    "eval speech": "words.tsv",
    "eval voices": ".",
    "eval tracks": ".",
    "cost": "--duration 1h",
    "teardown": "--yes",
    "redrive": "--yes",
    "reconcile": "--yes",
    "rerun": "talk.mp4",
    "delete": "talk.mp4 --yes",
    "tokens add": "ada",
    "tokens revoke": "ada",
    "tokens import": "users",
}
#: Commands that complain about something else before they read the settings.
_ELSE_FIRST = {"preflight", "smoke", "teardown", "task", "eval voices"}


def _all() -> Iterator[tuple[str, Any]]:
    for name in commands.COMMANDS:
        command = commands._loaded(name)
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {each}", it) for each, it in inner.items())


NAMES = [name for name, _ in _all()]


@pytest.mark.parametrize("name", NAMES)
def test_an_unreadable_setting_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from castline.service.settings import service_settings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CASTLINE_THREADS", "-2")
    monkeypatch.setenv("CASTLINE_SERVICE_PORT", "abc")
    monkeypatch.setenv("CASTLINE_STATE_DIR", str(tmp_path / "library"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for file in ("talk.mp4", "ada.jpg", "ada.wav", "users"):
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / "words.tsv").write_text("file\treference\ntalk.mp4\tx\n")
    for person in ("ada", "bob"):
        (tmp_path / person).mkdir()
        for photo in ("1.jpg", "2.jpg"):
            (tmp_path / person / photo).write_bytes(b"x")
    settings.cache_clear()
    service_settings.cache_clear()
    try:
        done = CliRunner().invoke(commands.app, [*name.split(), *_GIVEN.get(name, "").split()])
    finally:
        settings.cache_clear()
        service_settings.cache_clear()
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.startswith("error ")
    named = "CASTLINE_THREADS=-2: " in done.stderr or "CASTLINE_SERVICE_PORT" in done.stderr
    assert named == (name not in _ELSE_FIRST), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize("width", [80, 140])
def test_help_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("", *NAMES):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(commands.app, [*name.split(), "--help"]).output)
        assert max(map(len, shown.splitlines())) <= width, name
        # An option whose name or value is truncated ends in an ellipsis.
        assert not re.search(r"--[\w-]*…|^│ [^ ]*…", shown, re.MULTILINE), name
        for option in (option for param in _param_names(name) for option in param):
            assert option in shown, f"{name} {option}"


def _param_names(name: str) -> Iterator[list[str]]:
    command = dict(_all()).get(name)
    for param in command.params if command else ():
        yield [option for option in param.opts if option.startswith("--")]


def test_commands_are_listed_in_the_order_of_a_days_work() -> None:
    shown = re.findall(r"^│ (\w+) ", CliRunner().invoke(commands.app, ["--help"]).output, re.MULTILINE)
    listed = [name for name in shown if name in commands.COMMANDS]
    assert listed == list(commands.COMMANDS)
    day = ["run", "upload", "status", "results", "search", "people", "correct", "down", "doctor", "serve"]
    assert sorted(day, key=listed.index) == day
