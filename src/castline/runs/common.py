"""Shared by several stages: processing items one by one, the upload on disk, and a stopwatch for usage records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from aws_lambda_powertools import Logger

from castline import keys
from castline.errors import DiskFull, EventError, MediaTooLarge, NotMedia, UnreadableObject
from castline.records import Manifest, Result, Source, Usage
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(child=True)

_CLOSING_S = 45.0  # for the last uploads and the manifest
_LEAST_S = 10.0


_PIECE = 16 * 1024 * 1024  # bytes of a span in one request
_REQUESTS, _SMALL_REQUESTS = 16, 256  # at once; the small ones wait for S3, not for the network
_SMALL = 256 * 1024
_LOOKED_AT = 2000  # keys, for the one that may be meant


class Split(NamedTuple):
    """What stage 1 found or made of the current upload of a media file.

    Attributes:
        run: its run; empty in the classic profile.
        prefix, units: the prefix plus one of the units is the key of a stage-1 object to analyse.
        new: whether this call made them.
        ranges: like ``units``, for the objects that request the ranges of a long recording, whose units are still to
            come.
    """

    run: str
    prefix: str
    units: tuple[str, ...]
    new: bool
    ranges: tuple[str, ...] = ()


def found_split(manifest: Manifest, *, new: bool) -> Split:
    """The units that a manifest declares."""
    media, run = manifest.source.key, manifest.run
    prefix = keys.run_prefix(media, run)
    names = (keys.UnitId(media, run, unit.kind, unit.index).stage1_key for unit in manifest.units)
    return Split(run, prefix, tuple(name.removeprefix(prefix) for name in names), new)


def found_ranges(media: str, run: str, asked: Iterable[str]) -> Split:
    """Ranges that were requested; their units are still to come."""
    prefix = keys.run_prefix(media, run)
    return Split(run, prefix, (), new=True, ranges=tuple(key.removeprefix(prefix) for key in asked))


T = TypeVar("T")
R = TypeVar("R")


def each(items: Iterable[T], do: Callable[[T], R]) -> list[R]:
    """Process all items of an event: one that fails does not keep the others from being processed.

    Raises:
        Exception: what the first bad item raised, after the last item. The platform invokes again.
    """
    answers: list[R] = []
    problem: Exception | None = None
    try:
        for item in items:
            try:
                answers.append(do(item))
            except Exception as error:
                problem = problem or error
    except EventError as error:  # there was something among the items that is not an item
        problem = problem or error
    if problem:
        raise problem
    return answers


def download(source: Source, path: Path, store: ObjectStore, settings: Settings) -> bool:
    """Write exactly this version of the upload to a file; False if it is gone or was replaced.

    Raises:
        NotMedia: it is empty.
        MediaTooLarge: as ``check_upload``; nothing was read.
        DiskFull: the temporary disk has no room for it.
    """
    check_upload(source.size, settings)
    try:
        return store.download(source.bucket, source, path)
    except OSError as error:
        raise DiskFull(f"no room for {source.size / 1e6:.0f} MB on the temporary disk: {error}") from error


def fetch(source: Source, spans: Sequence[tuple[int, int]], path: Path, store: ObjectStore) -> bool:
    """Write pieces of exactly this version of the upload to a file of the same size, with holes between them.

    Returns:
        False when it is gone or replaced.

    Raises:
        DiskFull: the temporary disk has no room for them.
    """
    inside = [(begin, min(end, source.size)) for begin, end in spans]
    pieces = [(at, min(at + _PIECE, end)) for begin, end in inside for at in range(begin, end, _PIECE)]

    def take(piece: tuple[int, int]) -> bool:
        body = store.read(source.bucket, source, piece[0], piece[1] - piece[0])
        if body is not None:
            os.pwrite(file.fileno(), body, piece[0])
        return body is not None

    small = all(end - begin <= _SMALL for begin, end in pieces)
    try:
        with path.open("wb") as file, ThreadPoolExecutor(_SMALL_REQUESTS if small else _REQUESTS) as pool:
            file.truncate(source.size)
            return all(pool.map(take, pieces))
    except OSError as error:
        size = sum(end - begin for begin, end in spans)
        raise DiskFull(f"no room for {size / 1e6:.0f} MB on the temporary disk: {error}") from error


def check_upload(size: int, settings: Settings) -> None:
    """Check that a file of this many bytes can be processed.

    Raises:
        NotMedia: the file is empty.
        MediaTooLarge: more than ``max_bytes``, or than the disk has room for.
    """
    if size == 0:
        raise NotMedia("the file is empty")
    limit = settings.largest_upload
    if size > limit:
        what = "the limit of" if limit == settings.max_bytes else "SplitterStorage has room for:"
        raise MediaTooLarge(
            f"{size / 1e9:.1f} GB is more than {what} {limit / 1e9:.1f} GB; "
            "of a long MP4 or MOV with its index, only pieces have to fit"
        )


def read_result(media: str, store: ObjectStore, settings: Settings) -> Result | None:
    """The newest published result of a media file; None if there is none that can be read."""
    try:
        result = read_object(Result, store, settings.output_bucket, keys.result_key(media))
        if result and result.media != media:
            raise UnreadableObject(f"it is the result of {result.media}")
        return result
    except UnreadableObject as error:
        logger.warning("a result was left aside", media=media, reason=error.message)
        return None


def why_no_result(media: str, store: ObjectStore, settings: Settings) -> str:
    """A line that says why there is nothing to show, and how to go on."""
    if media and keys.is_storable(media) and store.head(settings.input_bucket, media):
        return f"{media} has no result yet; see: castline status"
    return no_recording(media, store, settings)


def no_recording(media: str, store: ObjectStore, settings: Settings) -> str:
    """A line that says that nothing has this key, and what may be meant."""
    uploads = (info.key for info in islice(store.find(settings.input_bucket), _LOOKED_AT) if keys.is_media(info.key))
    folded = {PurePosixPath(key.casefold()): key for key in uploads}
    asked = PurePosixPath(media.casefold())
    same = [key for path, key in folded.items() if asked.name in (path.name, path.stem)]
    near = same or [folded[PurePosixPath(path)] for path in get_close_matches(str(asked), map(str, folded), n=1)]
    meant = f"did you mean {' or '.join(near[:3])}?" if near else "castline status lists what there is"
    return f"there is no recording {media}; {meant}"


def time_to_decode(settings: Settings) -> float:
    """Seconds from the start of an invocation by which all decoding must end.

    A decode that takes too long is ended in time to keep its output: Lambda would kill it, and everything with it.
    """
    return max(settings.timeout_s - _CLOSING_S, _LEAST_S)


class Stopwatch:
    """Measures one invocation and its steps.

    ``step`` may be entered several times under one name; times add up.
    """

    def __init__(self, stage: str, settings: Settings) -> None:
        self._stage = stage
        self._memory_mb = settings.memory_mb
        self._elsewhere = settings.off_lambda
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._steps[name] = self._steps.get(name, 0.0) + time.perf_counter() - start

    def usage(self) -> Usage:
        return Usage(
            stage=self._stage,
            seconds=round(time.perf_counter() - self._start, 4),
            memory_mb=self._memory_mb,
            steps={name: round(seconds, 4) for name, seconds in self._steps.items()},
            elsewhere=self._elsewhere,
        )
