"""Ten thousand uploads at once, simulated: what each orchestration gives up, when it is done, what waiting costs.

Nothing is deployed. Stage durations are `castline.cost`'s model of a ten-minute 720p upload (docs/BENCHMARKS.md);
how services behave under throttling is their documentation's, as of 2025-06:

- Lambda, asynchronous invocation: a throttled event is tried again after one second, then later and later up to five
  minutes, for six hours at most (docs.aws.amazon.com/lambda, "Error handling for asynchronous invocation").
- Step Functions: ``Retry`` with full jitter, read from statemachine/start.asl.json (its ``Identify``) and run.asl.json,
  whose executions live for a year.
- SQS: a message lives for 14 days, is hidden when it is received, and moves to the next queue after a set number of
  receives (template.yaml). An event source mapping begins with five messages at a time, adds 300 a minute, and never
  more than its MaximumConcurrency (docs.aws.amazon.com/lambda, "Using Lambda with Amazon SQS").

Whoever asks first gets a free execution. Jitter and failing invocations are drawn from a fixed seed.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from castline.cost import USUAL_FILM, Sizes, estimate
from castline.cost.prices import SQS_REQUEST_USD, STEP_USD
from castline.local.resolver import Resolver
from castline.local.template import default_template, load_template, parameter_values
from castline.operations.preflight import shares
from castline.queues import HIDDEN_S, STAGE, delay_s
from castline.records import Options
from castline.settings import Settings

UPLOADS, LENGTH_S = 10_000, 600.0
CONCURRENCY = (10, 60, 1000)
_SEED = 12
_SIX_HOURS = 6 * 3600.0
_LONGEST_ASYNC_S = 300.0
_MACHINES = Path(__file__).parents[1] / "statemachine"
#: An upload's run is named by an invocation that only asks S3 for its version.
_IDENTIFY_S = 0.2
#: Share of the invocations that fail and are tried again (Orchestration=queue).
_FAILING = 0.001
#: Messages that an event source mapping takes at a time at first, and how many more each second.
_FIRST_AT_ONCE, _MORE_A_SECOND = 5, 300 / 60
#: How long nobody polls after a throttled message if no running invocation could end.
_PAUSE_S = 60.0
#: Requests for one attempt: receiving, looking up the queue's address, hiding the message while it runs.
_REQUESTS_AN_ATTEMPT = 3

Mode = Literal["queue", "events", "invoke", "stepfunctions"]
MODES: tuple[Mode, ...] = ("queue", "events", "invoke", "stepfunctions")


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of the invocations that one upload needs: its split, and each of its units."""

    split_s: float
    units_s: tuple[float, ...]

    @classmethod
    def of(cls, length_s: float) -> Work:
        usages, _ = estimate(length_s, Options(), USUAL_FILM, audio=True, sizes=Sizes())
        split = sum(one.seconds for one in usages if one.stage == "split")
        return cls(split, tuple(one.seconds for one in usages if one.stage in ("faces", "speech")))


def run(_folder: Path) -> dict[str, Any]:
    """By mode and concurrency: uploads given up, hours until the last one ends, dollars spent on waiting."""
    work = Work.of(LENGTH_S)
    found: dict[str, Any] = {"split_s": work.split_s, "units": len(work.units_s), "units_s": sum(work.units_s)}
    for mode in MODES:
        for concurrency in CONCURRENCY:
            found[f"{mode}, {concurrency}"] = burst(mode, concurrency, UPLOADS, work)
    return found


def burst(mode: Mode, concurrency: int, uploads: int, work: Work) -> dict[str, float]:
    """One burst. An upload is given up if its split or any of its units is."""
    if mode == "queue":
        splitters, _, analysers = shares(concurrency)
        return queued(concurrency, (splitters, analysers), uploads, work)
    return _asked(mode, concurrency, uploads, work)


@dataclass(slots=True)
class _Queue:
    """One queue and its reader.

    Attributes:
        limit: MaximumConcurrency.
        waiting: (when it can be received, when it was sent, upload, seconds of work).
    """

    limit: int
    takes_up_to: int
    kept_s: float
    waiting: list[tuple[float, float, int, float]] = field(default_factory=list)
    running: int = 0
    since_s: float = -1.0
    received: Counter[tuple[float, int, float]] = field(default_factory=Counter)
    throttled: Counter[tuple[float, int, float]] = field(default_factory=Counter)

    def room(self, now: float) -> bool:
        at_once = _FIRST_AT_ONCE + _MORE_A_SECOND * (now - self.since_s) if self.since_s >= 0 else _FIRST_AT_ONCE
        return self.running < min(self.limit, at_once)


