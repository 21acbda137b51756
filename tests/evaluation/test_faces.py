"""The measures, against examples computed by hand and properties that hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.engines.thresholds import Thresholds
from castline.errors import EvaluationError
from castline.evaluation.faces import (
    Probe,
    area_under_curve,
    best_accuracy,
    cuts,
    equal_error_rate,
    error_rates,
    identification,
    pair_similarities,
    verification,
)
from castline.recognition.identity import identify, identify_alone
from castline.recognition.sightings import Enrolled
from castline.recognition.tracks import FaceTrack
from castline.records import Embedding, Face, Gallery, KnownFace

LIMITS = Thresholds(known=0.7, ambiguous=0.5, same_track=0.4, moved=0.7, cluster=0.8, poor=0.05)
MODEL = "test"

# Three pairs of one person and four of two people; one of the four (0.6) is more similar than a same-person pair (0.4).
SAME = np.array([0.9, 0.4, 0.8])
DIFFERENT = np.array([0.1, 0.6, 0.2, 0.3])

# Whole numbers, so that a mapping of them is strictly increasing in floating point, too.
scores = st.lists(st.integers(-50, 50), min_size=1, max_size=30).map(lambda values: np.array(values, np.float64))


def test_error_rates_by_hand() -> None:
    far, frr = error_rates(SAME, DIFFERENT, np.array([0.0, 0.4, 0.5, 0.6, 0.61, 1.0]))
    assert far.tolist() == [1, 1 / 4, 1 / 4, 1 / 4, 0, 0]  # a pair exactly at the threshold is accepted
    assert frr.tolist() == [0, 0, 1 / 3, 1 / 3, 1 / 3, 1]


def test_area_under_the_curve_by_hand() -> None:
    assert area_under_curve(SAME, DIFFERENT) == 11 / 12  # of 12 comparisons only 0.4 < 0.6 is lost
    assert area_under_curve(np.array([0.5]), np.array([0.5])) == 0.5  # a tie is half a win
    assert area_under_curve(DIFFERENT, SAME) == 1 / 12


def test_best_accuracy_by_hand() -> None:
    # 6 of 7 at 0.35 (one false accept) and at 0.7 (one false reject): the stricter one is taken.
    assert best_accuracy(SAME, DIFFERENT) == (pytest.approx(6 / 7), pytest.approx(0.7))
    # With equal weights, a false accept (1/4) is cheaper than a false reject (1/3).
    assert best_accuracy(SAME, DIFFERENT, balanced=True) == (pytest.approx(7 / 8), pytest.approx(0.35))


def test_equal_error_rate_by_hand() -> None:
    # FAR falls from 1/4 (at 0.5) to 0 (at 0.7) while FRR stays 1/3; before, at 0.35, it is 1/4 against 0.
    # Between 0.35 and 0.5 FAR is 1/4 and FRR rises from 0 to 1/3: equal at 3/4 of the way.
    assert equal_error_rate(SAME, DIFFERENT) == (pytest.approx(1 / 4), pytest.approx(0.35 + 0.75 * 0.15))


def test_people_who_are_well_separated_have_no_errors() -> None:
    same, different = np.array([0.8, 0.7]), np.array([0.1, 0.3, 0.2])
    assert equal_error_rate(same, different) == (0, pytest.approx(0.5))
    assert best_accuracy(same, different) == (1, pytest.approx(0.5))
    assert area_under_curve(same, different) == 1


def test_verification_reports_both_thresholds_of_the_model() -> None:
    found = verification(SAME, DIFFERENT, LIMITS)
    assert (found.same_pairs, found.different_pairs) == (3, 4)
    assert (found.lowest_same, found.highest_different) == (0.4, 0.6)
    ambiguous, known = found.at
    assert (ambiguous.name, ambiguous.threshold, ambiguous.far, ambiguous.frr) == ("ambiguous", 0.5, 1 / 4, 1 / 3)
    assert (known.name, known.false_accepts, known.false_rejects) == ("known", 0, 1)


@pytest.mark.parametrize(("same", "different"), [([], [0.1]), ([0.1], [])])
def test_verification_needs_both_kinds_of_pairs(same: list[float], different: list[float]) -> None:
    with pytest.raises(EvaluationError, match="one person and a pair of two people"):
        verification(np.array(same), np.array(different), LIMITS)


def test_pairs_are_all_pairs() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    same, different = pair_similarities(vectors, ["Ada", "Bob", "Ada"])
    assert same.tolist() == [0]
    assert different == pytest.approx([0.6, 0.8], abs=1e-6)
    nothing = pair_similarities(np.empty((0, 2), np.float32), [])
    assert [len(found) for found in nothing] == [0, 0]


@given(scores, scores)
def test_rates_are_rates_and_move_with_the_threshold(same: np.ndarray, different: np.ndarray) -> None:
    thresholds = cuts(same, different)
    assert np.all(np.diff(thresholds) > 0)
    far, frr = error_rates(same, different, thresholds)
    assert np.all(np.diff(far) <= 0)
    assert np.all(np.diff(frr) >= 0)
    assert (far[0], frr[0], far[-1], frr[-1]) == (1, 0, 0, 1)


@given(scores, scores)
def test_auc_only_depends_on_the_order(same: np.ndarray, different: np.ndarray) -> None:
    expected = area_under_curve(same, different)
    assert area_under_curve(same**3 + same, different**3 + different) == expected
    assert area_under_curve(-different, -same) == pytest.approx(expected)
    assert area_under_curve(different, same) == pytest.approx(1 - expected)


@given(scores, scores)
def test_auc_is_the_area_below_the_curve(same: np.ndarray, different: np.ndarray) -> None:
    far, frr = error_rates(same, different, np.unique(np.concatenate([same, different, [99.0]])))
    assert area_under_curve(same, different) == pytest.approx(np.trapezoid(1 - frr[::-1], far[::-1]))


@given(scores, scores)
def test_summaries_agree_with_the_rates(same: np.ndarray, different: np.ndarray) -> None:
    thresholds = cuts(same, different)
    far, frr = error_rates(same, different, thresholds)
    accuracy, at = best_accuracy(same, different, balanced=True)
    assert accuracy == pytest.approx(np.max(1 - (far + frr) / 2))
    assert accuracy >= 0.5
    (one_far,), (one_frr,) = error_rates(same, different, np.array([at]))
    assert 1 - (one_far + one_frr) / 2 == pytest.approx(accuracy)
    rate, at = equal_error_rate(same, different)
    assert 0 <= rate <= 1
    assert thresholds[0] <= at <= thresholds[-1]
    assert rate <= np.min(np.maximum(far, frr)) + 1e-9


# --- identification ------------------------------------------------------------------------------


def _look(degrees: float) -> np.ndarray:
    """A direction in the plane: the similarity of two is the cosine of the angle between them."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def _gallery(**people: float) -> Gallery:
    faces = tuple(
        KnownFace(name=name, photo=f"{name}.jpg", embedding=Embedding.of(MODEL, _look(degrees)))
        for name, degrees in people.items()
    )
    return Gallery(model=MODEL, fingerprint="", faces=faces)


