"""One hour of 1080p30 with one to a thousand concurrent invocations: measured stages, simulated deployment.

Measured here, on a few minutes of film: the processor-seconds of planning, each range, the sound, each batch of frames,
each chunk of speech and the assembly. Simulated, with a seed: an hour of film on Lambda. Assumed, as docs/BENCHMARKS.md
says: a vCPU of Lambda is as fast as a core here; S3's events; cold starts; the network.
"""

from __future__ import annotations

import heapq
import math
import random
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks import pieces
from benchmarks.common import FFMPEG, ROOT, film
from benchmarks.pieces import ANSWER_S
from castline import keys
from castline.cost import MB_PER_VCPU, S3_GET_USD, cost_of
from castline.engines.process import process_engines
from castline.events import object_created
from castline.operations.preflight import NEW_ACCOUNT, shares
from castline.records import Manifest, Usage
from castline.runs.complete import complete_run
from castline.settings import Settings
from castline.stages import split_event
from castline.stages.analyse import analyse_unit
from castline.storage import MemoryStore
from castline.storage.signed import CONNECTIONS

MINUTES = 5
HOUR_S = 3600.0
RANGES = 60
WAYS = (1, 10, 60, 1000)
_CURVE = (1, 2, 5, 10, 20, 40, 60, 100, 200, 500, 1000)
_SEEDS = range(16, 37)
_SPLITTER_MB, _ANALYSER_MB = 2048, 3008
_BASE_PER_S = 0.16  # vCPU-seconds of Whisper base per second of sound (castline/cost.py, docs/BENCHMARKS.md)

# Assumptions.
_EVENT_S = (0.2, 1.0)  # from the object in S3 to the function
_START_S = {"split": 1.0, "analyse": 4.0}  # a cold start: the zip; the image, with its models
_BYTES = HOUR_S * 8e6 / 8  # of the file: 8 Mbit/s
_BYTES_A_S = 75e6  # of one function's network
_PIECES = HOUR_S * 2  # of the sound, which is interleaved with the video
_WRITTEN_AT_ONCE = 16  # requests for ranges, before those for the sound (stages/plan.py)
_JITTER = 0.15  # standard deviation of the logarithm of a duration
#: A queue's pollers begin with five invocations and add 300 a minute (docs.aws.amazon.com/lambda, "Configuring scaling
#: behavior for SQS event source mappings", 2025-06).
_FIRST_OF_QUEUE, _MORE_OF_QUEUE_A_S = 5, 5.0
_STAGE = {"uploads": "split", "ranges": "split", "units": "analyse"}

#: US dollars per hour of video, as in docs/BENCHMARKS.md.
OTHERS = {"Media2Cloud": 121.0, "Content Localization": 30.0, "hosted transcription": 0.36}


@dataclass(frozen=True, slots=True)
class Measured:
    """Processor-seconds: of a range, an hour of sound, a batch, a second of speech, an hour's assembly.

    Attributes:
        whole: decoding an hour in one piece.
        batches: how many per range.
        piece: one small piece of the file; the sound consists of many.
    """

    plan: float
    range: float
    sound: float
    whole: float
    batch: float
    batches: float
    speech_per_s: float
    assembly: float
    piece: float


def run(folder: Path, repeats: int = 1) -> dict[str, object]:
    """Measurements, and seconds and dollars by the number of concurrent invocations."""
    measured = measure(folder)
    models = {"tiny.en": measured.speech_per_s, "base": _BASE_PER_S}
    found: dict[str, object] = {"measured": {name: getattr(measured, name) for name in Measured.__slots__}}
    curves = {}
    for model, speech in models.items():
        queues, events = f"{model}, queues", f"{model}, events"
        curves[queues] = {way: simulate(measured, way, speech) for way in _CURVE if way >= NEW_ACCOUNT}
        curves[events] = {way: simulate(measured, way, speech, queues=False) for way in _CURVE}
        for name in (queues, events):
            found[name] = {way: curves[name][way] for way in WAYS if way in curves[name]}
        uncut = {way: simulate(measured, way, speech, ranges=1, queues=False) for way in WAYS}
        found[f"{model}, one function decodes"] = uncut
    plot(curves, ROOT / "docs" / "scale.png")
    return found