def queued(
    concurrency: int, limits: tuple[int, int], uploads: int, work: Work, failing: float = _FAILING
) -> dict[str, float]:
    """Both stages read their queue, each with its own limit.

    Args:
        limits: of splitters and of analysers.
        failing: share of invocations that fail.

    Returns:
        Also the most receives of any message, and how many receives found no free execution in the account.
    """
    chance = random.Random(_SEED)
    uploads_queue, units_queue = (_queue(name, limit) for name, limit in zip(("Uploads", "Units"), limits, strict=True))
    uploads_queue.waiting = [(0.0, 0.0, upload, work.split_s) for upload in range(uploads)]
    left = Counter(dict.fromkeys(range(uploads), len(work.units_s)))
    ends: list[tuple[float, int, float, int, float]] = []  # when, which queue, sent, upload, seconds
    queues = (uploads_queue, units_queue)
    lost: set[int] = set()
    now, last, sent, attempts, throttled, most = 0.0, 0.0, uploads, 0, 0, 0
    closed_until = 0.0
    while ends or any(queue.waiting for queue in queues):
        for number, queue in enumerate(queues):
            while now >= closed_until and queue.waiting and queue.waiting[0][0] <= now and queue.room(now):
                _, since, upload, takes = heapq.heappop(queue.waiting)
                message = (since, upload, takes)
                if now - since > queue.kept_s or queue.received[message] >= queue.takes_up_to:
                    lost.add(upload)
                    continue
                queue.received[message] += 1
                most = max(most, queue.received[message])
                queue.since_s = now if queue.since_s < 0 else queue.since_s
                if len(ends) >= concurrency:
                    # Received but not invoked: it stays hidden, and the poller waits for a free execution.
                    throttled, closed_until = throttled + 1, ends[0][0] if ends else now + _PAUSE_S
                    queue.throttled[message] += 1
                    heapq.heappush(queue.waiting, (now + HIDDEN_S, since, upload, takes))
                    continue
                queue.running, attempts = queue.running + 1, attempts + 1
                heapq.heappush(ends, (now + takes, number, since, upload, takes))
        now = _next(now, ends, queues, closed_until)
        while ends and ends[0][0] <= now:
            ended, number, since, upload, takes = heapq.heappop(ends)
            queue, message, last = queues[number], (since, upload, takes), ended
            queue.running -= 1
            if chance.random() < failing:
                attempt = queue.received[message] - queue.throttled[message]
                if attempt >= STAGE.attempts:
                    lost.add(upload)
                else:
                    hidden_s = delay_s(attempt, Settings.model_fields["retry_s"].default)
                    heapq.heappush(queue.waiting, (ended + hidden_s, since, upload, takes))
            elif queue is uploads_queue:
                sent += len(work.units_s)
                # A nanosecond apart, because messages are identified by when they were sent.
                for at, takes_s in enumerate(work.units_s):
                    heapq.heappush(units_queue.waiting, (ended, ended + at * 1e-9, upload, takes_s))
            else:
                left[upload] -= 1
    given_up = sum(1 for upload in range(uploads) if upload in lost or left[upload])
    polls = 4 * last / 20 * 5  # five pollers per queue, 20 s each
    requests = 2 * sent + _REQUESTS_AN_ATTEMPT * attempts + throttled + polls  # sent and deleted once
    return {
        "given_up": given_up,
        "hours": round(last / 3600, 1),
        "usd_waiting": round(requests * SQS_REQUEST_USD, 2),
        "most_receives": most,
        "throttled": throttled,
    }


def _next(
    now: float, ends: list[tuple[float, int, float, int, float]], queues: tuple[_Queue, ...], closed_until: float
) -> float:
    """When something can happen: an invocation ends, a message becomes visible, or more may be read at a time."""
    times = [ends[0][0]] if ends else []
    for queue in queues:
        if not queue.waiting:
            continue
        if (seen := max(queue.waiting[0][0], closed_until)) > now:
            times.append(seen)
        elif queue.running < queue.limit:
            times.append(now + 1 / _MORE_A_SECOND)
    return min(times, default=now)


def _queue(name: str, limit: int) -> _Queue:
    """A stage's queue as the template defines it."""
    template = load_template(default_template())
    queue = Resolver(template, parameter_values(template, {})).resources("AWS::SQS::Queue")[f"{name}Queue"]
    return _Queue(limit, queue["RedrivePolicy"]["maxReceiveCount"], queue["MessageRetentionPeriod"])


