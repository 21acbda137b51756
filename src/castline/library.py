"""The pipeline as functions: from a file to typed records, in this process, without a stack and without S3.

    from castline import analyse, recognise, transcribe

    transcript = transcribe("interview.mp4", language="en")
    people = recognise("interview.mp4", gallery="people")
    result = analyse("interview.mp4", gallery="people")

The stages' own code does the work, on a store in memory, so the records are those of the pipeline. Files are processed
in units as they are decoded; a long one does not have to fit into memory. Models are loaded once per process and
settings. Calls from several threads take turns.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from os import PathLike
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Literal

from castline import keys
from castline.assembly import assemble
from castline.engines.base import check_request
from castline.engines.process import Engines, process_engines
from castline.errors import (
    CastlineError,
    GalleryError,
    NoSpeechEngine,
    NoStreams,
    OptionsError,
    UnitError,
)
from castline.gallery.load import LoadedGallery, RememberedGalleries, fingerprint_now
from castline.gallery.voices import load_voices
from castline.media import AudioPiece, MotionPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.recognition.photo import embed_photo
from castline.records import (
    AudioPart,
    AudioUnit,
    ErrorPart,
    Failure,
    FramesPart,
    Gallery,
    KnownVoice,
    Manifest,
    ObjectInfo,
    Options,
    Person,
    Probe,
    Result,
    Source,
    Transcript,
    Usage,
)
from castline.records.reading import MAX_BYTES, check_size
from castline.runs.common import check_upload
from castline.runs.mouths import mouths_of
from castline.runs.request import Request, override
from castline.runs.sets import read_part
from castline.settings import Settings
from castline.stages.analyse import analyse_unit, watch
from castline.stages.analyse import logger as stage_logger
from castline.storage import MemoryStore

StrPath = str | PathLike[str]
_Only = Literal["video", "audio"]
_MISSING: dict[_Only, str] = {"video": "it has no picture", "audio": "it has no sound"}
_turn = Lock()


def transcribe(path: StrPath, *, settings: Settings | None = None, **options: object) -> Transcript:
    """Transcribe a video or sound file; pictures are not decoded.

    Args:
        path: any container and codec that ffmpeg reads.
        settings: the engine, where its weights are, limits, and defaults of the options; by default those of the
            environment (``CASTLINE_…``).
        **options: ``language`` (BCP-47; detected by default), ``task`` (``"transcribe"`` or ``"translate"``, into
            English), ``prompt``, ``hotwords`` (a list), ``word_times`` (a bool), ``beam``, ``chunk_s`` (seconds),
            ``audio_track`` (from 1): all keys of a sidecar.

    Returns:
        Segments with words, and the cues of its subtitles; times in seconds of the file. Without speech, there are no
        segments.

    Raises:
        NoStreams: it has no sound.
        MediaError: not a media file, or not all of it could be decoded; ``analyse`` has what could.
        NoSpeechEngine, ModelError: no speech model, or one that does not know the language.
        OptionsError: an option, or a value, that does not exist.
        UnitError: part of it could not be read.
        OSError: the file cannot be read.
    """
    return _whole(_run(path, settings, options, only="audio")).transcript


#: Called with every chunk of the sound once it is transcribed, and the length of the whole in seconds, if it is known;
#: times are relative to the chunk.
Heard = Callable[[AudioUnit, AudioPart, float | None], None]


def listen(
    path: StrPath,
    *,
    settings: Settings | None = None,
    heard: Heard | None = None,
    voices: Sequence[KnownVoice] = (),
    **options: object,
) -> Result:
    """The whole result for a file's sound: ``transcribe``, with its length, warnings and the views of its cues.

    Args:
        heard: called with every chunk, in order of time, before the next ones are transcribed.
        voices: those of people who may be named, if ``speakers`` is ``"auto"``.

    Raises:
        CastlineError: as ``transcribe``.
    """
    return _whole(_run(path, settings, options, only="audio", heard=heard, voices=voices))


def recognise(
    path: StrPath, *, gallery: StrPath | None = None, settings: Settings | None = None, **options: object
) -> tuple[Person, ...]:
    """Find out who is on screen in a video, in order of first appearance; the sound is not decoded.

    Args:
        gallery: a folder with one folder of photos per person, named after the person; without it nobody is known.
            Photos are embedded once per process, and again when they change. Unusable photos are named in ``analyse``'s
            warnings.
        settings: as in ``transcribe``.
        **options: ``sampling`` (``"auto"``, ``"interval"`` or ``"keyframes"``), ``interval_s`` (seconds between
            frames), ``long_side`` (pixels).

    Returns:
        People with their ranges in seconds of the file; strangers are ``Person 1`` ….

    Raises:
        NoStreams: it has no picture.
        MediaError: not a media file, or not all of it could be decoded; ``analyse`` has what could.
        GalleryError: no such folder, or no photo in it.
        ModelError: no model to find or recognise faces.
        OptionsError: an option, or a value, that does not exist.
        UnitError: part of it could not be read.
        OSError: the file cannot be read.
    """
    return _whole(_run(path, settings, options, gallery, only="video")).people


def analyse(
    path: StrPath, *, gallery: StrPath | None = None, settings: Settings | None = None, **options: object
) -> Result:
    """Who is on screen and what is said in a media file, on one timeline: the pipeline's ``result.json``.

    Its source has no bucket, its key is the name of the file, and its cost is an estimate for Lambda.

    Args:
        gallery: as in ``recognise``.
        settings: as in ``transcribe``.
        **options: those of ``transcribe`` and ``recognise``.

    Returns:
        ``status`` is ``partial`` if part of it could not be decoded or analysed; ``error`` and ``failures`` say what.
        If there is no speech engine, its warnings say so.

    Raises:
        MediaError: not a media file, or nothing of it could be decoded.
        GalleryError, ModelError, OptionsError, OSError: as above.
    """
    return _run(path, settings, options, gallery)[0]


def _run(
    path: StrPath,
    settings: Settings | None,
    asked: Mapping[str, object],
    gallery: StrPath | None = None,
    only: _Only | None = None,
    heard: Heard | None = None,
    voices: Sequence[KnownVoice] = (),
) -> tuple[Result, CastlineError | None]:
    """The result, and why decoding broke off."""
    settings = settings or Settings()
    request = Request(_source(Path(path), settings), _options(asked, settings))
    photos = _photos(Path(gallery).resolve(), settings) if gallery is not None else None
    if photos:
        photos.check()
    with _turn, _silent():
        probed = probe(Path(path), Limits.of(settings), request.options)
        if only:
            probed = probed.only(only)
            if getattr(probed, only) is None:
                raise NoStreams(_MISSING[only])
        engines = process_engines(settings, MemoryStore())
        _load(engines, probed, request.options, must_hear=only == "audio")
        start, summary = perf_counter(), SplitSummary()
        kept = MemoryStore()  # small pictures, in which mouths are watched
        parts = dict(_analysed(Path(path), probed, request, settings, engines, summary, heard, kept))
        failed = {name: part for name, part in parts.items() if isinstance(part, ErrorPart)}
        done = {name: part for name, part in parts.items() if not isinstance(part, ErrorPart)}
        analysing = sum(part.usage.seconds for part in done.values())
        seconds = round(max(perf_counter() - start - analysing, 0.0), 4)
        manifest = Manifest(
            run=request.run,
            source=request.source,
            options=request.options,
            probe=probed,
            duration_s=summary.duration_s(probed),
            sampling=summary.sampling,
            sample_times_ms=tuple(summary.sampled_ms),
            units=summary.units(),
            warnings=tuple(summary.warnings),
            error=Failure.of(summary.error) if summary.error else None,
            usage=Usage(stage="split", seconds=seconds, memory_mb=settings.memory_mb, elsewhere=True),
        )
        seen = any(frame.faces for part in done.values() if isinstance(part, FramesPart) for frame in part.frames)
        known = photos.embedded(engines) if photos and seen else None
        named = known.gallery if known else None
        if photos and any(isinstance(part, AudioPart) and part.voices for part in done.values()):
            named = photos.heard(named)
        if voices:
            named = (named or Gallery(model="", fingerprint="")).model_copy(update={"voices": tuple(voices)})
        mouths = mouths_of(
            manifest, done, kept, settings, lambda manifest, parts: watch(manifest, parts, kept, settings, engines)
        )
        assembly = assemble(manifest, done, failed, named, known.warnings if known else (), mouths)
    return assembly.result, summary.error


def _whole(outcome: tuple[Result, CastlineError | None]) -> Result:
    result, error = outcome
    if error:
        raise error
    for failure in result.failures:
        raise UnitError(f"{failure.start_s:.1f} to {failure.end_s:.1f} s: {failure.error.message}")
    return result


def _source(path: Path, settings: Settings) -> Source:
    info = path.stat()
    check_upload(info.st_size, settings)
    return Source(
        bucket="", key=path.name, etag=_md5(path.resolve(), info.st_mtime_ns), version=None, size=info.st_size
    )


def _options(asked: Mapping[str, object], settings: Settings) -> Options:
    try:
        body = json.dumps(asked).encode()
    except TypeError as error:
        raise OptionsError(f"the options are not text, numbers, yes or no, or lists of these: {error}") from error
    return override(settings.options(), body, "the options")


def _load(engines: Engines, probed: Probe, options: Options, *, must_hear: bool) -> None:
    """Load what will be needed, so that missing models are reported before the work, and not once for every unit."""
    if probed.video:
        _ = engines.detector, engines.embedder
    if probed.audio:
        try:
            check_request(engines.transcriber.info, options)
        except NoSpeechEngine:
            if must_hear:
                raise


def _analysed(
    path: Path,
    probed: Probe,
    request: Request,
    settings: Settings,
    engines: Engines,
    summary: SplitSummary,
    heard: Heard | None,
    kept: MemoryStore,
) -> Iterator[tuple[str, FramesPart | AudioPart | ErrorPart]]:
    """The part of each unit by its name, as it is decoded; stores the parts and the small pictures of mouths."""
    media, run, options = request.source.key, request.run, request.options
    for piece in split(path, probed, options, Limits.of(settings), summary, max_duration_s=settings.max_duration_s):
        if isinstance(piece, MotionPiece):
            kept.put(settings.stage1_bucket, keys.motion_key(media, run, piece.start_ms), piece.body)
            continue
        unit = (
            keys.UnitId(media, run, "audio", piece.unit.index)
            if isinstance(piece, AudioPiece)
            else keys.UnitId(media, run, "frames", piece.index)
        )
        if isinstance(piece, AudioPiece) and options.speakers == "auto":
            kept.put(settings.stage1_bucket, unit.stage1_key, piece.body)
        store = MemoryStore()
        store.put(settings.stage1_bucket, keys.options_key(media, run), options.to_json())
        store.put(settings.stage1_bucket, unit.stage1_key, piece.body)
        analyse_unit(unit, store, settings, engines)
        failed = store.head(settings.output_bucket, unit.part_key) is None
        part = read_part(unit, store, settings, failed=failed)
        if heard and isinstance(piece, AudioPiece) and isinstance(part, AudioPart):
            heard(piece.unit, part, probed.duration_s)
        yield unit.name, part


class _Photos(MemoryStore):
    """A folder of people as the gallery's bucket; data derived from the photos stays in memory."""

    def __init__(self, folder: Path, bucket: str) -> None:
        super().__init__()
        self._folder, self._bucket = folder, bucket
        self._galleries = RememberedGalleries()

    def check(self) -> None:
        """
        Raises:
            GalleryError: no such folder, or neither photos nor voices in it.
        """
        if not self._folder.is_dir():
            raise GalleryError(f"{self._folder} is not a folder")
        if not any(keys.parse_photo(info.key) or keys.parse_voice(info.key) for info in self.find(self._bucket)):
            raise GalleryError(f"no photos of people in {self._folder}: put one folder of photos per name there")

    def embedded(self, engines: Engines) -> LoadedGallery:
        return self._galleries(self, self._bucket, engines.embedder.info.id, lambda body: embed_photo(body, engines))

    def heard(self, gallery: Gallery | None) -> Gallery:
        """A gallery with the given voices."""
        gallery = gallery or Gallery(model="", fingerprint=fingerprint_now(self, self._bucket))
        return gallery.model_copy(update={"voices": load_voices(self, self._bucket)})

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        for path in sorted(path for path in self._folder.glob("*/*") if path.is_file()):
            info = path.stat()
            key = f"{path.parent.name}/{path.name}"
            yield ObjectInfo(key=key, size=info.st_size, etag=_md5(path, info.st_mtime_ns))

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        if (bucket, key) in self.objects or not (self._folder / key).is_file():
            return super().get(bucket, key, max_bytes=max_bytes)
        check_size((self._folder / key).stat().st_size, key, max_bytes)
        return (self._folder / key).read_bytes()


@lru_cache(maxsize=8)
def _photos(folder: Path, settings: Settings) -> _Photos:
    return _Photos(folder, settings.gallery_bucket)


@lru_cache(maxsize=65536)
def _md5(path: Path, mtime_ns: int) -> str:
    """S3's ETag of a file with that size and time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the stages, which log to standard output for CloudWatch: here that belongs to the caller."""
    logs = logging.getLogger(stage_logger.name)
    before, logs.disabled = logs.disabled, True
    try:
        yield
    finally:
        logs.disabled = before
