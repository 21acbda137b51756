"""When each upload of a load begins."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal, get_args

from castline.errors import CastlineError

Name = Literal["burst", "stagger", "poisson", "ramp"]
NAMES: tuple[Name, ...] = get_args(Name)


class UsageError(CastlineError, ValueError):
    """What was asked for cannot be done: one line for the person who asked."""

    code = "usage"
    retryable = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """A load pattern.

    Attributes:
        name: ``burst``: all at once. ``stagger``: one every ``1/rate`` seconds. ``poisson``: independent
            arrivals, exponential gaps with mean ``1/rate``. ``ramp``: the rate rises linearly from
            nothing to ``rate``, which the last upload meets.
        rate: uploads per second; a burst does not look at it.
        seed: of ``poisson``'s gaps; the same seed gives the same times.

    Raises:
        UsageError: an unknown name, or a rate that is no positive finite number.
    """

    name: Name = "burst"
    rate: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"a pattern is one of {', '.join(NAMES)}, not {self.name!r}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(f"a rate is a positive number of uploads per second, not {self.rate}")

    def arrivals(self, count: int) -> list[float]:
        """Seconds after the start, ascending, the first one 0; one per upload."""
        if count < 1:
            return []
        gaps = count - 1
        if self.name == "burst":
            return [0.0] * count
        if self.name == "stagger":
            return [index / self.rate for index in range(count)]
        if self.name == "ramp":
            # Arrivals up to t are rate * t² / (2 * end): at t = end that is all of them.
            end = 2 * gaps / self.rate
            return [0.0] + [end * math.sqrt(index / gaps) for index in range(1, count)]
        chance = random.Random(self.seed)  # noqa: S311 - a load, not a secret
        times = [0.0]
        for _ in range(gaps):
            times.append(times[-1] + chance.expovariate(self.rate))
        return times
