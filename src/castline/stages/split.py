"""Stage 1: a media file becomes units. Idempotent by run: a repeated event finds the manifest and stops."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from aws_lambda_powertools import Logger

from castline import keys, metrics
from castline.errors import CastlineError
from castline.events import ObjectCreated
from castline.media import AudioPiece, MotionPiece, SplitSummary, is_played, make_proxy, split
from castline.media.ffmpeg import Limits
from castline.records import Failure, Manifest, Probe
from castline.runs.common import Split, Stopwatch, found_ranges, found_split, read_result, time_to_decode
from castline.runs.ranges import forget_ranges, read_plan
from castline.runs.removal import discard_units
from castline.runs.request import Request, came_first, read_request, source_of
from castline.runs.sets import split_again, split_manifest
from castline.scratch import SCRATCH
from castline.settings import Settings
from castline.stages.announce import Announce
from castline.stages.plan import Cutting, ask
from castline.stages.ranges import conclude_run
from castline.stages.uploads import Units, put_all
from castline.storage.base import ObjectStore

logger = Logger(service="video-splitting")


def split_media(item: ObjectCreated, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """Split the current upload of one media file; an event of its sidecar is one of the media.

    Events may be late or repeated; whatever they say, the current version is the one to process. Errors in the media
    itself end in a manifest that names them.

    Returns:
        What exists now, made by this call or before; None if there is nothing to split.

    Raises:
        CastlineError: a retryable one; the platform invokes again.
    """
    if came_first(item, store, settings):
        logger.info("a sidecar that was there before its media file, whose event is enough: ignored", key=item.key)
        return None
    source = source_of(item, store, settings)
    if source is None:
        logger.info("not ours, gone before it was read, or not there yet: ignored", key=item.key, bucket=item.bucket)
        if item.bucket == settings.input_bucket and (gone := keys.media_of(item.key)):
            discard_units(gone, store, settings)
        return None
    media = source.key
    request = read_request(source, store, settings)
    run = request.run
    logger.append_keys(media=media, run=run)
    manifest_key = keys.manifest_key(media, run)
    if not keys.has_room(media):
        logger.error("the key is so long that S3 takes no result beside it; status says so")
        metrics.record("Failures")
        return None
    there = store.head(settings.stage1_bucket, manifest_key) is not None
    done = split_manifest(manifest_key, store, settings)
    if done and not split_again(done, store, settings):
        if _publish_again(done.to_json(), media, run, manifest_key, store, settings):
            announce(manifest_key)
        return found_split(done, new=False)
    watch = Stopwatch("split", settings)
    limits = Limits.of(settings, time_to_decode(settings))
    summary = SplitSummary()
    probed: Probe | None = None
    failure: CastlineError | None = None
    try:
        keys.check_media_key(media)
        if request.error:
            raise request.error
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}media-") as folder:
            path = Path(folder) / f"media{PurePosixPath(media).suffix.lower()}"
            cutting = Cutting(request, path, store, settings, limits)
            if not cutting.open(watch):
                logger.info("replaced or deleted while being read, ignored")
                return None
            probed = cutting.probed
            cutting.check_cost()
            before = read_plan(media, run, store, settings)
            if before and done and not done.error:  # its units were removed before they had a part
                forget_ranges(before, store, settings)
            if planned := cutting.plan(before, watch):
                plan, needed = planned
                cutting.check_ranges(plan, time_to_decode(settings))
                asked = ask(plan, needed, store, settings, announce)
                logger.info("cut into ranges", ranges=len(plan.ranges), asked=len(asked))
                whole = None if asked else conclude_run(plan, store, settings, announce)
                return whole or found_ranges(media, run, asked)
            cutting.check_time(time_to_decode(settings) - watch.elapsed_s)
            if not cutting.whole(watch):
                logger.info("replaced or deleted while being read, ignored")
                return None
            with watch.step("decode"):
                _upload_units(path, probed, request, store, settings, summary, announce, limits)
            if settings.proxy_s and not (summary.error or is_played(probed)):
                with watch.step("proxy"):
                    _upload_proxy(path, probed, request, store, settings, limits)
        failure = summary.error
    except CastlineError as error:
        if error.retryable:
            raise
        failure = error
    if failure:
        logger.warning("split ended with an error", code=failure.code, reason=failure.message, detail=failure.detail)
    manifest = Manifest(
        run=run,
        source=source,
        options=request.options,
        probe=probed,
        duration_s=summary.duration_s(probed) if probed else None,
        sampling=summary.sampling,
        sample_times_ms=tuple(summary.sampled_ms),
        units=summary.units(),
        warnings=tuple(summary.warnings),
        error=Failure.of(failure) if failure else None,
        attempt=done.attempt + 1 if done else 1,
        usage=watch.usage(),
    )
    store.put(settings.stage1_bucket, manifest_key, manifest.to_json(), if_absent=not there)
    if store.head(source.bucket, media) is None:
        logger.info("deleted while it was being split; removed")
        discard_units(media, store, settings)
        return None
    announce(manifest_key)
    metrics.record("SplitSeconds", manifest.usage.seconds)
    logger.info("split", units=len(manifest.units), seconds=manifest.usage.seconds)
    return found_split(manifest, new=True)


def _publish_again(
    manifest: bytes, media: str, run: str, manifest_key: str, store: ObjectStore, settings: Settings
) -> bool:
    """Publish an existing run again: a sidecar may be restored while another run's result, or none, is shown.

    Writing the manifest once more makes stage 2 check whether the run is complete, and publish it if so.
    """
    published = read_result(media, store, settings)
    if published and published.run == run:
        logger.info("already split and published, ignored")
        return False
    logger.info("already split; asked to be published", instead_of=published.run if published else None)
    return store.put(settings.stage1_bucket, manifest_key, manifest)


def _upload_proxy(
    path: Path, probed: Probe, request: Request, store: ObjectStore, settings: Settings, limits: Limits
) -> None:
    """Make the proxy that browsers play, while the units are analysed; not every file needs or gets one."""
    key, target = keys.proxy_key(request.source.key, request.run), path.with_name(keys.PROXY)
    if store.head(settings.stage1_bucket, key) is not None:
        return
    if make_proxy(path, probed, limits, settings.proxy_s, target):
        store.upload(settings.stage1_bucket, key, target)
    else:
        logger.info("no proxy: it would take too long, be too large, or cannot be decoded")


def _upload_units(
    path: Path,
    probed: Probe,
    request: Request,
    store: ObjectStore,
    settings: Settings,
    summary: SplitSummary,
    announce: Announce,
    limits: Limits,
) -> None:
    def units() -> Units:
        for piece in split(path, probed, request.options, limits, summary, max_duration_s=settings.max_duration_s):
            if isinstance(piece, MotionPiece):
                yield keys.motion_key(request.source.key, request.run, piece.start_ms), piece.body
                continue
            audio = isinstance(piece, AudioPiece)
            unit = keys.UnitId(
                request.source.key,
                request.run,
                "audio" if audio else "frames",
                piece.unit.index if isinstance(piece, AudioPiece) else piece.index,
            )
            yield unit.stage1_key, piece.body

    # Units are analysed before the manifest is written, so their options come first.
    options_key = keys.options_key(request.source.key, request.run)
    store.put(settings.stage1_bucket, options_key, request.options.to_json())
    put_all(units(), store, settings, announce)
