"""Metrics: one EMF line per invocation, only on Lambda, and never at the cost of a result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from castline import metrics
from castline.settings import Settings

IN_LAMBDA = Settings(function_name="face-recognition", prefix="prod")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line]


def test_an_invocation_publishes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with metrics.collected(IN_LAMBDA):
        metrics.record("Units")
        metrics.record("Units")
        metrics.record("SpeechRTF", 0.25)
    (line,) = _lines(capsys)
    (group,) = line["_aws"]["CloudWatchMetrics"]
    assert group["Namespace"] == "Castline"
    assert group["Dimensions"] == [["service"]]
    assert {item["Name"]: item["Unit"] for item in group["Metrics"]} == {"Units": "Count", "SpeechRTF": "None"}
    assert (line["service"], line["function_name"]) == ("prod", "face-recognition")
    assert (line["Units"], line["SpeechRTF"]) == ([1.0, 1.0], [0.25])


def test_one_invocation_s_metrics_are_separate_from_another_s(capsys: pytest.CaptureFixture[str]) -> None:
    with metrics.collected(IN_LAMBDA):
        metrics.record("Media")
    with metrics.collected(IN_LAMBDA):
        metrics.record("Faces", 3)
    first, second = _lines(capsys)
    assert "Faces" not in first
    assert "Media" not in second


def test_metrics_recorded_before_an_error_are_published(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="out"), metrics.collected(IN_LAMBDA):
        metrics.record("Failures")
        raise RuntimeError("out")
    (line,) = _lines(capsys)
    assert line["Failures"] == [1.0]


def test_nothing_is_published_outside_lambda(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.record("Media")
    with metrics.collected(Settings()):
        metrics.record("Media")
    with metrics.collected(IN_LAMBDA):
        pass  # without metrics there is no line
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("values", [[float("nan")], [1.0] * 100, [1.0] * 250])
def test_no_value_and_no_number_of_values_fails_an_invocation(
    values: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with metrics.collected(IN_LAMBDA):
        for value in values:
            metrics.record("Faces", value)
    assert sum(len(line["Faces"]) for line in _lines(capsys)) == len(values)


def test_metrics_that_cannot_be_published_are_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("no namespace")

    monkeypatch.setattr(metrics, "EphemeralMetrics", broken)
    with metrics.collected(IN_LAMBDA):
        metrics.record("Media")
    assert _lines(capsys) == []


def test_every_name_has_a_unit_and_a_line_in_the_docstring() -> None:
    from typing import get_args

    assert set(metrics._UNITS) == set(get_args(metrics.Name))
    assert all(f"    {name} " in (metrics.__doc__ or "") for name in get_args(metrics.Name))
