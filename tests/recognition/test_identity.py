"""Known people are named, strangers never, and no name is given twice at a time."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline.recognition.identity import Group, identify, score_names
from castline.recognition.sightings import Enrolled


def _content(groups: list[Group]) -> list[tuple[str, str | None, float, list[list[int]]]]:
    return [
        (group.identity, group.name, group.confidence, sorted(track.samples for track in group.tracks))
        for group in groups
    ]


def test_three_outcomes(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    for likeness, identity, name in (
        (make.limits.known + 0.01, "known", "Ada"),
        ((make.limits.known + make.limits.ambiguous) / 2, "ambiguous", None),
        (make.limits.ambiguous - 0.01, "unknown", None),
    ):
        (group,) = identify([make.track(make.look(0, likeness), [0, 1])], gallery, make.limits)
        assert (group.identity, group.name) == (identity, name)
        names = [(candidate.name, candidate.similarity) for candidate in group.candidates]
        assert names == ([] if identity == "unknown" else [("Ada", pytest.approx(likeness, abs=1e-3))])


def test_strangers_are_never_named(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(1)])
    tracks = [make.track(make.look(2), [0]), make.track(make.look(3), [1])]
    for group in identify(tracks, gallery, make.limits):
        assert (group.identity, group.name, group.candidates) == ("unknown", None, ())
    assert identify(tracks, make.gallery(), make.limits)[0].name is None


def test_a_person_s_best_photo_counts(make) -> None:
    gallery = make.gallery(Ada=[make.look(5), make.look(0), make.look(6)])
    (group,) = identify([make.track(make.look(0, 0.99), [0])], gallery, make.limits)
    assert (group.name, group.candidates[0].similarity) == ("Ada", pytest.approx(0.99, abs=1e-3))


def test_a_track_is_judged_by_its_better_faces(make) -> None:
    track = make.track(make.look(0), [0], quality=0.9)
    track.add(1, 1000, make.face(make.look(1), quality=0.02))
    gallery = make.gallery(Ada=[make.look(0)])
    assert identify([track], gallery, make.limits)[0].name == "Ada"
    blurred = make.track(make.look(0), [0], quality=0.1)
    blurred.add(1, 1000, make.face(make.look(1), quality=0.9))
    assert identify([blurred], gallery, make.limits)[0].name is None


@pytest.mark.parametrize(("second", "name"), [(0.985, None), (0.94, "Ada")])
def test_between_two_likely_names_none_is_given(second: float, name: str | None, make) -> None:
    # Two people who look alike, and a face similar to both.
    ada, bob = make.look(0), make.look(0, 0.98, 1)
    face = 0.5 * (ada + bob)
    face = face / (face @ face) ** 0.5
    assert identify([make.track(face, [0])], make.gallery(Ada=[ada], Bob=[bob]), make.limits)[0].name is None
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(0, second, 2)])
    (group,) = identify([make.track(make.look(0, 0.995, 3), [0])], gallery, make.limits)
    assert group.name == name
    if name is None:
        assert group.identity == "ambiguous"
        assert [candidate.name for candidate in group.candidates] == ["Ada", "Bob"]


def test_nobody_is_on_screen_twice(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    sure = make.track(make.look(0, 0.99, 1), [0, 1, 2], make.left)
    similar = make.track(make.look(0, 0.95, 2), [2, 3], make.right)
    groups = identify([similar, sure], gallery, make.limits)
    assert [(group.name, group.identity) for group in groups] == [("Ada", "known"), (None, "ambiguous")]
    assert groups[0].tracks == [sure]


def test_the_same_person_joins_later(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    tracks = [make.track(make.look(0, 0.99, 1), [0]), make.track(make.look(0, 0.96, 2), [5])]
    (group,) = identify(tracks, gallery, make.limits)
    assert (group.name, len(group.tracks)) == ("Ada", 2)
    assert group.candidates[0].similarity == pytest.approx(0.99, abs=1e-3)


def _blurred(make, variant: int):
    """Not similar enough to the gallery photo, but similar to ``clear`` below."""
    return make.look(0, 0.92, variant, p40=0.39)


def test_a_blurred_track_follows_the_clear_one_of_the_same_person(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    clear = make.track(make.look(0, 0.97, 1, p40=0.24), [0, 1])
    blurred = make.track(_blurred(make, 2), [5])
    assert float(clear.centroid @ blurred.centroid) >= make.limits.cluster
    assert score_names(blurred, Enrolled.of(gallery, make.limits))[0].similarity < make.limits.known
    (group,) = identify([blurred, clear], gallery, make.limits)
    assert (group.name, len(group.tracks)) == ("Ada", 2)
    (alone,) = identify([blurred], gallery, make.limits)
    assert (alone.name, alone.identity) == (None, "ambiguous")


def test_a_blurred_track_overlapping_the_clear_one_stays_out(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    clear = make.track(make.look(0, 0.97, 1, p40=0.24), [0, 1], make.left)
    groups = identify([clear, make.track(_blurred(make, 2), [1], make.right)], gallery, make.limits)
    assert [group.name for group in groups] == ["Ada", None]


def test_strangers_join_only_if_every_pair_agrees(make) -> None:
    # a ~ b and b ~ c, but a and c differ: a chain is not a person.
    step = 0.97
    a, b, c = make.look(0), make.look(0, step, 1), make.look(0, 2 * step * step - 1, 1)
    c = 2 * step * b - a  # the mirror image of a behind b
    tracks = [make.track(a, [0]), make.track(b, [3]), make.track(c / (c @ c) ** 0.5, [6])]
    similar = [float(x.centroid @ y.centroid) for x, y in combinations(tracks, 2)]
    assert similar[0] > make.limits.cluster < similar[2]
    assert similar[1] < make.limits.cluster
    assert sorted(len(group.tracks) for group in identify(tracks, make.gallery(), make.limits)) == [1, 2]


def test_strangers_seen_together_are_two_people(make) -> None:
    look = make.look(0)
    tracks = [make.track(look, [0, 1], make.left), make.track(look, [1, 2], make.right), make.track(look, [9])]
    groups = identify(tracks, make.gallery(), make.limits)
    assert sorted(len(group.tracks) for group in groups) == [1, 2]


def test_groups_come_in_order_of_first_appearance(make) -> None:
    gallery = make.gallery(Zoe=[make.look(0)])
    tracks = [make.track(make.look(3), [7]), make.track(make.look(0), [4]), make.track(make.look(2), [1])]
    first = [group.tracks[0].samples[0] for group in identify(tracks, gallery, make.limits)]
    assert first == [1, 4, 7]


_TRACKS = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0.88, 1), st.integers(0, 3), st.integers(0, 12), st.integers(1, 4)),
    max_size=9,
)


@settings(max_examples=150, deadline=None)
@given(_TRACKS, st.randoms(use_true_random=False))
def test_input_order_does_not_matter_and_the_rules_always_hold(make, plan, chance) -> None:
    tracks = [
        make.track(
            make.look(person, likeness, variant),
            range(start, start + length),
            (0.01 * at, 0.1, 0.01 * at + 0.1, 0.2),
        )
        for at, (person, likeness, variant, start, length) in enumerate(plan)
    ]
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(1), make.look(1, 0.97, 9)])
    groups = identify(tracks, gallery, make.limits)
    shuffled = list(tracks)
    chance.shuffle(shuffled)
    assert _content(identify(shuffled, gallery, make.limits)) == _content(groups)

    assert sum(len(group.tracks) for group in groups) == len(tracks)
    names = [group.name for group in groups if group.name]
    assert len(names) == len(set(names))
    for group in groups:
        assert (group.identity == "known") == (group.name is not None)
        assert 0 <= group.confidence <= 1
        for one, other in combinations(group.tracks, 2):
            assert set(one.samples).isdisjoint(other.samples), "nobody is on screen twice"
            if group.name is None:
                assert float(one.centroid @ other.centroid) >= make.limits.ambiguous - 1e-9
        if group.name:
            own = [score_names(track, Enrolled.of(gallery, make.limits))[0] for track in group.tracks]
            assert {candidate.name for candidate in own} == {group.name}
            assert max(candidate.similarity for candidate in own) >= make.limits.known
