"""Confidence: high for a good match that was seen often, low for one that was seen once."""

from __future__ import annotations

import pytest

from castline.recognition.confidence import of_name, of_one_person


def test_a_single_sighting_has_low_confidence(make) -> None:
    once = make.track(make.look(0), [0])
    assert of_one_person([once], make.limits) == 0.5
    assert of_name(1.0, [once], make.limits) == 0.75


def test_it_rises_with_sightings_and_with_similarity(make) -> None:
    tracks = [[make.track(make.look(0), range(count))] for count in (1, 2, 5, 20)]
    for found in (
        [of_name(1.0, own, make.limits) for own in tracks],
        [of_one_person(own, make.limits) for own in tracks],
    ):
        assert found == sorted(set(found))
        assert 0.97 < found[-1] < 1
    at_known, below = of_name(make.limits.known, tracks[3], make.limits), of_name(0.9, tracks[3], make.limits)
    assert at_known == pytest.approx(0.985 * 20.5 / 21, abs=1e-3)
    assert below < 0.1


def test_uninformative_faces_are_hardly_a_person(make) -> None:
    nothing = make.track(make.look(0), [0, 1], quality=0.01)
    assert of_one_person([nothing], make.limits) == 0.25


def test_the_mean_over_pairs(make) -> None:
    looks = [make.look(0), make.look(0, 0.95, 1), make.look(0, 0.96, 2)]
    tracks = [make.track(look, [at]) for at, look in enumerate(looks)]
    mean = (0.95 + 0.96 + 0.95 * 0.96) / 3
    assert of_one_person(tracks, make.limits) == pytest.approx(of_name(mean, tracks[:2], make.limits), abs=1e-3)
