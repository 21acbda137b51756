"""The numbers of a load, and how they are shown."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from castline.workload_generator.load import Load
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.rows import Row, Status, percentiles
from castline.workload_generator.show import show
from castline.workload_generator.target import Target


def _row(key: str, sent_s: float = 0, local_s: float | None = 1, status: Status = "ok") -> Row:
    return Row(
        key=key,
        file=Path(key),
        status=status,
        why=None if status == "ok" else "no result within 5 s",
        bytes=1000,
        planned_s=sent_s,
        sent_s=sent_s,
        stored_s=sent_s + 0.1,
        seen_s=sent_s + local_s if local_s is not None else None,
        latency_s=local_s,
        input_modified=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _load(*rows: Row, failed_looks: tuple[str, ...] = ()) -> Load:
    buckets = ("load-input", "load-stage-1", "load-output")
    target = Target(None, None, None, *buckets, "video-splitting", "face-recognition", "full", "here")
    load = Load(target, (), Pattern("stagger", 2), 4, 5)
    load.rows, load.failed_looks = list(rows), list(failed_looks)
    return load


def test_percentiles_of_a_hundred() -> None:
    assert percentiles(range(1, 101)) == {"min": 1, "p50": 50, "p90": 90, "p99": 99, "max": 100}


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_a_percentile_is_a_measured_value_with_enough_below_it(seconds: list[float]) -> None:
    found = percentiles(seconds)
    assert list(found.values()) == sorted(found.values())
    assert set(found.values()) <= set(seconds)
    for percent in (50, 90, 99):
        assert sum(value <= found[f"p{percent}"] for value in seconds) >= math.floor(len(seconds) * percent / 100)


def test_without_results_there_is_no_latency_and_no_throughput() -> None:
    load = _load(_row("a", local_s=None, status="timeout"))
    assert load.latency_s == {}
    assert load.throughput_per_s is None


def test_throughput_counts_good_results_from_the_first_upload_to_the_last_of_them() -> None:
    load = _load(_row("a", 1, 1), _row("b", 3, 2), _row("c", 3, 60, "failed"), _row("d", 0.5, None, "timeout"))
    assert load.throughput_per_s == pytest.approx(2 / 4.5)


def test_the_json_has_the_sums_and_every_row() -> None:
    load = _load(_row("a"), _row("b", 2, None, "timeout"))
    found = json.loads(load.to_json())
    assert found["counts"] == {"ok": 1, "failed": 0, "timeout": 1}
    assert found["latency_s"]["p90"] == 1
    assert [(row["key"], row["why"]) for row in found["rows"]] == [("a", None), ("b", "no result within 5 s")]
    assert found["pattern"] == {"name": "stagger", "rate": 2, "seed": 0}
    assert not load.passed
    assert _load(_row("a")).passed


def test_the_terminal_shows_names_unchanged() -> None:
    rows = [_row("good.mp4"), _row("[red]\x1b[31mbad.mp4", 2, None, "timeout")]
    show(Console(file=(screen := io.StringIO()), width=120), _load(*rows, failed_looks=("the store [/] is gone",)))
    text = screen.getvalue()
    assert "[red]‹U+001B›[31mbad.mp4: no result within 5 s" in text
    assert "the store [/] is gone" in text
    assert "1 of 2 good" in text
