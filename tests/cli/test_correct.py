"""``castline correct`` as typed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from castline.cli import connect as connecting
from castline.cli import correct as correct_commands
from castline.cli import main as commands
from castline.cli.connect import Connection
from castline.runs.written import read_written
from tests.people.conftest import People, people

__all__ = ["people"]
_MEDIA = "board.mp4"
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, people: People) -> Run:
    found = Connection(people.store, people.settings, "memory", lambda service: None)  # type: ignore[arg-type]
    monkeypatch.setattr(correct_commands, "connect", lambda url=None, **_: found)
    monkeypatch.setattr(Connection, "who", lambda self: "eve")
    people.publish(_MEDIA, [people.face("A")], said="The buget is too small.")

    def invoke(*arguments: str) -> Result:
        for console in (connecting.console, connecting.answer, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, ["correct", *arguments])

    return invoke


def test_a_day_with_corrections(run: Run, people: People) -> None:
    assert "1  0:00.0  The buget is too small." in run("list", _MEDIA).output
    said = run("set", _MEDIA, "0:00.4", "[red]The budget", "is =1+1.", "--speaker", "Ada")
    assert said.exit_code == 0 and "Ada: “[red]The budget” / Ada: “is =1+1.”" in said.output
    assert people.published(_MEDIA)["transcript.txt"] == b"Ada: [red]The budget\nis =1+1.\n"
    assert run("set", _MEDIA, "1-2", "The budget is too small.").exit_code == 0
    assert run("person", _MEDIA, "Person 1", "Grace").exit_code == 0
    assert run("voice", _MEDIA, "Nobody", "Grace").exit_code == 2
    listed = run("list", _MEDIA).output
    assert "1* 0:00.0  The budget is too small." in listed and "person-1  Grace" in listed
    assert run("person", _MEDIA, "Grace", "Grace", "--is-not").exit_code == 0
    assert run("undo", _MEDIA).exit_code == 0
    assert "Person 1 is Grace" in run("history", _MEDIA).output
    changes = json.loads(run("history", _MEDIA, "--json").output)["changes"]
    assert [change["who"] for change in changes] == ["eve"] * 5 and changes[-1]["undoes"] == 4
    (line,) = [each.id for each in read_written(_MEDIA, people.store, people.settings).corrections.now()][:1]
    assert run("undo", _MEDIA, line).exit_code == 0
    assert people.published(_MEDIA)["transcript.txt"] == b"The buget is too small.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "no.mp4"), "there is no recording no.mp4"),
        (("set", _MEDIA, "7", "x"), "lines 1 to 1"),
        (("set", _MEDIA, "9:00", "x"), "nothing is said at 9:00"),
        (("set", _MEDIA, "first", "x"), "neither the number of a line nor a time"),
        (("set", _MEDIA, "1", "…"), "a line needs words"),
        (("set", _MEDIA, "1", "x", "--speaker", "a/b"), "cannot contain a slash"),
        (("person", _MEDIA, "Eve", "Ada"), "nobody in board.mp4 is called 'Eve'"),
        (("undo", _MEDIA), "nothing to undo"),
        (("undo", _MEDIA, "1.0"), "no correction '1.0'"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2 and says in answer.output
