"""The classic profile: one video, one frame, one name, as the course project's contract has it.

    input     test_00.mp4
    stage-1   test_00.jpg     the most representative frame
    output    test_00.txt     the name of the person it shows, or the word for a stranger; nothing else

There are no run ids, no manifest and no result: a repeated event writes the same bytes again. A permanent failure fails
the invocation, so that the failure recorder writes the word for a stranger, and nobody waits for ever.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from castline import keys
from castline.events import ObjectCreated
from castline.media import probe
from castline.media.ffmpeg import Limits
from castline.media.representative import representative_frame
from castline.records import ObjectInfo, Source
from castline.runs.common import Split, download, time_to_decode
from castline.runs.request import read_request, read_source, source_of, uploaded_media
from castline.scratch import SCRATCH
from castline.settings import Settings
from castline.stages.announce import Announce
from castline.storage.base import ObjectStore

if TYPE_CHECKING:
    from castline.engines.process import EngineSet

logger = Logger(child=True)


def split_media(item: ObjectCreated, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """Write the representative frame of the current upload of a video.

    Returns:
        The frame as its only unit; None if there was nothing to do.

    Raises:
        CastlineError: the frame could not be written; not every error is retryable.
    """
    source = source_of(item, store, settings)
    if source is None:
        logger.info("not ours, or gone, ignored", key=item.key, bucket=item.bucket)
        return None
    request = read_request(source, store, settings)
    if request.error:
        raise request.error
    keys.check_media_key(source.key)
    limits = Limits.of(settings, time_to_decode(settings))
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}media-") as folder:
        path = Path(folder) / f"media{PurePosixPath(source.key).suffix.lower()}"
        if not download(source, path, store, settings):
            logger.info("replaced or deleted while being read, ignored", key=source.key)
            return None
        probed = probe(path, limits)
        frame = representative_frame(path, probed, request.options, limits, max_duration_s=settings.max_duration_s)
    if read_source(source.bucket, source.key, store) != source:
        logger.info("replaced or deleted meanwhile, ignored", key=source.key)
        return None
    key = keys.classic_frame_key(source.key)
    store.put(settings.stage1_bucket, key, frame)
    announce(key)
    return Split("", "", (key,), new=True)


def recognise(item: ObjectCreated, store: ObjectStore, settings: Settings, engines: EngineSet) -> str | None:
    """Write the name of the person a frame shows.

    Returns:
        The answer's key; None if there was nothing to do.

    Raises:
        UnitError: the frame is not a picture.
    """
    ours = item.bucket == settings.stage1_bucket and keys.is_classic_frame(item.key)
    seen = store.head(item.bucket, item.key) if ours else None
    body = store.get(item.bucket, item.key) if seen else None
    if seen is None or body is None:
        logger.info("not ours, or gone, ignored", key=item.key, bucket=item.bucket)
        return None
    name = _name(body, store, settings, engines) or settings.unknown_name
    now = store.head(item.bucket, item.key)
    if now is None or now.etag != seen.etag:
        logger.info("replaced meanwhile, left to its next event", key=item.key)
        return None
    return _answer(item.key, name, store, settings)


def give_up(item: ObjectCreated, store: ObjectStore, settings: Settings) -> str | None:
    """Answer for a video or a frame that is out of retries, so that nobody waits for it."""
    ours = keys.media_of(item.key) if item.bucket == settings.input_bucket else item.key
    return _answer(ours, settings.unknown_name, store, settings) if ours else None


def unanswered(store: ObjectStore, settings: Settings) -> Iterator[Source]:
    """Uploads without an answer, or with an answer that is older than the upload."""
    for source in uploaded_media(store, settings):
        answer = store.head(settings.output_bucket, keys.classic_answer_key(source.key))
        upload = store.head(source.bucket, source.key)
        if answer is None or _older(answer, upload):
            yield source


def _older(answer: ObjectInfo, upload: ObjectInfo | None) -> bool:
    return bool(
        upload and upload.last_modified and answer.last_modified and answer.last_modified < upload.last_modified
    )


def _answer(key: str, name: str, store: ObjectStore, settings: Settings) -> str:
    answer = keys.classic_answer_key(key)
    store.put(settings.output_bucket, answer, name.encode())
    logger.info("answered", key=answer)
    return answer


def _name(body: bytes, store: ObjectStore, settings: Settings, engines: EngineSet) -> str | None:
    from castline.engines.plugins import thresholds_for
    from castline.gallery.load import load_gallery
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import MAX_SIDE, analyse_frames
    from castline.recognition.dominant import most_prominent_first
    from castline.recognition.grade import grade_of
    from castline.recognition.identity import identify_alone
    from castline.recognition.photo import embed_photo
    from castline.recognition.sightings import Enrolled

    image = decode_jpeg(body)
    (frame,) = analyse_frames([(0, image)], engines.detector, engines.embedder, max_image_side=MAX_SIDE)
    faces = most_prominent_first(frame.faces)
    if not faces:
        return None
    model = engines.embedder.info.id
    gallery = load_gallery(store, settings.gallery_bucket, model, lambda photo: embed_photo(photo, engines)).gallery
    known = Enrolled.of(gallery, thresholds_for(model))
    # Somebody beside the person the clip is about, however large, is mostly not a known person.
    for face in faces:
        identity, names = identify_alone(face.embedding.vector(), known, grade_of(face))
        if identity == "known":
            return names[0].name
    return None
