"""The last one out assembles: is the set of parts complete, and if so, what does the run say?

Needs no lock and no database. S3 is strongly consistent, so whoever writes the last piece (a part,
an error part or the manifest) sees all others; assembly is deterministic, so if two see it, they
write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from aws_lambda_powertools import Logger
from pydantic import TypeAdapter

from castline import keys, metrics
from castline.assembly import Assembly, assemble, main_embedder
from castline.errors import KeyLayoutError, ModelError, UnreadableObject
from castline.faces.thresholds import thresholds_for
from castline.gallery import PhotoEmbedder, load_gallery
from castline.records import AudioPart, ErrorPart, Failure, FramesPart, Manifest, Part, Result, Source, Usage
from castline.report import render_views
from castline.settings import Settings
from castline.stages.request import Request, read_request, read_source
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

_READS = 8  # at once
_PART: TypeAdapter[FramesPart | AudioPart] = TypeAdapter(Part)


def complete_run(
    media: str, run: str, store: ObjectStore, settings: Settings, embed_photo: PhotoEmbedder | None = None
) -> bool:
    """Assemble and publish a run if its set of parts is complete.

    Args:
        embed_photo: how to embed gallery photos that have no embedding yet; None where no model is.

    Returns:
        Whether the run was complete.

    Raises:
        UnreadableObject: its manifest cannot be read. A part that cannot makes it ``partial``.
    """
    manifest = read_manifest(media, run, store, settings)
    if manifest is None:
        return False
    names = {unit.name for unit in manifest.units}
    done, failed = written_parts(media, run, store, settings)
    if names - done.keys() - failed.keys():
        return False
    assembly = _assemble(manifest, names, done, failed, store, settings, embed_photo)
    if _superseded(manifest, store):
        logger.info("a newer upload took this media over; not published", media=media, run=run)
        return True
    manifest_key = keys.manifest_key(media, run)
    first = store.put(settings.output_bucket, manifest_key, manifest.to_json(), if_absent=True)
    publish(assembly, store, settings)
    if first:  # of those who saw the full set, and of later bindings of names, one pays
        metrics.record("Media")
        metrics.record("CostUSD", assembly.result.processing.cost.usd)
        if assembly.result.status == "failed":
            metrics.record("Failures")
    return True


def read_manifest(media: str, run: str, store: ObjectStore, settings: Settings) -> Manifest | None:
    """The manifest of a run; None while it is being split.

    Raises:
        UnreadableObject: it is there, and cannot be read.
    """
    key = keys.manifest_key(media, run)
    problem: UnreadableObject | None = None
    # The copy beside the parts outlives stage 1, so that names can be bound anew after its objects expired.
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        try:
            if manifest := read_object(Manifest, store, bucket, key):
                return manifest
        except UnreadableObject as error:
            problem = problem or error
    if problem:
        raise problem
    return None


def failed_manifest(request: Request, failure: Failure, settings: Settings) -> Manifest:
    """What stands for a media that could not be split."""
    return Manifest(
        run=request.run,
        source=request.source,
        options=request.options,
        probe=None,
        units=(),
        error=failure,
        usage=Usage(stage="split", seconds=0.0, memory_mb=settings.memory_mb),
    )


def written_parts(
    media: str, run: str, store: ObjectStore, settings: Settings
) -> tuple[dict[str, keys.UnitId], dict[str, keys.UnitId]]:
    """Units by name that have a part, and units that have an error part only."""
    done: dict[str, keys.UnitId] = {}
    failed: dict[str, keys.UnitId] = {}
    for info in store.find(settings.output_bucket, keys.parts_prefix(media, run)):
        parsed = keys.parse_part(info.key)
        if parsed:
            (failed if parsed[1] else done)[parsed[0].name] = parsed[0]
    return done, {name: unit for name, unit in failed.items() if name not in done}


def _assemble(
    manifest: Manifest,
    names: set[str],
    done: dict[str, keys.UnitId],
    failed: dict[str, keys.UnitId],
    store: ObjectStore,
    settings: Settings,
    embed_photo: PhotoEmbedder | None,
) -> Assembly:
    units = [(unit, name in failed) for name, unit in (done | failed).items() if name in names]
    with ThreadPoolExecutor(_READS) as pool:  # two hours of video have hundreds of parts
        found = list(pool.map(lambda each: read_part(each[0], each[1], store, settings), units))
    errors = {part.unit: part for part in found if isinstance(part, ErrorPart)}
    parts = {part.unit: part for part in found if not isinstance(part, ErrorPart)}
    with_faces = [part for part in parts.values() if isinstance(part, FramesPart)]
    model = main_embedder(with_faces) if any(frame.faces for part in with_faces for frame in part.frames) else None
    loaded = load_gallery(store, settings.gallery_bucket, model, embed_photo) if model else None
    return assemble(manifest, parts, errors, loaded.gallery if loaded else None, loaded.warnings if loaded else ())


def read_part(
    unit: keys.UnitId, failed: bool, store: ObjectStore, settings: Settings
) -> FramesPart | AudioPart | ErrorPart:
    """What became of a unit. A part that cannot be read, or of an unknown model, is one more unit that failed.

    Args:
        failed: whether it has an error part only.
    """
    key = unit.error_key if failed else unit.part_key
    part: FramesPart | AudioPart | ErrorPart | None
    try:
        if failed:
            part = read_object(ErrorPart, store, settings.output_bucket, key)
        else:
            part = read_object(_PART, store, settings.output_bucket, key)
        if part is None or part.unit != unit.name or (not isinstance(part, ErrorPart) and part.kind != unit.kind):
            raise UnreadableObject(f"{key} is gone, or another unit's")
        if isinstance(part, FramesPart):
            thresholds_for(part.embedder)
    except (UnreadableObject, ModelError) as error:
        logger.warning("a part cannot be read", key=key, reason=error.message)
        return ErrorPart(unit=unit.name, error=Failure.of(error))
    return part


def _superseded(manifest: Manifest, store: ObjectStore) -> bool:
    current = read_source(manifest.source.bucket, manifest.source.key, store)
    return current is not None and current.identity != manifest.source.identity


def publish(assembly: Assembly, store: ObjectStore, settings: Settings) -> None:
    """Write the result and its views; ``result.json`` last, because it is what people wait for."""
    result = assembly.result
    files = {**assembly.images, **render_views(result, assembly.images)}
    crops = keys.result_key(result.media, "people/")
    stale = [
        info.key
        for info in store.find(settings.output_bucket, crops)
        if (name := info.key.removeprefix(f"{result.media}/")) not in files and keys.is_view(name)
    ]
    for name, body in sorted(files.items()):
        _put_if_changed(store, settings.output_bucket, keys.result_key(result.media, name), body)
    if stale:
        store.delete(settings.output_bucket, stale)
    _put_if_changed(store, settings.output_bucket, keys.result_key(result.media), result.to_json())
    logger.info("assembled", media=result.media, run=result.run, status=result.status, people=len(result.people))


def _put_if_changed(store: ObjectStore, bucket: str, key: str, body: bytes) -> None:
    # S3's ETag of a small object is its MD5 (not under KMS; then this only saves nothing).
    current = store.head(bucket, key)
    if current is None or current.etag != hashlib.md5(body, usedforsecurity=False).hexdigest():
        store.put(bucket, key, body)


def read_result(media: str, store: ObjectStore, settings: Settings) -> Result | None:
    """The newest published result of a media; None also for one that cannot be read, as of another version."""
    try:
        return read_object(Result, store, settings.output_bucket, keys.result_key(media))
    except UnreadableObject as error:
        logger.warning("a result was left aside", media=media, reason=error.message)
        return None


def current_run(source: Source, store: ObjectStore, settings: Settings) -> tuple[str, Manifest | None]:
    """The run of the current upload of a media, and its manifest if it is split.

    Found by what was split rather than by these settings alone: the splitter may have run with others.
    """
    expected = read_request(source, store, settings).run
    likely = keys.manifest_key(source.key, expected)
    others = (item.key for item in store.find(settings.stage1_bucket, f"{source.key}/") if item.key != likely)
    for key in chain([likely], others):
        parsed = keys.parse_manifest(key)
        if not parsed or parsed[0] != source.key:
            continue
        with contextlib.suppress(UnreadableObject):  # of another version of Castline, perhaps
            manifest = read_object(Manifest, store, settings.stage1_bucket, key)
            if manifest and manifest.source.identity == source.identity:
                return manifest.run, manifest
    return expected, None


def finished(source: Source, store: ObjectStore, settings: Settings) -> Result | None:
    """The published result of the current upload of a media.

    S3 takes none beside a key that is too long. Such a media has failed, and the key itself says so.
    """
    if not keys.has_room(source.key):
        failure = Failure(code=KeyLayoutError.code, message="the key is so long that S3 takes no result beside it")
        return assemble(failed_manifest(Request(source, settings.options()), failure, settings), {}, {}, None).result
    result = read_result(source.key, store, settings)
    return result if result and result.source.identity == source.identity else None
