"""Enrolling from a video: the best views of one person, spread over its length."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.plugins import thresholds_for
from castline.engines.thresholds import Thresholds
from castline.errors import GalleryError
from castline.gallery.load import PhotoEmbedder
from castline.gallery.pictures import MOST, Picture, problem_of
from castline.recognition.identity import people_on
from castline.recognition.tracks import FaceTrack
from castline.records import Box, Face, FrameFaces, Gallery, Options
from castline.settings import Settings

if TYPE_CHECKING:
    from castline.engines.base import Image
    from castline.engines.process import EngineSet

_INTERVAL_S = 1.0
_MOST_FRAMES = 600  # frames at most; a longer video is sampled more sparsely, because somebody is waiting
_LONG_SIDE = 1280
_WORST_QUALITY = 0.5  # of the best view's quality; a blurred view would match blurred strangers
_TRIES = 3  # views tried in one stretch of time before it is left out
_MARGINS = (0.5, 1.0)  # of the box on each side; the detector needs some room around a face
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """Somebody in a video.

    Attributes:
        picture: JPEG of the best view of the face.
        start_s, end_s: first and last sighting.
    """

    picture: bytes
    start_s: float
    end_s: float


class SeveralPeople(GalleryError):
    """There are several people in a video, and none was chosen.

    Attributes:
        people: in order of first appearance; ``pictures_in_video`` counts them from 1.
    """

    def __init__(self, message: str, people: tuple[SeenPerson, ...]) -> None:
        super().__init__(message)
        self.people = people


def pictures_in_video(
    path: Path, settings: Settings, engines: EngineSet, embed: PhotoEmbedder, person: int | None = None
) -> list[Picture]:
    """At most five pictures of one person in a video, in order of time.

    Args:
        person: which one, counted from 1 in order of first appearance; not needed if there is only one.

    Raises:
        SeveralPeople: more than one person is in it, and ``person`` is None.
        GalleryError: there is nobody in it, or nobody of that number, or no face can be cut out of it.
        MediaError: it cannot be decoded.
    """
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import MAX_SIDE, analyse_frames

    frames: list[FrameFaces] = []
    jpegs: dict[int, bytes] = {}
    for batch in _sampled(path, settings):
        jpegs |= batch
        images = [(time_ms, decode_jpeg(jpeg)) for time_ms, jpeg in batch.items()]
        frames += analyse_frames(images, engines.detector, engines.embedder, max_image_side=MAX_SIDE)
    people = _people(frames, thresholds_for(engines.embedder.info.id))
    if not people:
        raise GalleryError(f"{path.name}: nobody is in the video; enrol videos that show one person")
    if person is None and len(people) > 1:
        message = f"{path.name}: {len(people)} people are in the video; enrol videos that show one person"
        raise SeveralPeople(message, tuple(_seen(tracks, jpegs) for tracks in people))
    if not 1 <= (person or 1) <= len(people):
        raise GalleryError(f"{path.name}: there is no person {person} in the video, only {len(people)}")
    seen = _views(people[(person or 1) - 1])
    pictures = []
    for stretch in spread(seen, MOST):
        for time_ms, face in stretch[:_TRIES]:
            body = _picture(decode_jpeg(jpegs[time_ms]), face, embed)
            if body:
                pictures.append(Picture(f"{path.name} at {time_ms / 1000:.1f} s", ".jpg", body))
                break
    if not pictures:
        raise GalleryError(f"{path.name}: no face in the video is clear enough to be found again")
    return pictures


def _views(tracks: Sequence[FaceTrack]) -> list[tuple[int, Face]]:
    return [view for track in tracks for view in zip(track.times_ms, track.faces, strict=True)]


def _seen(tracks: Sequence[FaceTrack], jpegs: Mapping[int, bytes]) -> SeenPerson:
    from castline.media.pictures import decode_jpeg, encode_jpeg

    views = _views(tracks)
    time_ms, best = max(views, key=lambda view: view[1].quality)
    picture = encode_jpeg(_cut(decode_jpeg(jpegs[time_ms]), best.box, _MARGINS[0]), _JPEG_QUALITY)
    times = [time for time, _ in views]
    return SeenPerson(picture, min(times) / 1000, max(times) / 1000)


def spread(views: Sequence[tuple[int, Face]], count: int) -> list[list[tuple[int, Face]]]:
    """Views cut into at most ``count`` stretches of time, the best first in each; poor ones are left out."""
    best = max((face.quality for _, face in views), default=0.0)
    good = sorted((view for view in views if view[1].quality >= _WORST_QUALITY * best), key=lambda view: view[0])
    parts = min(count, len(good))
    bounds = [len(good) * at // parts for at in range(parts + 1)] if parts else []
    return [sorted(good[start:end], key=lambda view: -view[1].quality) for start, end in pairwise(bounds)]


def _sampled(path: Path, settings: Settings) -> Iterator[dict[int, bytes]]:
    """Batches of JPEG frames by presentation time in ms; the sound is not decoded."""
    from castline.media import FramesPiece, SplitSummary, probe, split
    from castline.media.ffmpeg import Limits

    limits = Limits.of(settings)
    probed = probe(path, limits)
    if probed.video is None:
        raise GalleryError(f"{path.name}: it has sound only, no picture")
    interval = max(_INTERVAL_S, (probed.duration_s or 0.0) / _MOST_FRAMES)
    options = Options(sampling="interval", interval_s=interval, long_side=_LONG_SIDE)
    silent = probed.only("video")
    for piece in split(path, silent, options, limits, SplitSummary(), max_duration_s=settings.max_duration_s):
        if isinstance(piece, FramesPiece):
            with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                yield {time_ms: archive.read(f"{time_ms:09d}.jpg") for time_ms in piece.names}


def _people(frames: list[FrameFaces], limits: Thresholds) -> list[list[FaceTrack]]:
    """Tracks by person.

    Clustering prefers to list somebody twice over mistaking two people for one. Here that would refuse a good video, so
    two people are one if one view of each would pass for a photo of the other.
    """
    people: list[list[FaceTrack]] = []
    for group in people_on(frames, Gallery(model="", fingerprint=""), limits):
        same = next((person for person in people if _one_person(person, group.tracks, limits)), None)
        if same is None:
            people.append(list(group.tracks))
        else:
            same += group.tracks
    return people


def _one_person(some: Sequence[FaceTrack], others: Sequence[FaceTrack], limits: Thresholds) -> bool:
    pairs = [(a, b) for a in some for b in others]
    if any(not set(a.samples).isdisjoint(b.samples) for a, b in pairs):
        return False
    return any(float(a.best.embedding.vector() @ b.best.embedding.vector()) >= limits.known for a, b in pairs)


def _picture(image: Image, face: Face, embed: PhotoEmbedder) -> bytes | None:
    """The face cut out so that the detector finds it again; None if it does not, whatever the margin."""
    from castline.media.pictures import encode_jpeg

    for margin in _MARGINS:
        body = encode_jpeg(_cut(image, face.box, margin), _JPEG_QUALITY)
        if problem_of(body, face, embed) is None:
            return body
    return None


def _cut(image: Image, box: Box, margin: float) -> Image:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    beyond = margin * max(x1 - x0, y1 - y0)
    left, top = max(int(x0 - beyond), 0), max(int(y0 - beyond), 0)
    right, bottom = min(int(x1 + beyond) + 1, width), min(int(y1 + beyond) + 1, height)
    return image[top:bottom, left:right]
