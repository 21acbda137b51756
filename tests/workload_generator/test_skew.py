"""The difference of two clocks, from answers that show whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.workload_generator.skew import SkewMeter, response_date

_T0 = 1_760_000_000.0


@given(
    st.floats(-10_000, 10_000),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=50),
)
def test_the_truth_is_within_the_uncertainty(skew: float, answers: list[tuple[float, float, float]]) -> None:
    meter = SkewMeter()
    for start, took, share in answers:
        sent = _T0 + start
        made = sent + took * share + skew  # by the store's clock
        meter.add(datetime.fromtimestamp(made // 1, UTC), sent, sent + took)
    found = meter.estimate()
    assert found
    assert found.consistent
    assert found.samples == len(answers)
    assert abs(found.seconds - skew) <= found.uncertainty_s + 1e-5


def test_many_answers_narrow_it_down_below_the_resolution_of_the_store() -> None:
    meter = SkewMeter()
    for step in range(50):
        sent = _T0 + step * 0.21
        meter.add(datetime.fromtimestamp((sent + 0.005 - 7.3) // 1, UTC), sent, sent + 0.01)
    found = meter.estimate()
    assert found
    assert found.seconds == pytest.approx(-7.3, abs=0.05)
    assert found.uncertainty_s < 0.05


def test_one_answer_is_worth_half_a_second() -> None:
    meter = SkewMeter()
    meter.add(datetime.fromtimestamp(_T0, UTC), _T0 + 0.5, _T0 + 0.5)
    found = meter.estimate()
    assert found
    assert (found.seconds, found.uncertainty_s) == (0.0, 0.5)


def test_a_clock_that_was_set_is_told() -> None:
    meter = SkewMeter()
    for offset in (0, 0, 60):
        meter.add(datetime.fromtimestamp(_T0 + offset, UTC), _T0, _T0 + 0.1)
    found = meter.estimate()
    assert found
    assert not found.consistent
    assert found.seconds - found.uncertainty_s <= 0 <= 60 <= found.seconds + found.uncertainty_s


def test_nothing_is_known_of_nothing() -> None:
    assert SkewMeter().estimate() is None


@pytest.mark.parametrize("header", [None, "", "yesterday", "Fri, 20 Nov 2026 14:54:26"])
def test_an_answer_without_a_usable_date_is_left_out(header: str | None) -> None:
    response = {"ResponseMetadata": {"HTTPHeaders": {"date": header} if header is not None else {}}}
    meter = SkewMeter()
    meter.add_response(response, _T0, _T0)
    assert meter.estimate() is None
    assert response_date(response) is None


def test_a_date_header_is_read() -> None:
    response = {"ResponseMetadata": {"HTTPHeaders": {"date": "Fri, 20 Nov 2026 14:54:26 GMT"}}}
    assert response_date(response) == datetime(2026, 11, 20, 14, 54, 26, tzinfo=UTC)
