"""From labelled photos to a report: describe every photo once, then measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Detector, Embedder, EngineInfo
from castline.engines.plugins import thresholds_for
from castline.errors import EvaluationError
from castline.evaluation.bands import Band, read_photo
from castline.evaluation.dataset import PairList, PhotoFolder, Split, split_people
from castline.evaluation.faces import (
    Identification,
    Probe,
    Scores,
    Verification,
    identification,
    pair_similarities,
    verification,
)
from castline.recognition.dominant import dominant, most_prominent_first
from castline.recognition.grade import grade_of
from castline.records import Embedding, Gallery, Grade, KnownFace, Record


@dataclass(frozen=True, slots=True)
class Described:
    """Attributes:
    embeddings: of the dominant face of each photo that has one, in the given order; likewise ``grades``.
    without_face, with_several: photos that are left out, because none of their faces dominates.
    """

    embeddings: dict[Path, Embedding]
    grades: dict[Path, Grade]
    without_face: tuple[Path, ...]
    with_several: tuple[Path, ...]


class FacesReport(Record):
    """The findings of ``castline eval faces``.

    Attributes:
        model: id of the embedder; ``detector`` that of the detector.
        people: None if photos came as pairs, which name nobody.
        without_face, with_several: photos that are left out, as paths below the data set.
        enrol, left_out: the protocol (``split_people``).
        identification: None if it was not possible; ``not_identified`` says why.
        bands: if requested.
    """

    model: str
    title: str
    detector: str
    people: int | None
    photos: int
    without_face: tuple[str, ...]
    with_several: tuple[str, ...]
    enrol: int
    left_out: int
    verification: Verification
    identification: Identification | None
    not_identified: str | None
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """The report, and the similarities it was made from (for a plot)."""

    report: FacesReport
    same: Scores
    different: Scores


def describe(
    photos: Sequence[Path], detector: Detector, embedder: Embedder, done: Callable[[], None] | None = None
) -> Described:
    """The dominant face of each photo, found, embedded and chosen as for enrolment.

    Args:
        done: called after each photo.

    Raises:
        EvaluationError: a file that is no picture.
    """
    from castline.recognition.analyse import MAX_SIDE, analyse_frames

    embeddings: dict[Path, Embedding] = {}
    grades: dict[Path, Grade] = {}
    without: list[Path] = []
    several: list[Path] = []
    for path in photos:
        image = read_photo(path)
        (frame,) = analyse_frames([(0, image)], detector, embedder, max_image_side=MAX_SIDE)
        if face := dominant(frame.faces):
            embeddings[path] = face.embedding
            grades[path] = grade_of(face)
        else:
            (several if most_prominent_first(frame.faces) else without).append(path)
        if done:
            done()
    return Described(embeddings, grades, tuple(without), tuple(several))


def measure(
    data: PhotoFolder | PairList, found: Described, info: EngineInfo, detector: str, *, enrol: int, left_out: int
) -> Measured:
    """All measures of one embedder on one data set; photos without a face are left out.

    Args:
        info: the embedder's.
        detector: id of the detector.
        enrol, left_out: as ``split_people``.

    Raises:
        EvaluationError: too few faces to compare.
        ModelError: no thresholds are known for the embedder.
    """
    limits = thresholds_for(info.id)
    identified, why = None, None
    if isinstance(data, PhotoFolder):
        people = {
            name: [path for path in paths if path in found.embeddings] for name, paths in sorted(data.people.items())
        }
        same, different = pair_similarities(
            np.stack([_vector(found, path) for paths in people.values() for path in paths])
            if found.embeddings
            else np.empty((0, 1), np.float32),
            [name for name, paths in people.items() for _ in paths],
        )
        try:
            split = split_people(people, enrol, left_out)
        except EvaluationError as error:
            why = error.message
        else:
            gallery, probes = _roles(split, data.root, found, info.id)
            identified = identification(gallery, probes, limits)
    else:
        same, different = _listed(data, found)
        why = "pairs do not say who is who"
    report = FacesReport(
        model=info.id,
        title=info.title,
        detector=detector,
        people=len(data.people) if isinstance(data, PhotoFolder) else None,
        photos=len(data.photos),
        without_face=_names(found.without_face, data.root),
        with_several=_names(found.with_several, data.root),
        enrol=enrol,
        left_out=left_out,
        verification=verification(same, different, limits),
        identification=identified,
        not_identified=why,
    )
    return Measured(report, same, different)


def _roles(split: Split[Path], root: Path, found: Described, model: str) -> tuple[Gallery, list[Probe]]:
    faces = tuple(
        KnownFace(name=name, photo=_name(path, root), embedding=found.embeddings[path], grade=found.grades[path])
        for name, paths in split.enrolled.items()
        for path in paths
    )
    probes = [
        Probe(name, _name(path, root), _vector(found, path), found.grades[path])
        for name, path in (*split.probes, *split.strangers)
    ]
    return Gallery(model=model, fingerprint="", faces=faces), probes


def _listed(data: PairList, found: Described) -> tuple[Scores, Scores]:
    usable = [pair for pair in data.pairs if pair.a in found.embeddings and pair.b in found.embeddings]
    scores = np.array(
        [float(_vector(found, pair.a).astype(np.float64) @ _vector(found, pair.b)) for pair in usable], np.float64
    )
    same = np.array([pair.same for pair in usable], np.bool_)
    return scores[same], scores[~same]


def _vector(found: Described, path: Path) -> NDArray[np.float32]:
    return found.embeddings[path].vector()


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _names(paths: Sequence[Path], root: Path) -> tuple[str, ...]:
    return tuple(_name(path, root) for path in paths)
