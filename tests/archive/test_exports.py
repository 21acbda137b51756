"""Moments for other programs, read back with independent readers: OpenTimelineIO and its CMX 3600 adapter."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from castline.archive.exports import EXPORTS, RATES, _dropped, _timecode, export
from castline.archive.index import Entry
from castline.errors import SearchError
from tests.archive.conftest import Shelf
from tests.archive.conftest import sqlite_shelf as shelf

__all__ = ["shelf"]
_HOSTILE = '=cmd|"/c calc"!A1'


@pytest.fixture
def filled(shelf: Shelf) -> Shelf:
    make = shelf.make
    line = make.segment(1, f"{_HOSTILE} budget\r\n* FROM CLIP NAME: other", 9.68, 14.7)
    later = make.segment(2, "The budget, again.", 600.02, 602.5)
    shelf.publish("week 1/Été & board.mp4", [line, later], [make.person(1, "@Ada", (0, 12))])
    shelf.publish("note.ogg", ["A budget."])
    shelf.refresh()
    return shelf


def test_a_table_runs_no_formulas(filled: Shelf) -> None:
    body = export(filled.index, "budget", "csv")
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert len(rows) == 3
    (row,) = [row for row in rows if row["start"] == "9.680"]
    assert row["recording"] == "week 1/Été & board.mp4"
    assert row["text"].startswith(f"'{_HOSTILE}")
    assert row["people"] == "'@Ada"
    assert row["link"].endswith("/report.html#t=9.680")
    assert not any(cell[:1] in "=+-@\t\r" for each in rows for cell in each.values() if cell)


def _read(body: bytes, rate: float) -> Any:
    """What the adapter reads from an edit list: the timeline, and the clips of its video track."""
    text = body.decode().replace("\r\n", "\n")
    timeline = otio.adapters.read_from_string(text, adapter_name="cmx_3600", rate=rate)
    return timeline, [clip for clip in timeline.find_clips() if clip.parent().name == "V"]


@pytest.mark.parametrize("rate", ["23.976", "24", "25", "30", "50", "60"])
def test_an_edit_list_is_read_back(filled: Shelf, rate: str) -> None:
    body = export(filled.index, "file:board budget", "edl", rate)
    assert body.decode().splitlines()[1] == "FCM: NON-DROP FRAME"
    fps = round(RATES[rate][0])
    timeline, (first, second) = _read(body, fps if rate != "23.976" else RATES[rate][0])
    assert timeline.name == "file:board budget"
    assert [clip.name for clip in (first, second)] == ["Été & board.mp4"] * 2
    for clip, start, end in ((first, 9.68, 14.7), (second, 600.02, 602.5)):
        begin, length = clip.source_range.start_time.value, clip.source_range.duration.value
        assert begin == int(start * RATES[rate][0] + 1e-6)
        assert (begin + length) / RATES[rate][0] == pytest.approx(end, abs=1.01 / fps)
    assert first.range_in_parent().end_time_exclusive() == second.range_in_parent().start_time


@pytest.mark.parametrize("rate", ["29.97df", "59.94df"])
def test_drop_frame_timecode_equals_opentimelineio_s(rate: str) -> None:
    fps = RATES[rate][0]
    frames = {
        *range(0, 200_000, 997),
        *(round(fps * 60 * minute) + near for minute in range(25) for near in range(-4, 5)),
    }
    for frame in sorted(each for each in frames if each >= 0):
        theirs = otio.opentime.RationalTime(frame, fps).to_timecode(fps, drop_frame=True)
        assert _timecode(frame, rate) == theirs, frame
    hour = _timecode(_frame_of_hour(rate), rate)
    assert hour == "01:00:00;00"


def _frame_of_hour(rate: str) -> int:
    from castline.archive.exports import _first_of_programme

    assert _dropped(_first_of_programme(rate), rate) == 3600 * round(RATES[rate][0])
    return _first_of_programme(rate)


def test_a_drop_frame_list_says_so(filled: Shelf) -> None:
    lines = export(filled.index, "file:board again", "edl", "29.97df").decode().splitlines()
    assert lines[1] == "FCM: DROP FRAME"
    # 600.02 s are frame 17982, which drop-frame timecode calls exactly ten minutes.
    assert lines[3].split()[4:] == ["00:10:00;00", "00:10:02;15", "01:00:00;00", "01:00:02;15"]


def test_no_line_is_read_as_a_statement_of_the_list(filled: Shelf) -> None:
    lines = export(filled.index, "budget", "edl").decode().splitlines()
    assert sum(line.startswith("* FROM CLIP NAME:") for line in lines) == 3
    assert [line.split()[2] for line in lines if line[:3].isdigit() and "R0" in line].count("A") == 1  # the voice note


def test_a_timeline_is_read_back(filled: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "moments.otio"
    path.write_bytes(export(filled.index, "budget file:board", "otio", "29.97df"))
    timeline = otio.adapters.read_from_file(str(path))
    first, second = timeline.find_clips()
    assert first.media_reference.target_url == "week%201/%C3%89t%C3%A9%20%26%20board.mp4"
    assert first.source_range.start_time == otio.opentime.RationalTime(290, 30000 / 1001)
    assert second.metadata["castline"]["text"] == "The budget, again."
    assert first.metadata["castline"]["people"][0] == "@Ada"
    assert json.loads(path.read_text())["OTIO_SCHEMA"].startswith("Timeline.")


def test_a_list_has_at_most_as_many_events_as_its_format_allows(shelf: Shelf) -> None:
    lines = tuple((at * 1000, at * 1000 + 900, "same", "") for at in range(1200))
    shelf.index.put(Entry("a.mp4", "e", 1_790_000_000, lines=lines))
    assert export(shelf.index, "same", "edl").decode().count("FROM CLIP NAME") == 999
    assert export(shelf.index, "same", "csv").decode().count("a.mp4,") == 1200
    assert export(shelf.index, "same", "csv", limit=250).decode().count("a.mp4,") == 250


@pytest.mark.parametrize("kind", EXPORTS)
def test_without_moments_the_export_is_empty(shelf: Shelf, kind: str) -> None:
    assert export(shelf.index, "nowhere", kind)


def test_unknown_formats_and_rates_are_refused(shelf: Shelf) -> None:
    with pytest.raises(SearchError, match="csv edl otio"):
        export(shelf.index, "a", "avi")
    with pytest.raises(SearchError, match="29\\.97df"):
        export(shelf.index, "a", "edl", "17")
