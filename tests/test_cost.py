"""What a run costs, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline import cost
from castline.cost import cost_of
from castline.records import Usage


def test_a_run_costs_what_its_parts_cost() -> None:
    usages = [
        Usage(stage="split", seconds=10, memory_mb=1024),
        Usage(stage="faces", seconds=5, memory_mb=3072),
        Usage(stage="speech", seconds=2.5, memory_mb=2048),
    ]
    found = cost_of(usages, units=2)
    items = {item.what: item for item in found.items}
    assert items["Lambda compute"].quantity == 10 + 15 + 5
    assert items["Lambda compute"].usd == pytest.approx(30 * 0.0000166667, abs=1e-8)
    assert items["Lambda requests"].quantity == 3
    # Two units written and read, two parts written and read, manifest and result beside them.
    assert items["S3 writes"].quantity == 4 + 1 + 10
    assert items["S3 reads"].quantity == 4 + 2
    assert found.usd == pytest.approx(sum(item.usd for item in found.items), abs=1e-6)
    assert found.usd == pytest.approx(0.000578, abs=1e-6)
    assert found.prices_as_of == cost.PRICES_AS_OF


@given(st.lists(st.floats(0, 900), max_size=8), st.integers(0, 50))
def test_cost_grows_with_time_and_units_and_is_never_negative(seconds: list[float], units: int) -> None:
    usages = [Usage(stage="faces", seconds=value, memory_mb=1024) for value in seconds]
    base = cost_of(usages, units)
    assert all(item.usd >= 0 for item in base.items)
    assert cost_of([*usages, Usage(stage="faces", seconds=60, memory_mb=1024)], units).usd > base.usd
    assert cost_of(usages, units + 1).usd > base.usd
    assert cost_of(usages[::-1], units).usd == pytest.approx(base.usd, abs=1e-9)