def _asked(mode: Mode, concurrency: int, uploads: int, work: Work) -> dict[str, float]:
    """Whoever finds no free execution retries with growing delays until its time is up.

    A state machine retries tens of millions of times, so tries are processed second by second, in order; a retry due
    within the same second is moved to the next.
    """
    chance = np.random.default_rng(_SEED)
    steps = mode == "stepfunctions"
    heads = [_IDENTIFY_S, work.split_s] if steps else [work.split_s]
    takes = np.array([*heads, *work.units_s])
    each = len(takes)
    retry = _Retry(steps, len(heads), len(work.units_s))
    at = np.full(uploads * each, np.inf)  # when an invocation is tried next, by upload and position in it
    at[::each] = chance.uniform(0, 1, uploads)
    first, tries = np.zeros_like(at), np.zeros(at.size, dtype=np.int64)
    left, lost = np.full(uploads, each), np.zeros(uploads, dtype=bool)
    ends: list[float] = []
    last, tries_made, second = 0.0, 0, 0
    soon = np.flatnonzero(at < _WINDOW_S)
    while True:
        if second % _WINDOW_S == 0:
            soon = np.flatnonzero(at < second + _WINDOW_S)
            if not soon.size and not np.isfinite(at).any():
                break
        due = soon[at[soon] < second + 1]
        if not due.size:
            nearest = at[soon].min(initial=np.inf)
            second = int(min(nearest, (second // _WINDOW_S + 1) * _WINDOW_S))
            continue
        due = due[np.argsort(at[due], kind="stable")]
        second += 1
        times, begun, here = at[due], [], 0
        while here < due.size:
            while ends and ends[0] <= times[here]:
                heapq.heappop(ends)
            if len(ends) >= concurrency:
                here = int(np.searchsorted(times, ends[0]))
                continue
            begun.append(here)
            one, here = int(due[here]), here + 1
            upload, place = divmod(one, each)
            done = float(at[one]) + float(takes[place])
            heapq.heappush(ends, done)
            last = max(last, done)
            left[upload] -= 1
            at[one] = np.inf
            if place < len(heads):
                following = np.arange(one + 1, one + 2 if place + 1 < len(heads) else (upload + 1) * each)
                at[following] = first[following] = done
                soon = np.concatenate([soon, following])
        refused = np.delete(due, begun)
        tries_made += refused.size
        again = at[refused] + retry.wait_s(chance, refused % each, tries[refused])
        tries[refused] += 1
        over = retry.over(refused % each, tries[refused], again - first[refused])
        lost[refused[over] // each] = True
        at[refused] = np.where(over, np.inf, again)
    given_up = int((lost | (left > 0)).sum())
    usd = tries_made * STEP_USD if steps else 0.0
    return {"given_up": given_up, "hours": round(last / 3600, 1), "usd_waiting": round(usd, 2)}


#: Seconds of tries that are processed together.
_WINDOW_S = 60


class _Retry:
    """How throttled invocations wait, by their position in the upload."""

    def __init__(self, steps: bool, heads: int, units: int) -> None:
        self._steps = steps
        retriers = _retriers(units) if steps else []
        by_place = [*retriers[:heads], *retriers[-1:] * units]
        self._first_s, self._rate, self._longest_s, self._tries = (
            np.array([float(retrier[key]) for retrier in by_place])
            for key in ("IntervalSeconds", "BackoffRate", "MaxDelaySeconds", "MaxAttempts")
        )

    def wait_s(self, chance: np.random.Generator, places: np.ndarray, tries: np.ndarray) -> np.ndarray:
        """
        Args:
            tries: those made so far.
        """
        if not self._steps:
            longest = np.minimum(2.0 ** np.minimum(tries, 20), _LONGEST_ASYNC_S)
            return longest * chance.uniform(0.5, 1, tries.size)
        longest = self._first_s[places] * self._rate[places] ** np.minimum(tries, 40)
        return np.minimum(longest, self._longest_s[places]) * chance.uniform(0, 1, tries.size)

    def over(self, places: np.ndarray, tries: np.ndarray, waited_s: np.ndarray) -> np.ndarray:
        """Whether no tries are left."""
        return tries > self._tries[places] if self._steps else waited_s > _SIX_HOURS


def _retriers(units: int) -> list[dict[str, Any]]:
    """How the machines wait when throttled: for the run's name, for its splitter, and for each unit."""
    start = json.loads((_MACHINES / "start.asl.json").read_text())["States"]
    states = json.loads((_MACHINES / "run.asl.json").read_text())["States"]
    few = int(states["Are they many?"]["Choices"][0]["Variable"].rpartition("[")[2].rstrip("]"))
    map_ = states["Analyse many units" if units > few else "Analyse every unit"]["ItemProcessor"]
    return [_throttled(state) for state in (start["Identify"], states["Split"], map_["States"][map_["StartAt"]])]


def _throttled(state: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        retrier for retrier in state["Retry"] if "Lambda.TooManyRequestsException" in retrier["ErrorEquals"]
    ]
    return found[0]