def measure(folder: Path) -> Measured:
    """Every stage on a few minutes of film, in this process."""
    path = film(folder / "film-1080p.mp4", MINUTES, "1920x1080")
    config = Settings(ffmpeg=FFMPEG, cut_above_s=60, threads=1, transcriber="faster-whisper:tiny.en")
    key, store = "film.mp4", MemoryStore()
    store.put(config.input_bucket, key, path)
    plan = _spent(lambda: split_event(object_created(config.input_bucket, key), store, config))
    asked = [info.key for info in store.find(config.stage1_bucket) if keys.parse_range(info.key)]
    sound, *ranges = [
        _spent(lambda key=each: split_event(object_created(config.stage1_bucket, key), store, config)) for each in asked
    ]
    (name,) = [info.key for info in store.find(config.stage1_bucket) if keys.parse_manifest(info.key)]
    manifest = Manifest.from_json(store.get(config.stage1_bucket, name) or b"")
    if manifest.error or len(ranges) < MINUTES - 1:
        raise RuntimeError(f"the film was not cut well: {manifest.error}")
    engines = process_engines(config, store)
    _ = engines.detector, engines.embedder, engines.transcriber
    batches, speech = [], []
    for unit in manifest.units:
        one = keys.UnitId(key, manifest.run, unit.kind, unit.index)
        spent = _spent(lambda one=one: analyse_unit(one, store, config, engines))
        if unit.kind == "frames":
            batches.append(spent)
        else:
            speech.append(spent / (unit.end_s - unit.start_s))
    assembly = _spent(lambda: complete_run(key, manifest.run, store, config))
    whole = Settings(**{**config.model_dump(), "cut_above_s": 0, "sampling": "interval"})
    store.put(config.input_bucket, "whole.mp4", path)
    uncut = _spent(lambda: split_event(object_created(config.input_bucket, "whole.mp4"), store, whole))
    hours = HOUR_S / (MINUTES * 60)
    return Measured(
        plan=plan,
        range=statistics.median(ranges),
        sound=sound * hours,
        whole=uncut * hours,
        batch=statistics.mean(batches),
        batches=len(batches) * hours / RANGES,
        speech_per_s=statistics.mean(speech),
        assembly=assembly * hours,
        piece=pieces.run(folder)["signed_cpu_ms"] / 1e3,
    )


def _spent(work: Callable[[], object]) -> float:
    """Processor-seconds of this process and of the children it waited for: a busy machine changes them little."""
    before = _processor()
    work()
    return _processor() - before


def _processor() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(order=True)
class Task:
    """One invocation: when it may begin, and what follows at which fraction of its work."""

    ready_s: float
    number: int
    queue: str = field(compare=False)
    work_s: float = field(compare=False)
    fetch_s: float = field(compare=False, default=0.0)
    parallel: float = field(compare=False, default=2.0)
    gives: tuple[tuple[float, str], ...] = field(compare=False, default=())

    @property
    def stage(self) -> str:
        return _STAGE[self.queue]


class Waiting:
    """What may begin, and when: limited for each queue, or for all together (events)."""

    def __init__(self, way: int, limits: Mapping[str, int] | None) -> None:
        self._way, self._limits = way, limits
        self._tasks: dict[str, list[Task]] = {queue: [] for queue in _STAGE}
        self._first_s: dict[str, float] = {}
        self._running = dict.fromkeys(_STAGE, 0)

    def push(self, task: Task) -> None:
        heapq.heappush(self._tasks[task.queue], task)
        self._first_s[task.queue] = min(self._first_s.get(task.queue, task.ready_s), task.ready_s)

    def pop(self, now: float) -> Task | None:
        """The one that has waited longest of those that may begin."""
        ready = [tasks[0] for queue, tasks in self._tasks.items() if tasks and self._begins_s(queue) <= now]
        if not ready:
            return None
        task = heapq.heappop(self._tasks[min(ready).queue])
        self._running[task.queue] += 1
        return task

    def ended(self, task: Task) -> None:
        self._running[task.queue] -= 1

    def next_s(self) -> float:
        """When the next one begins unless something ends earlier."""
        return min((self._begins_s(queue) for queue, tasks in self._tasks.items() if tasks), default=math.inf)

    def _begins_s(self, queue: str) -> float:
        ready_s, running = self._tasks[queue][0].ready_s, self._running[queue]
        if self._limits is None:
            return ready_s if sum(self._running.values()) < self._way else math.inf
        if running >= self._limits[queue]:
            return math.inf
        grown_s = max(0, running + 1 - _FIRST_OF_QUEUE) / _MORE_OF_QUEUE_A_S
        return max(ready_s, self._first_s[queue] + grown_s)


def simulate(
    measured: Measured, way: int, speech_per_s: float, ranges: int = RANGES, *, queues: bool = True
) -> dict[str, float]:
    """Seconds from upload to result, and dollars, for an account with such a concurrency: medians over seeds.

    Args:
        queues: ``Orchestration=queue`` with the limits that ``castline preflight`` advises, or ``events``.
    """
    found = [_simulate(measured, way, speech_per_s, ranges, queues, seed) for seed in _SEEDS]
    seconds, usd = (sorted(values) for values in zip(*found, strict=True))
    middle = len(found) // 2
    return {"seconds": round(seconds[middle], 1), "usd": round(usd[middle], 4), "slowest": round(seconds[-1], 1)}


