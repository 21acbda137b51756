"""Turns a batch of frames into face records: detect, embed, judge, and keep one picture per person."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, Detector, Embedder, Image
from castline.engines.plugins import thresholds_for
from castline.engines.thresholds import Thresholds
from castline.media.pictures import encode_jpeg, limit_side
from castline.recognition import quality
from castline.recognition.look import look_of
from castline.recognition.tracks import FaceTrack, link
from castline.records import Embedding, Face, FrameFaces, Point

#: Frames whose pyramids go through the detector together: bounds its memory (about 16 bytes a pixel).
_GROUP = 4
#: Larger pictures are scaled down: frames of stage 1 are smaller, but photos to enrol may have any size.
MAX_SIDE = 1600
#: A kept picture: how far beyond the box it reaches on each side, its largest side.
_CROP_MARGIN, _CROP_SIDE = 0.40, 256
#: Digits kept of fractions: a tenth of a pixel at any size, and no noise in the part's bytes.
_DIGITS = 5


def analyse_frames(
    frames: Sequence[tuple[int, Image]], detector: Detector, embedder: Embedder, *, max_image_side: int
) -> tuple[FrameFaces, ...]:
    """Find and describe all faces of a unit's frames.

    The same frames and engines give the same records, byte for byte.

    Args:
        frames: presentation time in ms and RGB picture, shape (h, w, 3), uint8; sizes may differ.
        max_image_side: larger pictures are scaled down first, to this many pixels on their longer side.

    Returns:
        One entry per frame, in the given order, faces best score first. The best face of each track of
        the batch carries a picture (``crop``), so that somebody can be shown without the video.

    Raises:
        ModelError: no thresholds are known for the embedder.
    """
    found: list[FrameFaces] = []
    for start in range(0, len(frames), _GROUP):
        group = [(time_ms, limit_side(image, max_image_side)) for time_ms, image in frames[start : start + _GROUP]]
        detected = detector.detect([image for _, image in group])
        for (time_ms, image), faces in zip(group, detected, strict=True):
            vectors = embedder.embed(image, faces)
            records = [_record(image, face, embedder.info.id, v) for face, v in zip(faces, vectors, strict=True)]
            found.append(FrameFaces(time_ms=time_ms, faces=tuple(records), look=look_of(image)))
    # The same linking as in assembly, so that everybody who becomes a person there has a picture from here.
    limits = thresholds_for(embedder.info.id)
    shown = {id(face) for track in link(found, limits) for face in _pictured(track, limits)}
    return tuple(
        frame.model_copy(
            update={"faces": tuple(f if id(f) in shown else f.model_copy(update={"crop": None}) for f in frame.faces)}
        )
        for frame in found
    )


def _pictured(track: FaceTrack, limits: Thresholds) -> list[Face]:
    """The faces of a track that get a picture, the best first.

    There may be several, because assembly may split a track by name.
    """
    chosen: list[int] = []
    for at in sorted(range(len(track.faces)), key=lambda at: -track.faces[at].quality):
        if not chosen or all(float(track.vectors[at] @ track.vectors[other]) < limits.same_track for other in chosen):
            chosen.append(at)
    return [track.faces[at] for at in chosen]


def face_picture(image: Image, face: DetectedFace) -> Image:
    """A square around the face with 40 % margin on each side, at most 256 pixels, inside the picture.

    A square that would extend beyond the picture is moved, and shrunk if it is larger than the picture.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in face.box)
    side = min(round(max(x1 - x0, y1 - y0) * (1 + 2 * _CROP_MARGIN)), width, height)
    side = max(side, 1)
    left = min(max(round((x0 + x1 - side) / 2), 0), width - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), height - side)
    return limit_side(image[top : top + side, left : left + side], _CROP_SIDE)


def _record(image: Image, face: DetectedFace, model: str, vector: NDArray[np.float32]) -> Face:
    height, width = image.shape[:2]
    sharp = quality.sharpness(image, face.box)
    yaw, roll = quality.pose(face.landmarks)
    size = quality.size_px(face, width, height)
    box = [_fraction(float(v), of) for v, of in zip(face.box, (width, height, width, height), strict=True)]
    points: list[Point] = [(_fraction(float(x), width), _fraction(float(y), height)) for x, y in face.landmarks]
    return Face(
        box=(box[0], box[1], box[2], box[3]),
        landmarks=(points[0], points[1], points[2], points[3], points[4]),
        score=round(face.score, _DIGITS),
        size_px=round(size, 1),
        sharpness=round(sharp, 1),
        detail=round(quality.detail(image, face.box), 1),
        blocking=round(quality.blocking(image, face.box), 2),
        noise=round(quality.noise(image, face.box), 3),
        burnt=round(quality.burnt(image, face.box), 3),
        quality=round(quality.combined(size, sharp, yaw, roll, face.score), _DIGITS),
        embedding=Embedding.of(model, vector),
        crop=base64.b64encode(encode_jpeg(face_picture(image, face))).decode(),
    )


def _fraction(value: float, of: int) -> float:
    return round(min(max(value / of, 0.0), 1.0), _DIGITS)
