"""Photos become embeddings: of the main face only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from castline.engines.base import DetectedFace, EngineInfo
from castline.errors import EvaluationError
from castline.evaluation import read_dataset
from castline.evaluation.measure import describe, measure
from castline.media.pictures import encode_jpeg

Noise = Callable[[int, int], NDArray[np.uint8]]
Boxes = list[tuple[float, float, float, float, float]]


@dataclass
class ByWidth:
    """Returns the faces (x0, y0, x1, y1, score) that are listed for the picture's width."""

    faces: dict[int, Boxes] = field(default_factory=dict)
    info: EngineInfo = field(default_factory=lambda: EngineInfo("by-width", "detector", "", ""))

    def detect(self, images: list[NDArray[np.uint8]]) -> list[list[DetectedFace]]:
        return [[self._face(*box) for box in self.faces.get(image.shape[1], [])] for image in images]

    def _face(self, x0: float, y0: float, x1: float, y1: float, score: float) -> DetectedFace:
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        landmarks = points * [x1 - x0, y1 - y0] + [x0, y0]
        return DetectedFace(np.array([x0, y0, x1, y1], np.float32), landmarks.astype(np.float32), score)


class ByPlace:
    """Identity is where the left edge of the box is: every 10 pixels are another person."""

    info = EngineInfo("arcface-test", "embedder", "by place", "", dimension=64)

    def embed(self, image: NDArray[np.uint8], faces: list[DetectedFace]) -> NDArray[np.float32]:
        return np.eye(64, dtype=np.float32)[[max(int(face.box[0]) // 10, 0) for face in faces]]


@pytest.fixture
def photo(tmp_path: Path, noise: Noise) -> Callable[[str, int], Path]:
    def save(name: str, width: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = noise(120, width)[::4, ::4].repeat(9, axis=0).repeat(9, axis=1)  # no codec's blocks, and no grain
        path.write_bytes(encode_jpeg(blocks[:120, :width].copy()))
        return path

    return save


def test_the_dominant_face_counts(photo: Callable[[str, int], Path]) -> None:
    faces = {
        200: [(20, 20, 80, 80, 1.0)],
        204: [(20, 20, 60, 60, 1.0), (90, 20, 170, 100, 0.96)],  # not the surest, but the largest
        208: [(-90, 0, 30, 110, 1.0), (120, 20, 190, 100, 1.0)],  # the larger box is mostly outside
        212: [(20, 20, 50, 50, 1.0), (100, 10, 200, 110, 0.94)],  # the larger one may be a pattern
        216: [(100, 10, 200, 110, 0.94)],
        220: [],
        224: [(20, 20, 80, 80, 1.0), (144, 20, 204, 80, 1.0)],  # neither
    }
    paths = [photo(f"{width}.jpg", width) for width in faces]
    seen: list[None] = []
    found = describe(paths, ByWidth(faces), ByPlace(), lambda: seen.append(None))
    places = {path.stem: int(embedding.vector().argmax()) for path, embedding in found.embeddings.items()}
    assert places == {"200": 2, "204": 9, "208": 12, "212": 2}
    assert [path.stem for path in found.without_face] == ["216", "220"]
    assert [path.stem for path in found.with_several] == ["224"]
    assert len(seen) == len(paths)


def test_a_file_that_is_not_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear Ada")
    with pytest.raises(EvaluationError, match=r"letter\.jpg is not a picture we can read"):
        describe([tmp_path / "letter.jpg"], ByWidth(), ByPlace())


def test_people_in_folders(photo: Callable[[str, int], Path], tmp_path: Path) -> None:
    detector = ByWidth({200: [(20, 20, 80, 80, 1)], 204: [(40, 20, 99, 80, 1)], 208: [(60, 20, 119, 80, 1)]})
    for number in range(3):
        photo(f"Ada/{number}.jpg", 200)
        photo(f"Bob/{number}.jpg", 204)
        photo(f"Cy/{number}.jpg", 208)
    photo("Ada/00.jpg", 220)  # no face: the next photos are enrolled instead
    data = read_dataset(tmp_path)
    found = describe(data.photos, detector, ByPlace())
    report = measure(data, found, ByPlace.info, "by-width", enrol=2, left_out=1).report
    assert (report.people, report.photos, report.without_face) == (3, 10, ("Ada/00.jpg",))
    assert (report.verification.same_pairs, report.verification.different_pairs) == (9, 27)
    assert (report.verification.auc, report.verification.eer) == (1, 0)
    assert report.identification is not None
    assert (report.identification.enrolled_photos, report.identification.probes) == (4, 2)
    assert (report.identification.named, report.identification.strangers_unknown) == (2, 3)
    too_many = measure(data, found, ByPlace.info, "by-width", enrol=2, left_out=3).report
    assert too_many.identification is None
    assert too_many.not_identified == "of 3 people 3 are to be left out, so nobody can be enrolled"


def test_pairs_from_a_table(photo: Callable[[str, int], Path], tmp_path: Path) -> None:
    detector = ByWidth({200: [(20, 20, 80, 80, 1)], 204: [(40, 20, 99, 80, 1)]})
    for name, width in (("a1", 200), ("a2", 200), ("b1", 204), ("none", 220)):
        photo(f"{name}.jpg", width)
    rows = ("a1.jpg,a2.jpg,1", "a1.jpg,b1.jpg,0", "b1.jpg,a2.jpg,0", "a1.jpg,none.jpg,1")
    (tmp_path / "pairs.csv").write_text("\n".join(("a,b,same", *rows)))
    data = read_dataset(tmp_path / "pairs.csv")
    done = measure(data, describe(data.photos, detector, ByPlace()), ByPlace.info, "by-width", enrol=5, left_out=3)
    assert done.same.tolist() == [1]
    assert done.different.tolist() == [0, 0]
    assert (done.report.people, done.report.without_face) == (None, ("none.jpg",))
    assert done.report.not_identified == "pairs do not say who is who"


def test_pictures_without_any_face_are_an_error_and_not_a_number(
    photo: Callable[[str, int], Path], tmp_path: Path
) -> None:
    for name in ("Ada/1.jpg", "Ada/2.jpg", "Bob/1.jpg"):
        photo(name, 220)
    data = read_dataset(tmp_path)
    found = describe(data.photos, ByWidth(), ByPlace())
    with pytest.raises(EvaluationError, match="verification needs a pair"):
        measure(data, found, ByPlace.info, "by-width", enrol=1, left_out=0)
