"""Arrival times have the shape that their pattern's name promises."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.errors import OptionsError
from castline.workload_generator.patterns import Name, Pattern

_rates = st.floats(0.01, 100)
_counts = st.integers(1, 300)


@given(st.sampled_from(get_args(Name)), _rates, _counts, st.integers())
def test_every_pattern_starts_at_once_and_never_goes_back(name: Name, rate: float, count: int, seed: int) -> None:
    times = Pattern(name, rate, seed).arrivals(count)
    assert len(times) == count
    assert times[0] == 0
    assert times == sorted(times)
    assert times == Pattern(name, rate, seed).arrivals(count)


@given(_rates, _counts)
def test_a_burst_is_all_at_once(rate: float, count: int) -> None:
    assert set(Pattern("burst", rate).arrivals(count)) == {0}


@given(_rates, st.integers(2, 300))
def test_a_stagger_has_one_gap(rate: float, count: int) -> None:
    assert _gaps(Pattern("stagger", rate).arrivals(count)) == pytest.approx([1 / rate] * (count - 1))


@given(_rates, st.integers(3, 300))
def test_a_ramp_gets_faster_up_to_its_rate(rate: float, count: int) -> None:
    gaps = _gaps(Pattern("ramp", rate).arrivals(count))
    assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] >= 1 / rate * (1 - 1e-9)
    # Half of the final rate on average, which is what "linearly from nothing" means.
    assert sum(gaps) / len(gaps) == pytest.approx(2 / rate)


@given(_rates, st.integers())
def test_poisson_gaps_have_their_mean_and_their_spread(rate: float, seed: int) -> None:
    gaps = _gaps(Pattern("poisson", rate, seed).arrivals(2001))
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1 / rate, rel=0.2)  # nine standard errors
    # An exponential distribution: 1/e of the gaps are longer than the mean gap.
    assert sum(gap > 1 / rate for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.1)


def test_seeds_differ() -> None:
    assert Pattern("poisson", 1, 1).arrivals(5) != Pattern("poisson", 1, 2).arrivals(5)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_invalid_rate_is_refused(rate: float) -> None:
    with pytest.raises(OptionsError, match="positive number"):
        Pattern("stagger", rate)


def test_without_uploads_there_are_no_arrivals() -> None:
    assert Pattern("ramp").arrivals(0) == []


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]
