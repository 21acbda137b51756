"""``castline search`` as typed; and what forgetting and deleting leave in the index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from castline.archive.place import index_path
from castline.archive.search import search
from castline.archive.sqlite import SqliteIndex
from castline.cli import connect as connecting
from castline.cli import main as commands
from castline.cli import operations, people
from castline.cli import search as searching
from castline.cli.connect import Connection
from tests.archive.conftest import Shelf, make
from tests.archive.conftest import sqlite_shelf as shelf

__all__ = ["make", "shelf"]


@pytest.fixture
def run(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    there = Connection(shelf.store, shelf.settings, "memory", lambda service: None)  # type: ignore[arg-type]
    for module in (searching, operations, people):
        monkeypatch.setattr(module, "connect", lambda url=None, **_: there)
    monkeypatch.setattr(Connection, "who", lambda self: "ada")

    def invoke(*arguments: str):  # type: ignore[no-untyped-def]
        for console in (connecting.console, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, list(arguments))

    return invoke


def _index(shelf: Shelf) -> SqliteIndex:
    return SqliteIndex(index_path("memory", shelf.settings))


def test_moments_are_shown_with_who_is_on_screen(shelf: Shelf, run) -> None:  # type: ignore[no-untyped-def]
    shelf.publish("board.mp4", ["A [red]budget[/] of \x1b[31mours."], [shelf.make.person(1, "Ada", (0, 9))])
    done = run("search", "budget", "person:ada")
    assert done.exit_code == 0, done.output
    assert "board.mp4 0:00.0  Ada" in done.output
    assert "A [red]budget[/] of ‹U+001B›[31mours." in done.output
    assert "nothing was found" in run("search", "nowhere").output
    assert run("-q", "search", "budget").output == done.output
    assert "nobody in any recording is called Bob; known are Ada" in run("-q", "search", "person:Bob").output


def test_json_equals_the_service_s_answer(shelf: Shelf, run) -> None:  # type: ignore[no-untyped-def]
    shelf.publish("board.mp4", ["A budget."] * 3)
    done = run("search", "budget", "--json", "--limit", "2")
    assert done.stdout.encode().strip() == search(_index(shelf), "budget", limit=2).to_json()
    after = json.loads(done.stdout)["next"]
    assert len(json.loads(run("search", "budget", "--json", "--after", after).stdout)["hits"]) == 1


def test_a_mistake_is_one_line(run) -> None:  # type: ignore[no-untyped-def]
    done = run("search", "colour:red")
    assert done.exit_code == 2
    assert done.stderr.startswith("error colour: is not a field") and done.stderr.count("\n") == 1


def test_deleting_reaches_the_index(shelf: Shelf, run) -> None:  # type: ignore[no-untyped-def]
    shelf.publish("board.mp4", ["A budget."])
    assert "board.mp4" in run("search", "budget").output
    done = run("delete", "board.mp4", "--yes")
    assert done.exit_code == 0, done.output
    assert _index(shelf).etags() == {}


def test_an_index_that_keeps_a_deleted_recording_is_reported(
    shelf: Shelf,
    run,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    shelf.publish("board.mp4", ["A budget."])
    run("search", "budget")
    monkeypatch.setattr(SqliteIndex, "drop", lambda self, media: None)
    done = run("delete", "board.mp4", "--yes")
    assert done.exit_code == 1
    assert "in the search index" in done.output


def test_deleting_makes_no_index(shelf: Shelf, run) -> None:  # type: ignore[no-untyped-def]
    shelf.publish("board.mp4", ["A budget."])
    run("delete", "board.mp4", "--yes")
    assert not Path(index_path("memory", shelf.settings)).exists()


def test_moments_as_a_file_for_other_programs(shelf: Shelf, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shelf.publish("board.mp4", ["A budget."] * 3)
    assert run("search", "budget", "--format", "csv").stdout.count("board.mp4,") == 3
    path = tmp_path / "moments.edl"
    assert run("search", "budget", "--format", "edl", "--rate", "29.97df", "-o", str(path)).exit_code == 0
    assert "FCM: DROP FRAME" in path.read_text()
    assert "is not a format" in run("search", "budget", "--format", "avi").output
