"""Stage 2: a unit becomes a part, and the invocation that completes the set assembles.

Models load once per process (``Engines``), at the first unit that needs them: a process that only
ever sees audio never loads a face model.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from time import perf_counter
from typing import NamedTuple

import numpy as np
from aws_lambda_powertools import Logger
from numpy.typing import NDArray

from castline import keys, metrics
from castline.engines.base import Speech, check_request
from castline.engines.process import EngineSet
from castline.errors import CastlineError, ModelNotFound, NoSpeechEngine, UnitError
from castline.events import ObjectCreated
from castline.media.chunks import SAMPLE_RATE
from castline.recognition.photo import embed_photo
from castline.records import (
    AudioPart,
    ErrorPart,
    Failure,
    FramesPart,
    Manifest,
    Mouths,
    Notice,
    Options,
    Voices,
)
from castline.records.options import MAX_FRAMES_PER_UNIT
from castline.records.reading import MAX_BYTES
from castline.runs.common import Stopwatch
from castline.runs.complete import complete_run
from castline.runs.mouths import Parts
from castline.runs.removal import discard_deleted
from castline.runs.sets import read_manifest
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = Logger(service="face-recognition")

#: What reading a damaged zip can raise; a flipped bit may demand a password or an unknown method.
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, KeyError, EOFError, OSError)


class Analysed(NamedTuple):
    """Attributes:
    part: the unit's name, if a part was written.
    assembled: the media file, if its run was complete with it.
    """

    part: str | None = None
    assembled: str | None = None


def analyse_object(item: ObjectCreated, store: ObjectStore, settings: Settings, engines: EngineSet) -> Analysed:
    """Analyse a unit; a manifest only checks whether its run is complete."""
    unit = keys.parse_unit(item.key)
    run = unit[:2] if unit else keys.parse_manifest(item.key)
    if item.bucket != settings.stage1_bucket or run is None:
        logger.info("not ours, ignored", key=item.key, bucket=item.bucket)
        return Analysed()
    media, run_id = run
    logger.append_keys(media=media, run=run_id)
    part = unit.name if unit and analyse_unit(unit, store, settings, engines) else None
    whole = complete_run(
        media,
        run_id,
        store,
        settings,
        embed_photo=lambda body: embed_photo(body, engines),
        remake=lambda damaged: analyse_unit(damaged, store, settings, engines),
        watch=lambda manifest, parts: watch(manifest, parts, store, settings, engines),
    )
    if unit is None and not whole:  # it waits for parts; with each of them, the upload need not be looked for
        discard_deleted(media, run_id, store, settings)
    return Analysed(part, media if whole else None)


def watch(manifest: Manifest, parts: Parts, store: ObjectStore, settings: Settings, engines: EngineSet) -> Mouths:
    """Watch mouths with this process's engine; the module, and the picture libraries it needs, are loaded only now."""
    from castline.stages.mouths import watch_mouths

    return watch_mouths(manifest, parts, store, settings, lambda: engines.active_speaker)


def analyse_unit(unit: keys.UnitId, store: ObjectStore, settings: Settings, engines: EngineSet) -> bool:
    """Write the part of one unit, unless it exists.

    A unit that can never be read leaves an error part at once.

    Raises:
        CastlineError: a retryable one; the platform invokes again.
    """
    if store.head(settings.output_bucket, unit.part_key):
        logger.info("already analysed, ignored", unit=unit.name)
        return False
    stage = "faces" if unit.kind == "frames" else "speech"
    watch = Stopwatch(stage, settings)
    try:
        with watch.step("download"):
            body = store.get(settings.stage1_bucket, unit.stage1_key)
        if body is None:
            logger.info("unit is gone, ignored", unit=unit.name)
            return False
        part: FramesPart | AudioPart = (
            _faces(unit, body, engines, watch)
            if unit.kind == "frames"
            else _speech(unit, body, engines, watch, _options(unit, store, settings))
        )
        written = part.to_json()
    except CastlineError as error:
        if error.retryable:
            raise
        logger.warning(
            "unit failed for good", unit=unit.name, code=error.code, reason=error.message, detail=error.detail
        )
        metrics.record("Failures")
        failed = ErrorPart(unit=unit.name, error=Failure.of(error))
        return store.put(settings.output_bucket, unit.error_key, failed.to_json())
    _measure(part)
    # The first writer wins: a repeated event must not change bytes that somebody may have read.
    return store.put(settings.output_bucket, unit.part_key, written, if_absent=True)


