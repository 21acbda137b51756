"""The numbers of a load, and its picture and page."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from castline.workload_generator.drawing import in_flight, write_report
from castline.workload_generator.report import Latency, LoadReport, Row, Status, doubts, percentile, throughput
from castline.workload_generator.skew import Skew
from castline.workload_generator.target import UsageError


def _row(key: str, sent_s: float = 0, local_s: float | None = 1, status: Status = "ok", server_s: float = 1) -> Row:
    answered = local_s is not None
    return Row(
        key=key,
        status=status,
        why=None if status == "ok" else "no result within 5 s",
        bytes=1000,
        planned_s=sent_s,
        sent_s=sent_s,
        stored_s=sent_s + 0.1,
        seen_s=sent_s + local_s if local_s is not None else None,
        local_latency_s=local_s,
        server_latency_s=server_s if answered else None,
        input_modified=datetime(2026, 1, 1, tzinfo=UTC),
        output_modified=datetime(2026, 1, 1, tzinfo=UTC) if answered else None,
    )


def _report(*rows: Row, warnings: tuple[str, ...] = ()) -> LoadReport:
    good = [row for row in rows if row.status == "ok"]
    return LoadReport(
        profile="full",
        where="here",
        input_bucket="load-input",
        output_bucket="load-output",
        pattern="stagger",
        rate=2,
        concurrency=4,
        timeout_s=5,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration_s=12,
        interrupted=False,
        total=len(rows),
        ok=len(good),
        failed=sum(row.status == "failed" for row in rows),
        timed_out=sum(row.status == "timeout" for row in rows),
        local=Latency.of([row.local_latency_s for row in good if row.local_latency_s is not None]),
        server=Latency.of([row.server_latency_s for row in good if row.server_latency_s is not None]),
        throughput_per_s=throughput(rows),
        skew=Skew(seconds=0.1, uncertainty_s=0.2, samples=9, consistent=True),
        warnings=warnings,
        rows=rows,
    )


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (90, 90), (99, 99), (100, 100), (0.1, 1)])
def test_percentiles_of_a_hundred(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], percent) == expected


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.1, 100))
def test_a_percentile_was_measured_and_enough_are_below_it(seconds: list[float], percent: float) -> None:
    seconds.sort()
    found = percentile(seconds, percent)
    assert found in seconds
    assert sum(value <= found for value in seconds) >= math.floor(len(seconds) * percent / 100)


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_latencies_are_in_order(seconds: list[float]) -> None:
    found = Latency.of(seconds)
    assert found
    assert found.min <= found.p50 <= found.p90 <= found.p99 <= found.max
    assert found.count == len(seconds)


def test_nothing_has_no_latency_and_no_throughput() -> None:
    assert Latency.of([]) is None
    assert throughput([_row("a", local_s=None, status="timeout")]) is None


def test_throughput_counts_good_results_from_the_first_upload_to_the_last_of_them() -> None:
    rows = [_row("a", 1, 1), _row("b", 3, 2), _row("c", 3, 60, "failed"), _row("d", 0.5, None, "timeout")]
    assert throughput(rows) == pytest.approx(2 / 4.5)


def test_negative_latencies_are_told() -> None:
    (warning,) = doubts([_row("a", server_s=-2.5), _row("b")], None)
    assert "negative server latencies: 1 (down to -2.5 s)" in warning


@pytest.mark.parametrize(
    ("skew", "words"),
    [
        (Skew(seconds=-90, uncertainty_s=0.1, samples=9, consistent=True), "90.0 s behind"),
        (Skew(seconds=90, uncertainty_s=0.1, samples=9, consistent=True), "90.0 s ahead"),
        (Skew(seconds=0, uncertainty_s=9, samples=9, consistent=False), "no single difference"),
        (Skew(seconds=0.6, uncertainty_s=0.1, samples=9, consistent=True), ""),
    ],
)
def test_clocks_that_differ_are_told(skew: Skew, words: str) -> None:
    assert words in "".join(doubts([_row("a")], skew))


def test_media_in_flight_are_those_stored_and_not_answered() -> None:
    refused = _row("c", 1, None, "failed").model_copy(update={"stored_s": None})
    rows = [_row("a", 0, 4), _row("b", 1, 1), refused, _row("d", 3, None, "timeout")]
    assert in_flight(rows, 10) == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1), (10, 0)]


def test_a_report_is_a_round_trip_through_json(tmp_path: Path) -> None:
    report = _report(_row("a"), _row("b", 2, None, "timeout"))
    report.write_json(tmp_path / "deep" / "report.json")
    assert LoadReport.from_json((tmp_path / "deep" / "report.json").read_bytes()) == report
    assert not report.passed
    assert _report(_row("a")).passed


@pytest.mark.parametrize(
    "rows",
    [
        [_row(f"{index}.mp4", index / 2, 1 + index % 3) for index in range(20)],
        [_row("a.mp4", 0, None, "timeout"), _row("b.mp4", 1, 2, "failed")],
        [_row("only.mp4")],
        [_row("a", local_s=None, status="failed").model_copy(update={"sent_s": None, "stored_s": None})],
    ],
    ids=["good", "bad", "one", "never sent"],
)
def test_every_load_has_a_picture(rows: list[Row], tmp_path: Path) -> None:
    write_report(_report(*rows), tmp_path / "load.png")
    with Image.open(io.BytesIO((tmp_path / "load.png").read_bytes())) as picture:
        assert picture.size == (1440, 960)
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert colours
    assert len(colours) > 20


def test_the_page_is_one_file_and_trusts_no_name(tmp_path: Path) -> None:
    rows = [_row("<script>alert(1)</script>.mp4"), _row("late.mp4", 2, None, "timeout")]
    write_report(_report(*rows, warnings=("the clock <jumps>",)), tmp_path / "load.html")
    page = (tmp_path / "load.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "the clock &lt;jumps&gt;" in page
    assert "no result within 5 s" in page
    assert "1 of 2 media have no good result" in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("https", "http").split("base64,")[0]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png or \.html"):
        write_report(_report(_row("a")), tmp_path / "load.pdf")
