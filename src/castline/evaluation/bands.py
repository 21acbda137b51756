"""How well an embedder tells people apart in bad pictures: each photo is degraded, then compared with the rest.

A degraded face is compared with all clean photos except its own. It is judged as in a result: its grade
(``recognition/grade.py``) and that of the photo decide which thresholds it must reach; a useless face reaches none, and
neither does a pair of which neither is clear. Over all pairs of a band, with the formulas of ``evaluation/faces.py``:

    FAR  share of the pairs of two people at or above the threshold of the degraded face
    FRR  share of the pairs of one person below it
    EER  of the band alone, independent of the thresholds
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Detector, Embedder, Image
from castline.engines.thresholds import NEVER, Thresholds
from castline.errors import EvaluationError, UnitError
from castline.evaluation.degrade import WAYS, Way
from castline.evaluation.faces import Scores, equal_error_rate
from castline.recognition.grade import PERSON_MIN_SCORE, grade_of, may_share_faults
from castline.recognition.tracks import iou
from castline.records import Face, Grade, Record

#: A degraded face counts as found if it overlaps the clean one this much.
_SAME_PLACE = 0.3


class Band(Record):
    """Error rates of the faces that were degraded in the same way, or that have the same grade.

    Attributes:
        photos: how many were degraded; ``found``: in how many the face was found again.
        useless: how many of these are useless, and never get a name.
        highest_different: the most alike pair of two people.
        far, frr: at ``known``, 0..1; ``false_accepts`` is the count behind the first.
        maybe_far: at ``ambiguous``.
        sharpness: median.
    """

    name: str
    photos: int
    found: int
    useless: int
    same_pairs: int
    different_pairs: int
    eer: float | None
    highest_different: float | None
    far: float | None
    frr: float | None
    false_accepts: int
    maybe_far: float | None
    sharpness: float | None


@dataclass(frozen=True, slots=True)
class _Probe:
    """A degraded face, and its similarities to the clean photos of its own person and of others.

    Attributes:
        same_needs, different_needs: by how much each must exceed the threshold of the face; ``NEVER`` if nothing is
            enough.
    """

    face: Face
    same: Scores
    different: Scores
    same_needs: Scores
    different_needs: Scores


def bands(
    photos: Mapping[Path, str],
    detector: Detector,
    embedder: Embedder,
    limits: Thresholds,
    *,
    ways: Mapping[str, Way] = WAYS,
    done: Callable[[], None] | None = None,
) -> tuple[Band, ...]:
    """One band per way, then one per grade over all ways.

    Args:
        photos: the person in each; those without a face are left out.
        done: called after each way.

    Raises:
        EvaluationError: a file is not a picture.
    """

    clean: dict[Path, tuple[Image, Face]] = {}
    for path in photos:
        image = read_photo(path)
        faces = [face for face in _faces(image, detector, embedder) if face.score >= PERSON_MIN_SCORE]
        if faces:
            clean[path] = image, max(faces, key=_area)
    people = np.array([photos[path] for path in clean])
    gallery = np.stack([face.embedding.vector() for _, face in clean.values()]).astype(np.float64)
    grades = [grade_of(face) for _, face in clean.values()]
    found: dict[str, list[_Probe]] = {}
    for name, way in ways.items():
        found[name] = []
        for index, (image, face) in enumerate(clean.values()):
            again = _again(way(image, _width(image, face)), face, detector, embedder)
            if again:
                found[name].append(_probe(again, index, gallery, people, _needs(again, grades, limits)))
        if done:
            done()
    by_way = [_band(name, len(clean), probes, limits) for name, probes in found.items()]
    everything = [probe for probes in found.values() for probe in probes]
    graded = {grade: [probe for probe in everything if grade_of(probe.face) == grade] for grade in get_args(Grade)}
    return (*by_way, *(_band(grade, len(probes), probes, limits) for grade, probes in graded.items()))


def _faces(image: Image, detector: Detector, embedder: Embedder) -> Sequence[Face]:
    from castline.recognition.analyse import analyse_frames

    return analyse_frames([(0, image)], detector, embedder, max_image_side=max(image.shape[:2]))[0].faces


def _again(image: Image, clean: Face, detector: Detector, embedder: Embedder) -> Face | None:
    faces = _faces(image, detector, embedder)
    best = max(faces, key=lambda face: iou(face.box, clean.box), default=None)
    return best if best and iou(best.box, clean.box) >= _SAME_PLACE else None


def _needs(face: Face, photos: Sequence[Grade], limits: Thresholds) -> NDArray[np.float64]:
    """By how much a face must exceed its threshold with each of the photos."""
    grade = grade_of(face)
    return np.array([NEVER if may_share_faults(grade, photo) else limits.poor * (photo != "clear") for photo in photos])


def _probe(
    face: Face, index: int, gallery: NDArray[np.float64], people: NDArray[np.str_], needs: NDArray[np.float64]
) -> _Probe:
    similar = gallery @ face.embedding.vector()
    same = people == people[index]
    others = same.copy()
    others[index] = False
    return _Probe(face, similar[others], similar[~same], needs[others], needs[~same])


def _band(name: str, photos: int, probes: Sequence[_Probe], limits: Thresholds) -> Band:
    known = [limits.of(grade_of(probe.face)).known for probe in probes]
    maybe = [limits.of(grade_of(probe.face)).ambiguous for probe in probes]
    same = np.concatenate([np.empty(0), *(probe.same for probe in probes)])
    different = np.concatenate([np.empty(0), *(probe.different for probe in probes)])
    limited = list(zip(probes, known, strict=True))
    accepts = sum(int((probe.different >= limit + probe.different_needs).sum()) for probe, limit in limited)
    doubtful = sum(int((probe.different >= limit).sum()) for probe, limit in zip(probes, maybe, strict=True))
    rejects = sum(int((probe.same < limit + probe.same_needs).sum()) for probe, limit in limited)
    both = len(same) and len(different)
    return Band(
        name=name,
        photos=photos,
        found=len(probes),
        useless=sum(grade_of(probe.face) == "useless" for probe in probes),
        same_pairs=len(same),
        different_pairs=len(different),
        eer=equal_error_rate(same, different)[0] if both else None,
        highest_different=float(different.max()) if len(different) else None,
        far=accepts / len(different) if len(different) else None,
        frr=rejects / len(same) if len(same) else None,
        false_accepts=accepts,
        maybe_far=doubtful / len(different) if len(different) else None,
        sharpness=float(np.median([probe.face.sharpness for probe in probes])) if probes else None,
    )


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _width(image: Image, face: Face) -> float:
    """Shorter side of the face in pixels of the picture."""
    x0, y0, x1, y1 = face.box
    height, width = image.shape[:2]
    return float(min((x1 - x0) * width, (y1 - y0) * height))


def read_photo(path: Path) -> Image:
    """A photo as RGB, shape (h, w, 3), uint8, scaled down if its longer side exceeds 1600 pixels.

    Raises:
        EvaluationError: it is not a picture.
    """
    from castline.media.pictures import decode_jpeg, limit_side
    from castline.recognition.analyse import MAX_SIDE

    try:
        return limit_side(decode_jpeg(path.read_bytes()), MAX_SIDE)
    except (UnitError, OSError) as error:
        raise EvaluationError(f"{path} is not a picture we can read") from error
