"""Ranges of a long recording: their plan, their outcomes, and the manifest once all have ended."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from aws_lambda_powertools import Logger

from castline import keys
from castline.display import some
from castline.errors import CastlineError, UnreadableObject
from castline.media import SplitSummary
from castline.media.ffmpeg import Limits
from castline.media.notices import Told
from castline.media.summary import conclude
from castline.records import Failure, Manifest, Notice, PlannedRange, RangeDone, RangePlan
from castline.runs.sets import once_more, split_manifest
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

R = TypeVar("R", RangePlan, RangeDone)

_READS = 8  # at once
#: How many unit numbers each range has; a unit's number shows which range it belongs to.
UNITS = 10_000
_SAID = 5  # ranges that the error names, at most


def read_plan(media: str, run: str, store: ObjectStore, settings: Settings) -> RangePlan | None:
    """How a run is cut; None if it is not, or if the plan cannot be read or belongs to another run."""
    plan = _read(RangePlan, keys.plan_key(media, run), store, settings)
    return plan if plan and (plan.source.key, plan.run) == (media, run) else None


def read_done(plan: RangePlan, number: int, store: ObjectStore, settings: Settings) -> RangeDone | None:
    """The outcome of a range; None if there is none yet, or if it cannot be read."""
    return _read(RangeDone, keys.range_done_key(plan.source.key, plan.run, number), store, settings)


def _read(kind: type[R], key: str, store: ObjectStore, settings: Settings) -> R | None:
    try:
        return read_object(kind, store, settings.stage1_bucket, key)
    except UnreadableObject as error:
        logger.error("the outcome of a range cannot be read", reason=error.message)
        return None


def ended(done: RangeDone | None) -> bool:
    """Whether a range has ended, and another attempt is not worthwhile."""
    return done is not None and not (done.error and once_more(done.error.code, done.attempt))


def write_done(plan: RangePlan, number: int, done: RangeDone, store: ObjectStore, settings: Settings) -> None:
    """Record the outcome of a range; a better one that exists stays."""
    key = keys.range_done_key(plan.source.key, plan.run, number)
    if not store.put(settings.stage1_bucket, key, done.to_json(), if_absent=True):
        there = read_done(plan, number, store, settings)
        if there is None or there.error:
            store.put(settings.stage1_bucket, key, done.to_json())


def forget_ranges(plan: RangePlan, store: ObjectStore, settings: Settings) -> None:
    """Forget the outcomes of all ranges, so that they are split again."""
    media, run = plan.source.key, plan.run
    store.delete(settings.stage1_bucket, [keys.range_done_key(media, run, each) for each in range(len(plan.ranges))])


def finish(plan: RangePlan, store: ObjectStore, settings: Settings) -> Manifest | None:
    """Write the manifest if all ranges have ended: the first time, or again if there is more now.

    Returns:
        The manifest that this call wrote.
    """
    media, run = plan.source.key, plan.run
    prefix = f"{keys.run_prefix(media, run)}ranges/"
    there = {info.key for info in store.find(settings.stage1_bucket, prefix)}
    if any(keys.range_done_key(media, run, number) not in there for number in range(len(plan.ranges))):
        return None
    with ThreadPoolExecutor(_READS) as pool:
        found = list(pool.map(partial(read_done, plan, store=store, settings=settings), range(len(plan.ranges))))
    dones = [done for done in found if done]
    if len(dones) < len(found):
        return None
    manifest = merge(plan, dones, settings)
    key = keys.manifest_key(media, run)
    if store.put(settings.stage1_bucket, key, manifest.to_json(), if_absent=True):
        return manifest
    before = split_manifest(key, store, settings)
    if before and (len(before.units), before.attempt) >= (len(manifest.units), manifest.attempt):
        return None
    store.put(settings.stage1_bucket, key, manifest.to_json())
    return manifest


def merge(plan: RangePlan, dones: Sequence[RangeDone], settings: Settings) -> Manifest:
    """The manifest of a run from all its ranges, in order: the same as from an undivided decode."""
    summary, told = SplitSummary(sampling=plan.sampling), Told()
    summary.told = told
    for number, done in enumerate(dones):
        summary.sampled_ms += done.sampled_ms
        summary.frame_units += done.frames
        summary.numbers += range(number * UNITS, number * UNITS + len(done.frames))
        summary.audio_units += done.audio
        summary.audio_s = max(summary.audio_s, done.audio_s)
        told.errors += done.errors
        told.error_count += done.error_count
        told.cancelled_s += done.cancelled_s
        told.noise_s += done.noise_s
        told.sound_capped = told.sound_capped or done.sound_capped
        told.left_out += done.left_out
        if done.other_sizes:
            told.other_sizes = told.other_sizes or CastlineError(done.other_sizes.message)
    summary.sampled_ms.sort()
    problem: CastlineError | None = None
    missing = [(planned, done.error) for planned, done in zip(plan.ranges, dones, strict=True) if done.error]
    limits, end_s = Limits.of(settings), settings.max_duration_s
    try:
        conclude(summary, plan.probe, plan.options, limits, end_s, _stated(plan), lambda: plan.even and not missing)
    except CastlineError as error:
        problem = error
    problem = problem or summary.error
    return Manifest(
        run=plan.run,
        source=plan.source,
        options=plan.options,
        probe=plan.probe,
        duration_s=summary.duration_s(plan.probe),
        sampling=summary.sampling,
        sample_times_ms=tuple(summary.sampled_ms),
        units=summary.units(),
        warnings=(*summary.warnings, *(_notice(planned, failure) for planned, failure in missing)),
        error=_failure(missing) if missing else Failure.of(problem) if problem else None,
        attempt=max(plan.attempt, *(done.attempt for done in dones)),
        usage=plan.usage,
        ranges=tuple(done.usage for done in dones),
    )


def _stated(plan: RangePlan) -> dict[str, float]:
    kinds = {"frames": "video", "audio": "audio"}
    return {kinds[planned.kind]: planned.end_s for planned in sorted(plan.ranges, key=lambda planned: planned.end_s)}


def _notice(planned: PlannedRange, failure: Failure) -> Notice:
    message = f"{described(planned)} could not all be decoded: {failure.message}"
    return Notice(code="range_missing", message=message[:500], start_s=planned.start_s, end_s=planned.end_s)


def _failure(missing: Sequence[tuple[PlannedRange, Failure]]) -> Failure:
    named = some([described(planned) for planned, _ in missing], _SAID)
    first = missing[0][1]
    return first.model_copy(update={"message": f"{named} could not all be decoded: {first.message}"[:500]})


def described(planned: PlannedRange) -> str:
    """A range as messages to people describe it."""
    what = "the pictures" if planned.kind == "frames" else "the sound"
    return f"{what} from {planned.start_s:.1f} to {planned.end_s:.1f} s"
