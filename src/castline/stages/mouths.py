"""Watches mouths once everything else in a run is known: faces, what is said, and when both coincide."""

from __future__ import annotations

import io
import zipfile
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from aws_lambda_powertools import Logger
from numpy.typing import NDArray

from castline import keys
from castline.assembly import main_embedder
from castline.engines.base import ActiveSpeaker
from castline.engines.plugins import thresholds_for
from castline.errors import CastlineError, ModelError, UnreadableObject
from castline.media.chunks import SAMPLE_RATE
from castline.media.flac import decode_flac
from castline.recognition.mouths import looks, score
from castline.recognition.tracks import link
from castline.records import AudioPart, AudioUnit, FramesPart, FramesUnit, Manifest, Mouths, Notice, Segment
from castline.runs.common import Stopwatch
from castline.runs.mouths import Parts
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

#: A minute of small pictures has 1 500 of them, and about 25 MB.
_MAX_PICTURES, _MAX_BYTES = 1500, 256 * 2**20
_MAX_PIXELS = 4096 * 4096
_BROKEN = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, KeyError, EOFError, OSError, cv2.error)


def watch_mouths(
    manifest: Manifest, parts: Parts, store: ObjectStore, settings: Settings, load: Callable[[], ActiveSpeaker]
) -> Mouths:
    """Watch the faces on screen while somebody speaks, for as long as it takes to see who does.

    Args:
        load: returns the engine; called only if there is something to watch.
    """
    watch = Stopwatch("mouths", settings)
    units = [unit for unit in manifest.units if isinstance(unit, AudioUnit)]
    speech = [
        (unit.start_s + segment.start_s, unit.start_s + segment.end_s)
        for unit in units
        for segment in _segments(parts.get(unit.name))
    ]
    frames = [part for part in parts.values() if isinstance(part, FramesPart)]
    model = main_embedder(frames)
    spaces = Counter(part.space for part in frames if part.embedder == model and part.space)
    space = min(spaces, key=lambda each: (-spaces[each], each), default=None)
    frames = [part for part in frames if part.space == space]
    until = {
        frame.time_ms: frame.until_ms
        for unit in manifest.units
        if isinstance(unit, FramesUnit)
        for frame in unit.frames
    }
    seen = sorted((frame for part in frames for frame in part.frames), key=lambda frame: frame.time_ms)
    found, capped = looks(link(seen, thresholds_for(frames[0].embedder), until), until, speech)
    if not found:
        return Mouths(engine=None, usage=watch.usage())
    try:
        with watch.step("load"):
            engine = load()
    except ModelError as error:  # a result from voices and faces without mouths is better than none
        logger.warning("mouths are not watched", reason=error.message)
        message = f"mouths were not watched, so faces and voices are compared by time alone: {error.message}"
        return Mouths(engine=None, warnings=(Notice(code="no_mouths", message=message[:500]),), usage=watch.usage())
    film = _StoredFilm(manifest, units, store, settings)
    with watch.step("mouths"):
        faces = tuple(score(found, film, engine))
    warnings = []
    if capped:
        message = "there are more lines with faces than can be watched; evenly spread ones were"
        warnings.append(Notice(code="mouths_capped", message=message))
    if film.missing:
        message = f"mouths could not be watched where {film.missing} minutes of small pictures are gone or damaged"
        warnings.append(Notice(code="mouths_missing", message=message))
    return Mouths(engine=engine.info.id, faces=faces, warnings=tuple(warnings), usage=watch.usage())


def _segments(part: FramesPart | AudioPart | None) -> Sequence[Segment]:
    return [each for each in part.segments if not each.suspect] if isinstance(part, AudioPart) else ()


class _StoredFilm:
    """Small pictures and sound as stage 1 wrote them; keeps two minutes, four decoded seconds, and two chunks."""

    def __init__(self, manifest: Manifest, units: Sequence[AudioUnit], store: ObjectStore, settings: Settings) -> None:
        self._manifest, self._units, self._store, self._bucket = manifest, units, store, settings.stage1_bucket
        prefix = keys.motion_prefix(manifest.media, manifest.run)
        parsed = (keys.parse_motion(info.key) for info in store.find(self._bucket, prefix))
        self._starts = sorted(each[2] for each in parsed if each)
        self._damaged: set[int] = set()
        self._minute = lru_cache(maxsize=2)(self._read_minute)
        self._picture = lru_cache(maxsize=128)(self._decoded)  # for each face that is in it
        self._chunk = lru_cache(maxsize=2)(self._read_chunk)

    @property
    def missing(self) -> int:
        return len(self._damaged) or (0 if self._starts else 1)

    def pictures(self, start_s: float, end_s: float) -> list[tuple[float, NDArray[np.uint8]]]:
        start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
        first = max(bisect_right(self._starts, start_ms) - 1, 0)
        found = []
        for begins in self._starts[first:]:
            if begins > end_ms:
                break
            times = self._minute(begins)
            for time in sorted(each for each in times if start_ms - 250 <= each <= end_ms):
                picture = self._picture(begins, time)
                if picture is not None:
                    found.append((time / 1000, picture))
        return found

    def _decoded(self, start_ms: int, time_ms: int) -> NDArray[np.uint8] | None:
        return _decode(self._minute(start_ms)[time_ms])

    def _read_minute(self, start_ms: int) -> dict[int, bytes]:
        key = keys.motion_key(self._manifest.media, self._manifest.run, start_ms)
        try:
            body = self._store.get(self._bucket, key, max_bytes=_MAX_BYTES)
            if body is None:
                raise KeyError(key)
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                entries = archive.infolist()
                if len(entries) > _MAX_PICTURES or sum(entry.file_size for entry in entries) > _MAX_BYTES:
                    raise ValueError("more than a minute of small pictures has")
                return {int(entry.filename.removesuffix(".jpg")): archive.read(entry) for entry in entries}
        except (*_BROKEN, UnreadableObject) as error:
            logger.error("small pictures cannot be read", key=key, reason=str(error))
            self._damaged.add(start_ms)
            return {}

    def sound(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        begin, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        found = np.zeros(max(0, end - begin), np.float32)
        for unit in self._units:
            at = round(unit.start_s * SAMPLE_RATE)
            if unit.start_s < end_s and start_s < unit.end_s:
                samples = self._chunk(unit.index)
                low, high = max(begin, at), min(end, at + len(samples))
                if low < high:
                    found[low - begin : high - begin] = samples[low - at : high - at]
        return found

    def _read_chunk(self, index: int) -> NDArray[np.float32]:
        key = keys.UnitId(self._manifest.media, self._manifest.run, "audio", index).stage1_key
        try:
            body = self._store.get(self._bucket, key)
            return decode_flac(body) if body else np.zeros(0, np.float32)
        except CastlineError as error:
            if error.retryable:
                raise
            return np.zeros(0, np.float32)


def _decode(jpeg: bytes) -> NDArray[np.uint8] | None:
    try:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE) if jpeg else None
    except cv2.error:
        return None
    return None if picture is None or picture.size > _MAX_PIXELS else np.asarray(picture, np.uint8)
