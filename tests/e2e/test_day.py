"""A user's day with the command, at a terminal of 80 columns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from castline.local.state import read_state

pytestmark = pytest.mark.e2e

_PATIENCE_S = 600
GALLERY = Path(__file__).resolve().parents[2] / "examples" / "gallery"


class Person:
    """A user at a terminal."""

    def __init__(self, home: Path, models_dir: Path) -> None:
        self.home = home
        self.library = home / "library"
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CASTLINE_"))}
        self.environment = {
            **outside,
            "CASTLINE_MODELS_DIR": str(models_dir),
            "CASTLINE_TRANSCRIBER": "faster-whisper:tiny.en",
            "CASTLINE_STATE_DIR": str(self.library),
            "CASTLINE_PORT": "0",
            "CASTLINE_THREADS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "COLUMNS": "80",
            "TERM": "xterm",
        }
        self._begun: list[pexpect.spawn[str]] = []

    def begins(self, *words: str, **variables: str) -> pexpect.spawn[str]:
        """Start a command at the terminal, which keeps running."""
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "castline", *words],
            cwd=str(self.home),
            env={**self.environment, **variables},
            dimensions=(40, 80),
            timeout=_PATIENCE_S,
            encoding="utf-8",
        )
        self._begun.append(terminal)
        return terminal

    def does(self, *words: str, status: int = 0, **variables: str) -> str:
        """Run a whole command; returns what it prints."""
        terminal = self.begins(*words, **variables)
        terminal.expect(pexpect.EOF)
        said = str(terminal.before)
        assert ends(terminal) == status, said
        return said

    def reads(self, *words: str) -> Any:
        """Run a command with ``--json``, as a program does."""
        done = subprocess.run(
            [sys.executable, "-m", "castline", *words, "--json"],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        return json.loads(done.stdout)

    def goes_home(self) -> None:
        for terminal in self._begun:
            terminal.close(force=True)


def ends(terminal: pexpect.spawn[str]) -> int | None:
    terminal.expect(pexpect.EOF)
    terminal.close()
    status: int | None = terminal.exitstatus
    return status


@pytest.fixture
def person(tmp_path: Path, models_dir: Path, short_clips: list[Path], ffmpeg: Callable[..., None]) -> Iterator[Person]:
    for place, clip in zip(("a/IMG_1.mp4", "b/IMG_1.mp4", "film/week 1/c.mp4", "film/d.mp4"), short_clips, strict=True):
        target = tmp_path / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(clip.read_bytes())
    (tmp_path / "film" / "notes.rmvb").write_bytes(b"what nobody can read")
    (tmp_path / "voice").mkdir()
    ffmpeg("-i", short_clips[0], "-vn", tmp_path / "voice" / "note.m4a")
    one = Person(tmp_path, models_dir)
    yield one
    one.goes_home()


def test_a_day(person: Person) -> None:
    # The first run: what is used, who is seen, where the rest is; and no stack is left running.
    said = person.does("run", "a/IMG_1.mp4", "--gallery", str(GALLERY), "--language", "en")
    assert "people known: Eileen Collins, Grace Hopper" in said
    assert "report: results/IMG_1.mp4/report.html" in said
    assert read_state(person.library) is None
    logs = [path.read_text() for path in (person.library / "logs").glob("video-splitting-*.log")]
    assert sum(log.count('"message":"split"') for log in logs) == 1, "the sidecar's event is none of its own"

    # The camera gave another recording the same name.
    said = person.does("run", "b/IMG_1.mp4", status=2)
    assert "another recording is already called IMG_1.mp4: rename this one with --as b/IMG_1.mp4" in " ".join(
        said.split()
    )
    said = person.does("run", "a/IMG_1.mp4", "--language", "klingon", status=2)
    assert "does not know the language" in " ".join(said.split())

    # Two at once: the second run uses the stack of the first, and outlives it.
    first = person.begins("run", "b/IMG_1.mp4", "--as", "b/IMG_1.mp4")
    first.expect("stack: ")
    second = person.begins("run", "film")
    second.expect_exact(" (not a media suffix): notes.rmvb")
    second.expect("already running")
    assert ends(first) == 0
    second.expect("2 of 2 complete")
    assert ends(second) == 0
    assert {item["media"]: item["state"] for item in person.reads("status")} == {
        "IMG_1.mp4": "complete",
        "b/IMG_1.mp4": "complete",
        "d.mp4": "complete",
        "week 1/c.mp4": "complete",
    }

    # Stopped in the middle, and resumed.
    stopped = person.begins("run", "voice/note.m4a")
    stopped.expect("stack: ")
    stopped.expect("media")  # the progress bar
    stopped.sendintr()
    stopped.expect("run the same command again to continue from here")
    assert ends(stopped) == 130
    assert read_state(person.library) is None
    said = person.does("run", "a/IMG_1.mp4", CASTLINE_EMBEDDER="dlib-resnet-v1")
    assert "left unfinished earlier: note.m4a" in " ".join(said.split())
    assert "the options of an earlier run no longer apply" in " ".join(said.split())
    assert "embedder dlib-resnet-v1" in " ".join(said.split())
    said = person.does("run", "voice/note.m4a")
    assert "an earlier run did not finish it" in " ".join(said.split())

    # Who is who.
    person.does("people", "rename", "Eileen Collins", "Eileen C.")
    person.does("people", "forget", "Grace Hopper", "--yes")
    assert [known["name"] for known in person.reads("people", "list")] == ["Eileen C."]
    (result,) = person.reads("results", "week 1/c.mp4")
    assert "Grace Hopper" not in {seen["name"] for seen in result["people"]}
    assert read_state(person.library) is None
