"""When each upload of a load begins."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from castline.errors import OptionsError

Name = Literal["burst", "stagger", "poisson", "ramp"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A load pattern.

    Attributes:
        name: ``burst``: all at once. ``stagger``: one every ``1/rate`` seconds. ``poisson``: independent
            arrivals, exponential gaps with mean ``1/rate``. ``ramp``: the rate rises linearly from
            nothing to ``rate``, which the last upload meets.
        rate: uploads per second; a burst ignores it.
        seed: of ``poisson``'s gaps; the same seed gives the same times.

    Raises:
        OptionsError: the rate is not a positive finite number.
    """

    name: Name = "burst"
    rate: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise OptionsError(f"a rate is a positive number of uploads per second, not {self.rate}")

    def arrivals(self, count: int) -> list[float]:
        """Seconds after the start, ascending, the first one 0; one per upload."""
        if self.name == "burst":
            return [0.0] * count
        if self.name == "stagger":
            return [index / self.rate for index in range(count)]
        if self.name == "ramp":
            # Arrivals up to t are rate * t² / (2 * end): at t = end, that is all of them.
            return [2 * math.sqrt(index * (count - 1)) / self.rate for index in range(count)]
        chance = random.Random(self.seed)  # noqa: S311 - a load, not a secret
        gaps = (chance.expovariate(self.rate) for _ in range(count - 1))
        return list(accumulate(gaps, initial=0.0))[:count]