def _simulate(
    measured: Measured, way: int, speech_per_s: float, ranges: int, queues: bool, seed: int
) -> tuple[float, float]:
    dice, numbers = random.Random(seed), count()
    memory = {"split": _SPLITTER_MB, "analyse": _ANALYSER_MB}
    limits = dict(zip(_STAGE, shares(way), strict=True)) if queues else None
    waiting = Waiting(way, limits)
    running: list[tuple[float, Task]] = []
    idle = {"split": 0, "analyse": 0}
    usages: list[Usage] = []
    now, last, parts = 0.0, 0.0, 0

    def push(at_s: float, queue: str, work_s: float, **more: object) -> None:
        ready = at_s + dice.uniform(*_EVENT_S)
        waiting.push(Task(ready, next(numbers), queue, work_s, **more))  # type: ignore[arg-type]

    chunks = round(HOUR_S / 60)
    per_range = max(1, round(measured.batches))
    batches = per_range * RANGES
    heard = tuple(((at + 1) / chunks, "speech") for at in range(chunks))
    if ranges > 1:
        push(0.0, "uploads", measured.plan, gives=((1.0, "ranges"),))
    else:
        seen = tuple(((at + 1) / batches, "faces") for at in range(batches))
        push(0.0, "uploads", measured.whole, fetch_s=_BYTES / _BYTES_A_S, gives=(*heard, *seen))
    while True:
        while task := waiting.pop(now):
            start = 0.0 if idle[task.stage] else _START_S[task.stage]
            idle[task.stage] -= bool(idle[task.stage])
            vcpus = min(memory[task.stage] / MB_PER_VCPU, task.parallel)
            before = start + task.fetch_s
            took = before + task.work_s / vcpus * dice.lognormvariate(0.0, _JITTER)
            usages.append(Usage(stage=task.stage, seconds=round(took, 3), memory_mb=memory[task.stage]))
            heapq.heappush(running, (now + took, task))
            last = max(last, now + took)
            for share, what in task.gives:
                at_s = now + before + share * (took - before)
                if what == "ranges":
                    requests = _PIECES * max(ANSWER_S / CONNECTIONS, measured.piece / vcpus)
                    push(at_s + ANSWER_S, "ranges", measured.sound, fetch_s=requests, gives=heard)
                    seen = tuple(((batch + 1) / per_range, "faces") for batch in range(per_range))
                    for number in range(ranges):
                        written_s = at_s + ANSWER_S * (2 + number // _WRITTEN_AT_ONCE)
                        push(written_s, "ranges", measured.range, fetch_s=_BYTES / ranges / _BYTES_A_S, gives=seen)
                elif what == "faces":
                    push(at_s, "units", measured.batch)
                    parts += 1
                else:
                    push(at_s, "units", HOUR_S / chunks * speech_per_s, parallel=1.0)
                    parts += 1
        now = min(waiting.next_s(), running[0][0] if running else math.inf)
        if now == math.inf:
            break
        while running and running[0][0] <= now:
            _, task = heapq.heappop(running)
            idle[task.stage] += 1
            waiting.ended(task)
    assembly = measured.assembly / (_ANALYSER_MB / MB_PER_VCPU)
    usages.append(Usage(stage="analyse", seconds=round(assembly, 3), memory_mb=_ANALYSER_MB))
    requests = _PIECES + 10 * ranges if ranges > 1 else 0
    return last + assembly, cost_of(usages, parts, 0).usd + requests * S3_GET_USD


def plot(curves: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Seconds by concurrency, and dollars compared with other services."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for name, curve in curves.items():
        style = "-" if "queues" in name else ":"
        colour = "C0" if "tiny" in name else "C1"
        seconds = [point["seconds"] for point in curve.values()]
        left.plot(list(curve), seconds, style, color=colour, marker="o", markersize=4, label=f"Whisper {name}")
    left.axhline(45, color="grey", linewidth=0.8, linestyle="--")
    left.set(xscale="log", yscale="log", xlabel="invocations at once", ylabel="seconds", title="One hour of 1080p30")
    left.legend()
    own = {name: curve[60]["usd"] for name, curve in curves.items() if "queues" in name}
    prices = {f"Castline, {name.partition(',')[0]}": usd for name, usd in own.items()} | OTHERS
    right.barh(list(prices), list(prices.values()), color=["C0", "C1", *["grey"] * len(OTHERS)])
    for at, price in enumerate(prices.values()):
        right.text(price, at, f" ${price:.2f}", va="center")
    right.set(xscale="log", xlim=(0.01, 1000), xlabel="US dollars an hour of video", title="Cost")
    right.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