def test_every_photo_has_one_outcome() -> None:
    asked = [
        ("Ada", 10),  # cos 10 = 0.98: known as her
        ("Ada", 55),  # 0.57: perhaps
        ("Ada", -70),  # 0.34: unknown, though she is still the nearest
        ("Ada", 95),  # Bob at 120 is nearer: 0.91
        ("Bob", 118),
        ("Eve", 20),  # 0.94 to Ada: a stranger who is named
        ("Eve", 200),  # 0.17 to Bob
        ("Mallory", 175),  # 0.57 to Bob
    ]
    probes = [Probe(person, f"{person}-{degrees}.jpg", _look(degrees)) for person, degrees in asked]
    found = identification(_gallery(Ada=0, Bob=120), probes, LIMITS)
    assert (found.enrolled_people, found.enrolled_photos, found.probes) == (2, 2, 5)
    assert (found.named, found.confused, found.ambiguous, found.unknown) == (2, 1, 1, 1)
    assert found.rank1 == 4 / 5
    assert (found.strangers, found.stranger_photos) == (2, 3)
    assert (found.strangers_named, found.strangers_ambiguous, found.strangers_unknown) == (1, 1, 1)
    assert (found.rejected_as_unknown, found.rejected) == (1 / 3, 2 / 3)
    wrong = [(item.photo, item.named, item.enrolled) for item in found.wrong_names]
    assert wrong == [("Ada-95.jpg", "Bob", True), ("Eve-20.jpg", "Ada", False)]


def test_rates_without_data_are_none() -> None:
    nobody_strange = identification(_gallery(Ada=0), [Probe("Ada", "a.jpg", _look(0))], LIMITS)
    assert (nobody_strange.rejected, nobody_strange.rejected_as_unknown) == (None, None)
    only_strangers = identification(_gallery(Ada=0), [Probe("Eve", "e.jpg", _look(90))], LIMITS)
    assert only_strangers.rank1 is None
    nobody_known = identification(_gallery(), [Probe("Eve", "e.jpg", _look(90))], LIMITS)
    assert nobody_known.strangers_unknown == 1


@given(st.floats(-180, 180), st.lists(st.floats(-180, 180), min_size=0, max_size=4), st.floats(0.05, 1))
def test_a_photo_is_judged_like_a_track_with_one_face(asked: float, people: list[float], quality: float) -> None:
    gallery = _gallery(**{f"P{number}": degrees for number, degrees in enumerate(people)})
    points = ((0.1, 0.1), (0.2, 0.1), (0.15, 0.2), (0.1, 0.3), (0.2, 0.3))
    face = Face(
        box=(0, 0, 1, 1),
        landmarks=points,
        score=1,
        size_px=100,
        sharpness=100,
        quality=quality,
        embedding=Embedding.of(MODEL, _look(asked)),
    )
    track = FaceTrack()
    track.add(0, 0, face)
    (group,) = identify([track], gallery, LIMITS)
    identity, names = identify_alone(_look(asked), Enrolled.of(gallery, LIMITS))
    assert group.identity == identity
    assert group.name == (names[0].name if identity == "known" else None)
