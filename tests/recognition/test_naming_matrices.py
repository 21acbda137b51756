"""Names decided in matrices equal those decided one photo after the other."""

from __future__ import annotations

import numpy as np
import pytest

from castline.engines.thresholds import NEVER, Thresholds
from castline.recognition import identity, sightings
from castline.recognition.identity import identify, identify_alone, identify_each
from castline.recognition.sightings import Enrolled, decide, ranked
from castline.recognition.tracks import FaceTrack
from castline.records import Candidate, Embedding, Gallery, Grade, KnownFace

_DIMENSIONS = 128


class _OneByOne:
    """The plain way: every photo is decoded and compared for every name and every face."""

    def __init__(self, gallery: Gallery, limits: Thresholds) -> None:
        self.gallery, self.limits = gallery, limits
        self.names = tuple(sorted({known.name for known in gallery.faces}))

    @classmethod
    def of(cls, gallery: Gallery, limits: Thresholds) -> _OneByOne:
        return cls(gallery, limits)

    def alike(self, faces: np.ndarray, grades: list[Grade]) -> np.ndarray:
        return np.array(
            [[self._best(face, grade, name) for name in self.names] for face, grade in zip(faces, grades, strict=True)]
        )

    def _best(self, face: np.ndarray, grade: Grade, name: str) -> float:
        return max(self._counted(face, grade, known) for known in self.gallery.faces if known.name == name)

    def _counted(self, face: np.ndarray, grade: Grade, photo: KnownFace) -> float:
        similar = float(face @ photo.embedding.vector().astype(np.float64)) - self._less(photo)
        if "clear" in (grade, photo.grade):
            return similar
        return min(similar, self.limits.of(grade).known - 0.0001 - sightings.MARGIN * (1 - similar))

    def _less(self, photo: KnownFace) -> float:
        own = photo.embedding.vector().astype(np.float64)
        others = [
            float(own @ other.embedding.vector().astype(np.float64))
            for other in self.gallery.faces
            if other.name != photo.name
        ]
        by_grade = {"clear": 0, "useless": NEVER}.get(photo.grade, self.limits.poor)
        most = self.limits.known - self.limits.ambiguous
        return max([by_grade, *(min(each - self.limits.known, most) for each in others)])

    def nearest(self, similarities: np.ndarray, most: int = 0) -> list[Candidate]:
        return ranked(dict(zip(self.names, similarities, strict=True)))


def _random(make, seed: int) -> tuple[Gallery, list[FaceTrack]]:
    """Photos and sightings with similarities around every threshold; people who look alike; all grades; no order."""
    rng = np.random.default_rng(seed)

    def near(look: np.ndarray, likeness: float) -> np.ndarray:
        aside = rng.normal(size=_DIMENSIONS)
        aside -= (aside @ look) * look
        return likeness * look + np.sqrt(1 - likeness**2) * aside / np.linalg.norm(aside)

    def unit() -> np.ndarray:
        look = rng.normal(size=_DIMENSIONS)
        return look / np.linalg.norm(look)

    people = [unit() for _ in range(rng.integers(1, 12))]
    people += [near(people[0], 0.99), people[-1]]  # a twin, and a person enrolled under two names
    grades = ("clear", "degraded", "poor", "useless")
    faces = [
        KnownFace(
            name=f"P{number}",
            photo=f"P{number}/{at}.jpg",
            embedding=Embedding.of(make.model, near(look, rng.uniform(0.96, 1)).astype(np.float32)),
            grade=grades[rng.integers(4)],
        )
        for number, look in enumerate(people)
        for at in range(rng.integers(1, 4))
    ]
    order = rng.permutation(len(faces))
    gallery = Gallery(model=make.model, fingerprint="", faces=tuple(faces[at] for at in order))
    tracks = []
    for _ in range(12):
        shown = [unit(), *people][rng.integers(len(people) + 1)]
        track = FaceTrack()
        for sample in sorted(rng.choice(40, size=rng.integers(1, 8), replace=False)):
            look = people[0] if rng.random() < 0.1 else shown
            likeness = rng.uniform(make.limits.ambiguous - 0.02, 1)
            sharpness = (200, 20, 5)[rng.choice(3, p=(0.7, 0.2, 0.1))]
            face = make.face(
                near(look, likeness).astype(np.float32),
                quality=round(rng.uniform(0, 1), 3),
                sharpness=sharpness,
                detail=(50, 5)[rng.choice(2, p=(0.7, 0.3))],
            )
            track.add(int(sample), int(sample) * 1000, face)
        tracks.append(track)
    return gallery, tracks


