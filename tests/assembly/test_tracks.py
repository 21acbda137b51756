"""Tracks follow a face through frames; they end where it ends and never take two faces of a frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline.assembly.tracks import iou, link
from castline.records import FrameFaces


def _samples(tracks) -> list[list[int]]:
    return [track.samples for track in tracks]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 1, 1), (0, 0, 1, 1), 1),
        ((0, 0, 1, 1), (0.5, 0, 1.5, 1), 1 / 3),
        ((0, 0, 1, 1), (1, 0, 2, 1), 0),
        ((0, 0, 1, 1), (2, 2, 3, 3), 0),
        ((0, 0, 1, 1), (0.25, 0.25, 0.75, 0.75), 0.25),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
    ],
)
def test_overlap(a, b, expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected)
    assert iou(b, a) == pytest.approx(expected)


def test_one_face_is_one_track(make) -> None:
    face = make.face(make.look(0))
    (track,) = link(make.frames([face], [face], [face]), make.limits)
    assert track.samples == [0, 1, 2]
    assert track.times_ms == [0, 1000, 2000]


@pytest.mark.parametrize(("missed", "tracks"), [(1, 1), (2, 1), (3, 2), (6, 2)])
def test_a_face_may_be_lost_in_two_frames_and_no_more(missed: int, tracks: int, make) -> None:
    face = make.face(make.look(0))
    frames = make.frames([face], *[[]] * missed, [face])
    assert len(link(frames, make.limits)) == tracks


def test_another_face_at_the_same_place_is_another_track(make) -> None:
    frames = make.frames([make.face(make.look(0))], [make.face(make.look(1))])
    assert _samples(link(frames, make.limits)) == [[0], [1]]


def test_a_weaker_likeness_is_enough_only_where_the_face_stayed(make) -> None:
    between = (make.limits.same_track + make.limits.ambiguous) / 2
    first, turned = make.look(0), make.look(0, between, 1)
    stayed = make.frames([make.face(first, make.left)], [make.face(turned, make.left)])
    assert len(link(stayed, make.limits)) == 1
    moved = make.frames([make.face(first, make.left)], [make.face(turned, make.right)])
    assert len(link(moved, make.limits)) == 2


def test_people_who_change_places_keep_their_tracks(make) -> None:
    ada, bob = make.look(0), make.look(1)
    frames = make.frames(
        [make.face(ada, make.left), make.face(bob, make.right)],
        [make.face(bob, make.left), make.face(ada, make.right)],
    )
    found = link(frames, make.limits)
    assert _samples(found) == [[0, 1], [0, 1]]
    for track in found:
        assert track.faces[0].embedding == track.faces[1].embedding


def test_twins_in_one_frame_are_two_tracks(make) -> None:
    look = make.look(0)
    frames = make.frames(*[[make.face(look, make.left), make.face(look, make.right)]] * 3)
    found = link(frames, make.limits)
    assert _samples(found) == [[0, 1, 2], [0, 1, 2]]
    assert [{face.box for face in track.faces} for track in found] == [{make.left}, {make.right}]


def test_the_mean_leans_towards_the_better_pictures(make) -> None:
    track = make.track(make.look(0), [0], quality=0.9)
    track.add(1, 1000, make.face(make.look(1), quality=0.1))
    assert np.linalg.norm(track.centroid) == pytest.approx(1)
    assert track.centroid[0] / track.centroid[1] == pytest.approx(9)
    assert track.best.quality == 0.9


def test_the_earliest_of_equally_good_faces_is_the_best(make) -> None:
    track = make.track(make.look(0), [3, 4])
    assert track.best is track.faces[0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.floats(0.85, 1), st.booleans()), max_size=4), max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_face_is_in_one_track_and_order_within_a_frame_is_nothing(make, rows, chance) -> None:
    def build(shuffled: bool) -> list[FrameFaces]:
        frames = []
        for at, row in enumerate(rows):
            faces = [
                make.face(
                    make.look(person, likeness, (at * 4 + number) % 60),
                    (0.1 + 0.2 * number, 0.1, 0.2 + 0.2 * number, 0.3) if moved else (0.01 * person, 0, 0.5, 0.5),
                    quality=0.5 + number / 10,
                )
                for number, (person, likeness, moved) in enumerate(row)
            ]
            if shuffled:
                chance.shuffle(faces)
            frames.append(FrameFaces(time_ms=at * 1000, faces=tuple(faces)))
        return frames

    tracks = link(build(shuffled=False), make.limits)
    assert sum(len(track.faces) for track in tracks) == sum(len(row) for row in rows)
    for track in tracks:
        assert track.samples == sorted(set(track.samples)), "once in a frame"

    def content(found) -> list[tuple[list[int], list[str]]]:
        return sorted((track.samples, [face.embedding.data for face in track.faces]) for track in found)

    assert content(link(build(shuffled=True), make.limits)) == content(tracks)
