"""Ten thousand uploads at once, by simulation: what each orchestration gives up, when all is done, what waiting costs.

Nothing is deployed. How long stages take is `castline.cost`'s model of a ten-minute 720p upload (docs/BENCHMARKS.md);
how services behave under throttling is their documentation's, as of 2025-06:

- Lambda, asynchronous invocation: a throttled event is tried again after one second, then later and later up to five
  minutes, for six hours at most (docs.aws.amazon.com/lambda, "Error handling for asynchronous invocation").
- Step Functions: ``Retry`` with full jitter, read from statemachine/run.asl.json, which lives for a year.
- SQS: a message lives for 14 days; an event source mapping takes no more at a time than its MaximumConcurrency, so
  nothing is throttled (docs.aws.amazon.com/lambda, "Using Lambda with Amazon SQS").

Free executions are given to whoever asks first. Waiting with jitter is drawn from a fixed seed.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from castline.cost import USUAL_FILM, Sizes, estimate
from castline.operations.preflight import shares
from castline.records import Options

UPLOADS, LENGTH_S = 10_000, 600.0
CONCURRENCY = (10, 60, 1000)
_SEED = 12
_SIX_HOURS = 6 * 3600.0
_FORTNIGHT = 14 * 24 * 3600.0
_LONGEST_ASYNC_S = 300.0
_MACHINE = Path(__file__).parents[1] / "statemachine" / "run.asl.json"
_TRANSITION_USD = 0.000025
_SQS_REQUEST_USD = 0.0000004

Mode = Literal["queue", "events", "invoke", "stepfunctions"]
MODES: tuple[Mode, ...] = ("queue", "events", "invoke", "stepfunctions")


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of the invocations that one upload takes: its split, and each of its units."""

    split_s: float
    units_s: tuple[float, ...]

    @classmethod
    def of(cls, length_s: float) -> Work:
        usages, _ = estimate(length_s, Options(), USUAL_FILM, audio=True, sizes=Sizes())
        split = sum(one.seconds for one in usages if one.stage == "split")
        return cls(split, tuple(one.seconds for one in usages if one.stage in ("faces", "speech")))


def run(_folder: Path) -> dict[str, Any]:
    """By mode and concurrency: uploads given up, hours until the last has ended, dollars for waiting."""
    work = Work.of(LENGTH_S)
    found: dict[str, Any] = {"split_s": work.split_s, "units": len(work.units_s), "units_s": sum(work.units_s)}
    for mode in MODES:
        for concurrency in CONCURRENCY:
            found[f"{mode}, {concurrency}"] = burst(mode, concurrency, UPLOADS, work)
    return found


def burst(mode: Mode, concurrency: int, uploads: int, work: Work) -> dict[str, float]:
    """One burst. An upload is given up if its split or any of its units is."""
    if mode == "queue":
        return _queued(concurrency, uploads, work)
    return _asked(mode, concurrency, uploads, work)


def _retriers(units: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the run machine waits where it is throttled: for its splitter, and for each of so many units."""
    states = json.loads(_MACHINE.read_text())["States"]
    few = int(states["Are they many?"]["Choices"][0]["Variable"].rpartition("[")[2].rstrip("]"))
    map_ = states["Analyse many units" if units > few else "Analyse every unit"]["ItemProcessor"]
    return _throttled(states["Split"]), _throttled(map_["States"][map_["StartAt"]])


def _throttled(state: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        retrier for retrier in state["Retry"] if "Lambda.TooManyRequestsException" in retrier["ErrorEquals"]
    ]
    return found[0]


def _queued(concurrency: int, uploads: int, work: Work) -> dict[str, float]:
    """Both stages take from their queue at their own limit; the last upload's units are done last."""
    splitters, _, analysers = shares(concurrency)
    per_upload = sum(work.units_s)
    split_done = [(number // splitters + 1) * work.split_s for number in range(uploads)]
    free_s, given_up = 0.0, 0
    for arrived in split_done:
        free_s = max(free_s, arrived) + per_upload / analysers
        given_up += free_s > _FORTNIGHT
    polls = 4 * free_s / 20 * 5  # five pollers a queue, 20 s each
    requests = uploads * (1 + len(work.units_s)) * 3 + polls
    return {
        "given_up": given_up,
        "hours": round(free_s / 3600, 1),
        "usd_waiting": round(requests * _SQS_REQUEST_USD, 2),
    }


def _asked(mode: Mode, concurrency: int, uploads: int, work: Work) -> dict[str, float]:
    """Whoever finds no free execution comes again, later and later, until his time is over."""
    chance = random.Random(_SEED)
    steps = mode == "stepfunctions"
    split, unit = _retriers(len(work.units_s)) if steps else (None, None)

    def wait(tries: int, takes: float) -> float:
        if retrier := split if takes < 0 else unit:
            rate, longest_s = float(retrier["BackoffRate"]), float(retrier["MaxDelaySeconds"])
            return chance.uniform(0, min(float(retrier["IntervalSeconds"]) * rate ** min(tries, 40), longest_s))
        return min(2.0 ** min(tries, 20), _LONGEST_ASYNC_S) * chance.uniform(0.5, 1)

    def given_up_after(tries: int, waited_s: float, takes: float) -> bool:
        retrier = split if takes < 0 else unit
        return tries >= retrier["MaxAttempts"] if retrier else waited_s > _SIX_HOURS

    order = 0
    asking: list[tuple[float, int, int, float, float, int]] = []  # when, order, upload, takes, first asked, tries
    for upload in range(uploads):
        order += 1
        asking.append((chance.uniform(0, 1), order, upload, -1.0, 0.0, 0))
    heapq.heapify(asking)
    ends: list[float] = []
    lost: set[int] = set()
    left = Counter(dict.fromkeys(range(uploads), len(work.units_s)))
    last, tries_made = 0.0, 0
    while asking:
        now, _, upload, takes, first, tries = heapq.heappop(asking)
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        if len(ends) >= concurrency:
            tries_made += 1
            again = now + wait(tries, takes)
            if given_up_after(tries, again - first, takes):
                lost.add(upload)
                continue
            order += 1
            heapq.heappush(asking, (again, order, upload, takes, first, tries + 1))
            continue
        done = now + (work.split_s if takes < 0 else takes)
        heapq.heappush(ends, done)
        last = max(last, done)
        if takes >= 0:
            left[upload] -= 1
            continue
        for takes_s in work.units_s:
            order += 1
            heapq.heappush(asking, (done, order, upload, takes_s, done, 0))
    given_up = sum(1 for upload in range(uploads) if upload in lost or left[upload])
    usd = tries_made * _TRANSITION_USD if steps else 0.0
    return {"given_up": given_up, "hours": round(last / 3600, 1), "usd_waiting": round(usd, 2)}
