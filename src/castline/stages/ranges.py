"""Stage 1 of one range of a long recording; the last range to end writes the manifest (``runs.ranges``)."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from aws_lambda_powertools import Logger

from castline import keys, metrics
from castline.errors import CastlineError, UnreadableObject
from castline.events import ObjectCreated
from castline.media import AudioPiece, MotionPiece, SplitSummary, split_part
from castline.media.ffmpeg import Limits
from castline.records import Failure, Manifest, RangeBytes, RangeDone, RangePlan
from castline.runs.common import Split, Stopwatch, download, fetch, found_split, time_to_decode
from castline.runs.ranges import UNITS, ended, finish, read_done, read_plan, write_done
from castline.runs.removal import discard_units
from castline.runs.request import read_source
from castline.scratch import SCRATCH
from castline.settings import Settings
from castline.stages.announce import Announce
from castline.stages.plan import part_of
from castline.stages.uploads import Units, put_all
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(service="video-splitting")


def split_range(item: ObjectCreated, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """Decode one range, unless that was done, and write the manifest if it was the last to end.

    Returns:
        The whole run, if its manifest was written.

    Raises:
        CastlineError: a retryable one; the platform invokes again.
    """
    parsed = keys.parse_range(item.key)
    if parsed is None:
        return None
    media, run, number = parsed
    logger.append_keys(media=media, run=run)
    plan = read_plan(media, run, store, settings)
    if plan is None or number >= len(plan.ranges):
        logger.info("a range of no plan, ignored", key=item.key)
        return None
    current = read_source(plan.source.bucket, media, store)
    if current is None or current.identity != plan.source.identity:
        logger.info("replaced or deleted meanwhile, ignored")
        if current is None:
            discard_units(media, store, settings)
        return None
    before = read_done(plan, number, store, settings)
    if ended(before):
        logger.info("already decoded, ignored", range=number)
    else:
        done = _decode(plan, number, store, settings, announce)
        if done is None:
            logger.info("replaced or deleted while being read, ignored")
            return None
        attempt = before.attempt + 1 if before else 1
        write_done(plan, number, done.model_copy(update={"attempt": attempt}), store, settings)
        metrics.record("SplitSeconds", done.usage.seconds)
    return conclude_run(plan, store, settings, announce)


def conclude_run(plan: RangePlan, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """Write and announce the manifest, if all ranges have ended."""
    manifest: Manifest | None = finish(plan, store, settings)
    if manifest is None:
        return None
    media = plan.source.key
    if store.head(plan.source.bucket, media) is None:
        logger.info("deleted while it was being split; removed")
        discard_units(media, store, settings)
        return None
    announce(keys.manifest_key(media, plan.run))
    logger.info("split", units=len(manifest.units), ranges=len(plan.ranges))
    return found_split(manifest, new=True)


def _decode(
    plan: RangePlan, number: int, store: ObjectStore, settings: Settings, announce: Announce
) -> RangeDone | None:
    """The range's units and its outcome; None if its upload is gone."""
    watch, summary, source = Stopwatch("split", settings), SplitSummary(), plan.source
    limits = Limits.of(settings, time_to_decode(settings))
    planned = plan.ranges[number]
    part = part_of(planned, plan) if planned.kind == "frames" else None
    error: CastlineError | None = None

    def units(path: Path) -> Units:
        most_s = settings.max_duration_s
        for piece in split_part(path, plan.probe, plan.options, limits, summary, part, max_duration_s=most_s):
            if isinstance(piece, MotionPiece):
                yield keys.motion_key(source.key, plan.run, piece.start_ms), piece.body
                continue
            if isinstance(piece, AudioPiece):
                unit = keys.UnitId(source.key, plan.run, "audio", piece.unit.index)
            else:
                unit = keys.UnitId(source.key, plan.run, "frames", number * UNITS + piece.index)
            yield unit.stage1_key, piece.body

    try:
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}range-") as folder:
            path = Path(folder) / f"media{PurePosixPath(source.key).suffix.lower()}"
            with watch.step("download"):
                if not _fetch(plan, number, path, store, settings):
                    return None
            with watch.step("decode"):
                put_all(units(path), store, settings, announce)
        error = next(iter(summary.failures.values()), None)
    except CastlineError as problem:
        if problem.retryable:
            raise
        error = problem
    if error:
        logger.warning("a range ended with an error", range=number, code=error.code, reason=error.message)
    told = summary.told
    return RangeDone(
        sampled_ms=tuple(summary.sampled_ms),
        frames=tuple(summary.frame_units),
        audio=tuple(summary.audio_units),
        audio_s=summary.audio_s,
        errors=tuple(told.errors),
        error_count=told.error_count,
        cancelled_s=told.cancelled_s,
        noise_s=told.noise_s,
        sound_capped=told.sound_capped,
        left_out=told.left_out,
        other_sizes=Failure.of(told.other_sizes) if told.other_sizes else None,
        error=Failure.of(error) if error else None,
        usage=watch.usage(),
    )


def _fetch(plan: RangePlan, number: int, path: Path, store: ObjectStore, settings: Settings) -> bool:
    key = keys.range_key(plan.source.key, plan.run, number)
    try:
        asked = read_object(RangeBytes, store, settings.stage1_bucket, key)
    except UnreadableObject as error:
        logger.error("the pieces of a range cannot be read; the whole file is fetched", reason=error.message)
        asked = None
    if asked and asked.spans:
        return fetch(plan.source, asked.spans, path, store)
    return download(plan.source, path, store, settings)
