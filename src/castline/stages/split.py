"""Stage 1: a media becomes units. Idempotent by run: a repeated event finds the manifest and stops."""

from __future__ import annotations

import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from aws_lambda_powertools import Logger

from castline import keys
from castline.errors import CastlineError, DiskFull, MediaTooLarge, NotMedia
from castline.events import Event, ObjectCreated, objects_created
from castline.media import AudioPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.records import Failure, Manifest, ObjectInfo, Probe, Source
from castline.settings import Settings
from castline.stages.common import Stopwatch, run_of, source_of
from castline.storage.base import ObjectStore

logger = Logger(service="video-splitting")

_UPLOADS = 4  # at once; decoding is the bottleneck, uploads must only not hold it up
_BACKLOG = 16  # units waiting for upload before decoding waits; bounds memory


def split_event(event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Split every media of an S3 event.

    Returns:
        ``{"runs": [run ids]}``, without those that were already split.
    """
    runs = [run for item in objects_created(event) if (run := split_media(item, store, settings))]
    return {"runs": runs}


def split_media(item: ObjectCreated, store: ObjectStore, settings: Settings) -> str | None:
    """Split the current version of one object.

    Events may be late or repeated; whatever they say, the version that is there now is the one
    worth processing. Errors that lie in the media end in a manifest that names them.

    Raises:
        CastlineError: a retryable one; the platform invokes again.
    """
    if item.bucket != settings.input_bucket or not keys.is_media(item.key):
        logger.info("not ours, ignored", key=item.key, bucket=item.bucket)
        return None
    info = store.head(item.bucket, item.key)
    if info is None:
        logger.info("gone before it was read, ignored", key=item.key)
        return None
    source = source_of(item.bucket, info)
    options = settings.options()
    run = run_of(source, options)
    logger.append_keys(media=item.key, run=run)
    manifest_key = keys.manifest_key(item.key, run)
    if len(manifest_key.encode()) > keys.MAX_KEY_BYTES:
        logger.error("the key is so long that S3 takes no result beside it, ignored")
        return None
    if store.head(settings.stage1_bucket, manifest_key):
        logger.info("already split, ignored")
        return None
    watch = Stopwatch("split", settings)
    summary = SplitSummary()
    probed: Probe | None = None
    failure: CastlineError | None = None
    try:
        keys.check_media_key(item.key)
        with tempfile.TemporaryDirectory(prefix="media-") as folder:
            path = Path(folder) / f"media{PurePosixPath(item.key).suffix.lower()}"
            with watch.step("download"):
                if not _download(store, source, info, path, settings):
                    logger.info("replaced or deleted while being read, ignored")
                    return None
            with watch.step("probe"):
                probed = probe(path, Limits.of(settings))
            with watch.step("decode"):
                _upload_units(path, probed, run, source, store, settings, summary)
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
        options=options,
        probe=probed,
        duration_s=summary.duration_s(probed) if probed else None,
        sampling=summary.sampling,
        sample_times_ms=tuple(summary.sampled_ms),
        units=summary.units(),
        warnings=tuple(summary.warnings),
        error=Failure.of(failure) if failure else None,
        usage=watch.usage(),
    )
    store.put(settings.stage1_bucket, manifest_key, manifest.to_json(), if_absent=True)
    logger.info("split", units=len(manifest.units), seconds=manifest.usage.seconds)
    return run


def _download(store: ObjectStore, source: Source, info: ObjectInfo, path: Path, settings: Settings) -> bool:
    if info.size == 0:
        raise NotMedia("the file is empty")
    if info.size > settings.max_bytes:
        raise MediaTooLarge(f"{info.size / 1e9:.1f} GB is more than the limit of {settings.max_bytes / 1e9:.1f} GB")
    try:
        return store.download(source.bucket, info, path)
    except OSError as error:
        raise DiskFull(f"no room for {info.size / 1e6:.0f} MB on the temporary disk: {error}") from error


def _upload_units(
    path: Path, probed: Probe, run: str, source: Source, store: ObjectStore, settings: Settings, summary: SplitSummary
) -> None:
    with ThreadPoolExecutor(_UPLOADS) as pool:
        waiting: deque[Future[bool]] = deque()
        for piece in split(
            path, probed, settings.options(), Limits.of(settings), summary, max_duration_s=settings.max_duration_s
        ):
            audio = isinstance(piece, AudioPiece)
            unit = keys.UnitId(
                source.key,
                run,
                "audio" if audio else "frames",
                piece.unit.index if isinstance(piece, AudioPiece) else piece.index,
            )
            waiting.append(pool.submit(store.put, settings.stage1_bucket, unit.stage1_key, piece.body))
            while len(waiting) > _BACKLOG or (waiting and waiting[0].done()):
                waiting.popleft().result()
        for upload in waiting:
            upload.result()
