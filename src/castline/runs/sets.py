"""What a run consists of and how much of it exists, derived from the buckets alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from aws_lambda_powertools import Logger
from pydantic import TypeAdapter

from castline import keys
from castline.engines.plugins import thresholds_for
from castline.errors import KeyLayoutError, ModelError, UnreadableObject, may_pass
from castline.records import AudioPart, ErrorPart, Failure, FramesPart, Manifest, Part, Result, Source, Usage
from castline.runs.common import read_result
from castline.runs.request import Request, read_request
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

#: How often a media file is split, or a unit given up, before no further attempt is made.
MOST_ATTEMPTS = 3
_PART: TypeAdapter[FramesPart | AudioPart] = TypeAdapter(Part)


def read_manifest(media: str, run: str, store: ObjectStore, settings: Settings) -> Manifest | None:
    """The manifest of a run; None while it is being split.

    The copy beside the parts outlives stage 1, so that names can be bound again after the objects there expired.

    Raises:
        UnreadableObject: it exists, but cannot be read, or belongs to another run.
    """
    key = keys.manifest_key(media, run)
    problem: UnreadableObject | None = None
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        try:
            if manifest := read_object(Manifest, store, bucket, key):
                if (manifest.media, manifest.run) != (media, run):
                    raise UnreadableObject(f"s3://{bucket}/{key} belongs to another run")
                return manifest
        except UnreadableObject as error:
            problem = problem or error
    if problem:
        raise problem
    return None


def split_manifest(key: str, store: ObjectStore, settings: Settings) -> Manifest | None:
    """A manifest of stage 1; None also if it is truncated or was written by another version of Castline."""
    try:
        return read_object(Manifest, store, settings.stage1_bucket, key)
    except UnreadableObject as error:
        logger.error("a manifest cannot be read", reason=error.message)
        return None


def failed_manifest(request: Request, failure: Failure, settings: Settings) -> Manifest:
    """The manifest of a media file that could not be split."""
    return Manifest(
        run=request.run,
        source=request.source,
        options=request.options,
        probe=None,
        units=(),
        error=failure,
        usage=Usage(stage="split", seconds=0.0, memory_mb=settings.memory_mb),
    )


def read_part(
    unit: keys.UnitId, store: ObjectStore, settings: Settings, *, failed: bool = False
) -> FramesPart | AudioPart | ErrorPart:
    """The part of a unit, or its error part.

    Args:
        failed: whether it has only an error part.

    Raises:
        UnreadableObject: it is gone, cannot be read, belongs to another unit, or comes from an unknown model.
    """
    key, bucket = unit.error_key if failed else unit.part_key, settings.output_bucket
    part = read_object(ErrorPart, store, bucket, key) if failed else read_object(_PART, store, bucket, key)
    if part is None or part.unit != unit.name or (not isinstance(part, ErrorPart) and part.kind != unit.kind):
        raise UnreadableObject(f"{key} is gone, or belongs to another unit")
    if isinstance(part, FramesPart):
        try:
            thresholds_for(part.embedder)
        except ModelError as error:
            raise UnreadableObject(f"{key} cannot be read: {error.message}") from error
    return part


def written_parts(
    media: str, run: str, store: ObjectStore, settings: Settings
) -> tuple[dict[str, keys.UnitId], dict[str, keys.UnitId]]:
    """Units by name: those with a part, and those with only an error part."""
    done: dict[str, keys.UnitId] = {}
    failed: dict[str, keys.UnitId] = {}
    for info in store.find(settings.output_bucket, keys.parts_prefix(media, run)):
        parsed = keys.parse_part(info.key)
        if parsed:
            (failed if parsed[1] else done)[parsed[0].name] = parsed[0]
    return done, {name: unit for name, unit in failed.items() if name not in done}


def read_error(unit: keys.UnitId, store: ObjectStore, settings: Settings) -> ErrorPart | None:
    """Why a unit was given up; None also if its error part cannot be read."""
    try:
        return read_object(ErrorPart, store, settings.output_bucket, unit.error_key)
    except UnreadableObject:
        return None


def _units_to_analyse(manifest: Manifest, store: ObjectStore, settings: Settings) -> list[keys.UnitId]:
    """Units without a part that are worth an attempt: all but those given up for good, in the manifest's order."""
    done, failed = written_parts(manifest.media, manifest.run, store, settings)
    wanted = []
    for item in manifest.units:
        unit = keys.UnitId(manifest.media, manifest.run, item.kind, item.index)
        given_up = read_error(unit, store, settings) if unit.name in failed else None
        if unit.name not in done and (given_up is None or once_more(given_up.error.code, given_up.attempt)):
            wanted.append(unit)
    return wanted


def split_again(manifest: Manifest, store: ObjectStore, settings: Settings) -> bool:
    """Whether only splitting again helps: it failed for a passing reason, or units that are to be analysed are gone."""
    return units_left(manifest, store, settings) is None


def units_left(manifest: Manifest, store: ObjectStore, settings: Settings) -> list[keys.UnitId] | None:
    """Units without a part that are worth an attempt; None if only splitting again helps."""
    if manifest.error and once_more(manifest.error.code, manifest.attempt):
        return None
    units = _units_to_analyse(manifest, store, settings)
    if units:
        listed = store.find(settings.stage1_bucket, f"{manifest.media}/{manifest.run}/")
        if set(units) - {keys.parse_unit(info.key) for info in listed}:
            return None
    return units


def worth_another_try(result: Result) -> bool:
    """Whether anything in a result failed for a passing reason."""
    errors = [failure.error for failure in result.failures] + ([result.error] if result.error else [])
    return any(may_pass(error.code) for error in errors)


def once_more(code: str, attempt: int) -> bool:
    return may_pass(code) and attempt < MOST_ATTEMPTS


def current_run(source: Source, store: ObjectStore, settings: Settings) -> tuple[str, Manifest | None]:
    """The run of the current upload of a media file, and its manifest if it is split.

    Found from what was split, not from these settings alone: the splitter may have run with different ones.
    """
    return run_of(read_request(source, store, settings), store, settings)


def run_of(request: Request, store: ObjectStore, settings: Settings) -> tuple[str, Manifest | None]:
    """As `current_run`, for a request whose sidecar may still have to be uploaded."""
    source = request.source
    for manifest in _manifests(source, request.run, store, settings):
        if manifest.source.identity == source.identity:
            return manifest.run, manifest
    return request.run, None


def _manifests(source: Source, expected: str, store: ObjectStore, settings: Settings) -> Iterator[Manifest]:
    likely = keys.manifest_key(source.key, expected)
    others = (item.key for item in store.find(settings.stage1_bucket, f"{source.key}/") if item.key != likely)
    for key in chain([likely], others):
        parsed = keys.parse_manifest(key)
        if parsed and parsed[0] == source.key and (manifest := split_manifest(key, store, settings)):
            yield manifest


def finished(source: Source, store: ObjectStore, settings: Settings) -> Result | None:
    """The published result of the current upload of a media file.

    If the key is too long for S3 to store a result beside it, the media file has failed; the key alone shows that.
    """
    if not keys.has_room(source.key):
        from castline.assembly import assemble  # the splitter's function does not ship it

        failure = Failure(code=KeyLayoutError.code, message="the key is too long for S3 to store a result beside it")
        return assemble(failed_manifest(Request(source, settings.options()), failure, settings), {}, {}, None).result
    result = read_result(source.key, store, settings)
    return result if result and result.source.identity == source.identity else None