def _measure(part: FramesPart | AudioPart) -> None:
    metrics.record("Units")
    metrics.record("FacesSeconds" if isinstance(part, FramesPart) else "SpeechSeconds", part.usage.seconds)
    if isinstance(part, FramesPart):
        metrics.record("Faces", sum(len(frame.faces) for frame in part.frames))


def _faces(unit: keys.UnitId, body: bytes, engines: EngineSet, watch: Stopwatch) -> FramesPart:
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import MAX_SIDE, analyse_frames

    with watch.step("load"):
        detector, embedder = engines.detector, engines.embedder
    with watch.step("decode"):
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                _check_archive(archive)
                frames = [(int(name.removesuffix(".jpg")), archive.read(name)) for name in sorted(archive.namelist())]
        except _BROKEN_ZIP as error:
            raise UnitError(f"the batch of frames cannot be read: {error}") from error
        images = [(time_ms, decode_jpeg(jpeg)) for time_ms, jpeg in frames]
    with watch.step("faces"):
        analysed = analyse_frames(images, detector, embedder, max_image_side=MAX_SIDE)
    return FramesPart(
        unit=unit.name, detector=detector.info.id, embedder=embedder.info.id, frames=analysed, usage=watch.usage()
    )


def _check_archive(archive: zipfile.ZipFile) -> None:
    """Check an archive before anything is unpacked.

    Raises:
        UnitError: more frames or bytes than a batch may have.
    """
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_FRAMES_PER_UNIT or size > MAX_BYTES:
        raise UnitError(f"the batch of frames has {len(entries)} entries of {size / 1e6:.0f} MB, more than a batch has")


def _options(unit: keys.UnitId, store: ObjectStore, settings: Settings) -> Options:
    options = read_object(Options, store, settings.stage1_bucket, keys.options_key(unit.media, unit.run))
    if options is None:  # removed with an earlier upload that was being deleted
        manifest = read_manifest(unit.media, unit.run, store, settings)
        if manifest is None:
            raise UnitError("the run's options are gone")
        return manifest.options
    return options


def _speech(unit: keys.UnitId, body: bytes, engines: EngineSet, watch: Stopwatch, options: Options) -> AudioPart:
    from castline.media.flac import decode_flac

    try:
        with watch.step("load"):
            transcriber = engines.transcriber
    except NoSpeechEngine as error:  # no engine was named: people are found without one, too
        logger.warning("no speech engine", unit=unit.name, reason=error.message)
        message = "no speech was transcribed: there is no speech model; `castline models list` says what is missing"
        nobody = Notice(code="no_speech_engine", message=message)
        return AudioPart(
            unit=unit.name, transcriber=None, language=None, segments=(), warnings=(nobody,), usage=watch.usage()
        )
    warnings = check_request(transcriber.info, options)
    with watch.step("decode"):
        samples = decode_flac(body)
    with watch.step("transcribe"):
        start = perf_counter()
        heard = transcriber.transcribe(Speech(samples, options))
        if len(samples):
            metrics.record("SpeechRTF", (perf_counter() - start) * SAMPLE_RATE / len(samples))
    voices, unheard = _voices(samples, engines, watch) if options.speakers != "off" and heard.segments else (None, ())
    if not heard.segments:  # a language that nobody spoke does not matter
        warnings = tuple(warning for warning in warnings if warning.code != "language_guessed")
    return AudioPart(
        unit=unit.name,
        transcriber=transcriber.info.id,
        language=heard.language,
        languages=heard.languages,
        segments=heard.segments,
        warnings=(*warnings, *heard.warnings, *unheard),
        voices=voices,
        usage=watch.usage(),
    )


def _voices(
    samples: NDArray[np.float32], engines: EngineSet, watch: Stopwatch
) -> tuple[Voices | None, tuple[Notice, ...]]:
    """Embeddings of voices, or a notice that they cannot be told apart: words without voices are better than none."""
    from castline.engines.speech.voice import stretches
    from castline.recognition.voices import windows_of

    try:
        with watch.step("load"):
            encoder = engines.voice_encoder
        with watch.step("voices"):
            windows = windows_of(stretches(samples))
            return Voices.of(encoder.info.id, windows, encoder.embed_voices(samples, windows)), ()
    except ModelNotFound as error:
        logger.warning("voices are not told apart", reason=error.message)
        return None, (Notice(code="no_voices", message=f"voices are not told apart: {error.message}"),)
