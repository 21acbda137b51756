"""How times, people and results look in a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from castline.cli.render import clock, print_result, print_summary, relative, transfer_bar, watch, who
from castline.cli.run import _shared_warnings
from castline.operations.progress import MediaProgress
from castline.records import (
    AudioStream,
    Candidate,
    Cost,
    Failure,
    Notice,
    Options,
    Person,
    Probe,
    Processing,
    Range,
    Result,
    Source,
    SpokenSegment,
    StageTiming,
    Transcript,
    UnitFailure,
    VideoStream,
)
from castline.records.result import Attribution


def _person(name: str, identity: str, *candidates: str, ranges: int = 1) -> Person:
    return Person(
        id="person-1",
        name=name,
        identity=identity,  # type: ignore[arg-type]
        confidence=0.97,
        candidates=tuple(Candidate(name=other, similarity=0.9) for other in candidates),
        on_screen_s=61.5,
        ranges=tuple(Range(start_s=at * 10, end_s=at * 10 + 5) for at in range(ranges)),
        tracks=(),
    )


def _result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "media": "week 1/talk[1].mp4",
        "run": "0123456789abcdef",
        "status": "complete",
        "error": None,
        "failures": (),
        "warnings": (),
        "source": Source(bucket="b", key="week 1/talk[1].mp4", etag="e", version=None, size=1),
        "options": Options(),
        "sampling": "interval",
        "probe": Probe(
            container="mp4",
            duration_s=75.5,
            video=VideoStream(codec="h264", width=10, height=10),
            audio=AudioStream(codec="aac", sample_rate=16000, channels=1),
        ),
        "duration_s": 75.5,
        "engines": {},
        "gallery": None,
        "people": (),
        "transcript": Transcript(engine=None, language=None, text="", segments=(), cues=()),
        "timeline": (),
        "processing": Processing(
            timings=(StageTiming(stage="split", invocations=1, seconds=1.25, steps={}),),
            cost=Cost(usd=0.00042, items=(), prices_as_of="2025-06"),
        ),
    }
    return Result(**{**values, **changes})


def _printed(result: Result) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    print_result(console, result)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_what_was_not_analysed_is_not_called_empty() -> None:
    def failed(unit: str) -> str:
        error = Failure(code="model", message="it does not know the language 'de'")
        return _printed(
            _result(status="partial", error=error, failures=(UnitFailure(unit=unit, start_s=0, end_s=1, error=error),))
        )

    assert "nothing is said" in _printed(_result())
    assert "nobody is on screen" in _printed(_result())
    assert "nothing is said" not in failed("audio-0000")
    assert "nobody is on screen" in failed("audio-0000")
    assert "nobody is on screen" not in failed("frames-0000")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (0.04, "0:00.0"),
        (9.96, "0:10.0"),
        (59.95, "1:00.0"),
        (59.94, "0:59.9"),
        (75.5, "1:15.5"),
        (600, "10:00.0"),
        (3599.96, "1:00:00.0"),
        (3725.25, "1:02:05.2"),
        (36000, "10:00:00.0"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("person", "text"),
    [
        (_person("Ada", "known"), "Ada"),
        (_person("Person 1", "unknown"), "Person 1"),
        (_person("Person 1", "ambiguous", "Ada", "Bob"), "Person 1 (maybe Ada?)"),
        (_person("Person 1", "ambiguous"), "Person 1"),
        (_person("[red]Ada[/]", "known"), "[red]Ada[/]"),
        (_person("Person 1", "ambiguous", "[bold]B"), "Person 1 (maybe [bold]B?)"),
    ],
)
def test_who_and_how_sure(person: Person, text: str) -> None:
    assert Text.from_markup(who(person)).plain == text


def test_the_speaker_stands_before_the_words() -> None:
    said = [
        ("Ada", Attribution(outcome="says", name="Ada", confidence=0.9)),
        ("Speaker 1", Attribution(outcome="maybe", name="Bob [x]", confidence=0.6)),
        ("Speaker 2", Attribution(outcome="off_screen")),
        ("Speaker 3", None),
        (None, Attribution(outcome="unknown")),
    ]
    lines = tuple(
        SpokenSegment(id=f"speech-{at}", start_s=at, end_s=at + 1, text=f"line {at}.", speaker=speaker, said_by=by)
        for at, (speaker, by) in enumerate(said)
    )
    text = _printed(_result(transcript=Transcript(engine="e", language="en", text="", segments=lines, cues=())))
    for line in (
        "Ada: line 0.",
        "Speaker 1 (maybe Bob [x]?): line 1.",
        "Speaker 2 (off screen): line 2.",
        "Speaker 3: line 3.",
        "Unknown: line 4.",
    ):
        assert line in text


def test_a_result_shows_who_and_what() -> None:
    segment = SpokenSegment(id="speech-1", start_s=1, end_s=2.5, text="hello [world]", visible="Ada")
    doubtful = segment.model_copy(update={"id": "speech-2", "text": "thanks for watching", "suspect": True})
    text = _printed(
        _result(
            people=(_person("Ada", "known", ranges=9),),
            transcript=Transcript(engine="e", language="en", text="hello", segments=(segment, doubtful), cues=()),
            warnings=(Notice(code="gallery_photo", message="a photo [is] blurred"),),
        )
    )
    assert "week 1/talk[1].mp4  1:15.5  complete" in text
    assert "a photo [is] blurred" in text
    assert "0.97" in text
    assert "61.5 s" in text
    assert "0:00.0-0:05.0, 0:10.0-0:15.0" in text
    assert "and 3 more" in text
    assert "0:01.0-0:02.5  hello [world]  Ada" in " ".join(text.split("\n")).replace("   ", "  ")
    assert "thanks for watching" not in text
    assert "split 1.2 s; on AWS about $0.0004 (prices of 2025-06)" in text


def test_a_failure_shows_its_reason_and_nothing_else() -> None:
    text = _printed(
        _result(
            status="failed", error=Failure(code="not_media", message="the file is empty"), probe=None, duration_s=None
        )
    )
    assert "failed" in text
    assert "not_media: the file is empty" in text
    assert "on AWS" not in text


def test_an_empty_result_says_that_it_is_empty() -> None:
    text = _printed(_result())
    assert "nobody is on screen" in text
    assert "nothing is said" in text
    silent = _printed(_result(probe=Probe(container="ogg", duration_s=1, video=None, audio=None)))
    assert "nobody" not in silent
    assert "nothing is said" not in silent


def test_each_finished_file_is_a_line_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.cli.render._POLL_S", 0.001)
    result = _result()
    looks = iter(
        [
            [MediaProgress("a[1].mp4", "analysing"), MediaProgress("b.mp4", "waiting")],
            [MediaProgress("a[1].mp4", "complete", result=result), MediaProgress("b.mp4", "splitting")],
            [MediaProgress("a[1].mp4", "complete", result=result), MediaProgress("b.mp4", "failed", result=result)],
        ]
    )
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    watch(console, lambda: next(looks))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.partition(" after ")[0] for line in lines] == ["  a[1].mp4: complete", "  b.mp4: failed"]


def test_a_run_ends_with_a_few_lines_and_the_place_of_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    segments = tuple(
        SpokenSegment(id=str(at), start_s=at, end_s=at + 1, text=f"line {at}.", visible=None) for at in range(75)
    )
    result = _result(
        people=tuple(_person(f"Person {at}", "unknown") for at in range(9)),
        transcript=Transcript(engine="e", language="en", text="", segments=segments, cues=()),
    )
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_summary(console, result, tmp_path / "results" / "talk.mp4")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "line 5." in text
    assert "line 6." not in text
    assert "… and 69 more lines: results/talk.mp4/transcript.txt" in text
    assert "… and 3 more people" in text
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_summary(console, result, tmp_path, brief=True)
    assert len(console.file.getvalue().splitlines()) == 3  # type: ignore[attr-defined]
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_summary(console, result.model_copy(update={"people": ()}), tmp_path, brief=True)
    assert console.file.getvalue().splitlines()[2:] == ["  line 0. … and 74 more lines"]  # type: ignore[attr-defined]


def test_an_engine_warning_shared_by_several_files_is_shown_with_none_of_them(tmp_path: Path) -> None:
    guessed, cut = Notice(code="language_guessed", message="guessed"), Notice(code="short_decode", message="cut")
    shown = [
        MediaProgress("a.mp4", "complete", result=_result(warnings=(guessed, cut))),
        MediaProgress("b.mp4", "complete", result=_result(warnings=(cut, guessed))),
        MediaProgress("c.mp4", "failed", problem="gone"),
    ]
    shared = _shared_warnings(shown)
    assert shared == {"guessed": 2}
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_summary(console, _result(warnings=(guessed, cut)), tmp_path, brief=True, but=shared)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "warning: cut" in text and "guessed" not in text


def test_a_progress_bar_leaves_nothing_behind_where_it_cannot_be_shown() -> None:
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, force_terminal=terminal, force_interactive=False)
        with transfer_bar(console, "uploading", 8) as arrived:
            arrived(8)
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_progress_bars_show_bytes_and_the_remaining_time() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, force_interactive=True, color_system=None)
    with transfer_bar(console, "uploading", 8_000_000) as arrived:
        arrived(2_000_000)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "uploading" in shown
    assert "2.0/8.0 MB" in shown
    assert re.search(r"MB/s|\?|-:--:--|\d:\d\d:\d\d", shown.partition("8.0 MB")[2])
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    half = MediaProgress("a.mp4", "analysing", (1, 2), (1, 2), expected=(2, 2), work=(1.0, 1.0, 1.0))
    watch(console, lambda: [half], timeout_s=0)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"0 of 1 media .* 60% \d:\d\d:\d\d left (-:--:--|\d:\d\d:\d\d)", shown)
    assert "analysing: frames 1/2, audio 1/2" in shown


def test_watching_ends_when_everything_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.cli.render._POLL_S", 0.001)
    looks = iter(
        [
            [MediaProgress("a.mp4", "waiting"), MediaProgress("b[1].mp4", "splitting", (0, 1), (0, 0))],
            [MediaProgress("a.mp4", "analysing", (1, 2), (0, 1)), MediaProgress("b[1].mp4", "complete")],
            [MediaProgress("a.mp4", "failed"), MediaProgress("b[1].mp4", "complete")],
        ]
    )
    console = Console(file=io.StringIO(), force_terminal=True)
    found = watch(console, lambda: next(looks))
    assert [item.state for item in found] == ["failed", "complete"]


def test_watching_ends_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castline.cli.render._POLL_S", 0.001)
    found = watch(Console(file=io.StringIO()), lambda: [MediaProgress("a.mp4", "waiting")], timeout_s=0.01)
    assert [item.finished for item in found] == [False]


def test_paths_are_as_short_as_one_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(tmp_path / "results" / "report.html") == "results/report.html"
    assert relative(Path("/etc/hostname")) == "/etc/hostname"