@pytest.mark.parametrize("seed", range(25))
def test_they_equal_one_photo_after_the_other(seed: int, make, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, tracks = _random(make, seed)
    alone = [vector.astype(np.float32) for track in tracks for vector in track.vectors]

    def outcome() -> list[object]:
        known = identity.Enrolled.of(gallery, make.limits)
        groups = [
            (group.identity, group.name, group.confidence, group.candidates, [part.samples for part in group.tracks])
            for group in identify(tracks, gallery, make.limits)
        ]
        return [*groups, *((said, names[:3]) for said, names in (identify_alone(face, known) for face in alone))]

    stacked = outcome()
    monkeypatch.setattr(identity, "Enrolled", _OneByOne)
    monkeypatch.setattr(identity, "_CANDIDATES", len(gallery.faces))
    plain = outcome()
    assert [_three(item) for item in plain] == stacked


def _three(outcome: tuple) -> tuple:
    """An outcome with at most three candidates; the plain way ranks everybody."""
    return tuple(item[:3] if isinstance(item, tuple) and item and isinstance(item[0], Candidate) else item
                 for item in outcome)  # fmt: skip


def test_the_galleries_above_have_every_outcome(make) -> None:
    outcomes = {group.identity for seed in range(25) for group in _groups(make, seed)}
    split = any(len(sightings.agreeing(track, known)) > 1 for known, track in _all(make))
    assert (outcomes, split) == ({"known", "ambiguous", "unknown"}, True)


def _groups(make, seed: int) -> list[identity.Group]:
    gallery, tracks = _random(make, seed)
    return identify(tracks, gallery, make.limits)


def _all(make) -> list[tuple[Enrolled, FaceTrack]]:
    cases = [_random(make, seed) for seed in range(25)]
    return [(Enrolled.of(gallery, make.limits), track) for gallery, tracks in cases for track in tracks]


def test_names_that_rounding_makes_equal_are_in_alphabetical_order(make) -> None:
    known = Enrolled.of(make.gallery(**{name: [make.look(0)] for name in "DCBA"}), make.limits)
    exactly = np.array([0.950001, 0.950002, 0.950003, 0.950004])
    assert [item.name for item in known.nearest(exactly, 2)] == ["A", "B"]
    assert decide(known.nearest(exactly, 2), make.limits) == "ambiguous"


def test_a_sighting_has_the_name_that_all_names_in_order_give(make) -> None:
    """Those below the threshold are decided without a ranking, except where rounding lifts them onto it."""
    known = Enrolled.of(make.gallery(Ada=[make.look(0)], Bob=[make.look(1)]), make.limits)
    for grade in ("clear", "poor", "useless"):
        limits = make.limits.of(grade)
        around = [limits.known + step for step in (-1e-3, -6e-5, -4e-5, -1e-9, 0, 1e-9, 1e-4, 5e-3)]
        rows = [np.array([best, best - behind]) for best in around for behind in (0.5, 0.021, 0.019, 0)]
        said = [sightings._name_of(row, known, grade) for row in rows]
        ordered = [ranked(dict(zip(known.names, row, strict=True))) for row in rows]
        assert said == [names[0].name if decide(names, limits) == "known" else None for names in ordered]
        assert grade == "useless" or {None, "Ada"} == set(said)


def test_many_faces_at_once_equal_each_one_alone(make) -> None:
    gallery, tracks = _random(make, 3)
    known = Enrolled.of(gallery, make.limits)
    faces = [vector.astype(np.float32) for track in tracks for vector in track.vectors]
    grades = [grade for track in tracks for grade in track.grades]
    alone = [identify_alone(face, known, grade) for face, grade in zip(faces, grades, strict=True)]
    assert identify_each(faces, known, grades) == alone
    assert {said for said, _ in alone} >= {"known", "unknown"}
    assert identify_each([], known, []) == []
    nobody = Enrolled.of(Gallery(model=make.model, fingerprint=""), make.limits)
    assert identify_each(faces[:2], nobody, grades[:2]) == [("unknown", [])] * 2


def test_blocks_of_faces_are_one_matrix(make) -> None:
    known = Enrolled.of(make.gallery(Ada=[make.look(0), make.look(1)], Bob=[make.look(2)]), make.limits)
    faces = np.stack([make.look(at % 4) for at in range(2 * sightings._BLOCK + 1)]).astype(np.float64)
    expected = [[at % 4 in (0, 1), at % 4 == 2] for at in range(len(faces))]
    assert np.allclose(known.alike(faces, ["clear"] * len(faces)), np.array(expected, float))


def test_a_face_must_be_more_similar_to_a_photo_than_other_people_s_photos_are(make) -> None:
    """Photos under the same bad conditions, dark or compressed, are closer to each other than their people are."""
    rng = np.random.default_rng(5)
    dark, *own = (each / np.linalg.norm(each) for each in rng.normal(size=(4, _DIMENSIONS)))
    limits = make.limits
    share = np.sqrt(limits.known + 0.03)
    ada, bob, stranger = (share * dark + np.sqrt(1 - share**2) * each for each in own)
    ada, bob, stranger = ((each / np.linalg.norm(each)).astype(np.float32) for each in (ada, bob, stranger))
    stranger_s, bob_s = float(stranger @ ada), float(bob @ ada)
    assert limits.known < stranger_s < bob_s, "the light alone makes anybody look like Ada"
    assert _decided(make.gallery(Ada=[ada]), limits, stranger) == "known"
    assert _decided(make.gallery(Ada=[ada], Bob=[bob]), limits, stranger) == "ambiguous"
    assert _decided(make.gallery(Ada=[ada], Bob=[bob]), limits, ada) == "known"
    assert _decided(make.gallery(Ada=[ada], Countess=[ada]), limits, ada) == "ambiguous", "enrolled twice"


def _decided(gallery: Gallery, limits: Thresholds, face: np.ndarray) -> str:
    known = Enrolled.of(gallery, limits)
    return decide(known.nearest(known.alike(face[None].astype(np.float64), ["clear"])[0]), limits)
