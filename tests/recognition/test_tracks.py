"""Tracks follow a face through frames, end when it disappears, and never contain two faces of one frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castline.recognition.cuts import pack
from castline.recognition.tracks import FaceTrack, iou, is_person, link, within_reach
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
def test_a_face_may_be_lost_for_three_seconds_and_no_longer(missed: int, tracks: int, make) -> None:
    face = make.face(make.look(0))
    frames = make.frames([face], *[[]] * missed, [face])
    assert len(link(frames, make.limits)) == tracks


def test_another_face_at_the_same_place_is_another_track(make) -> None:
    frames = make.frames([make.face(make.look(0))], [make.face(make.look(1))])
    assert _samples(link(frames, make.limits)) == [[0], [1]]


def test_a_weaker_similarity_is_enough_only_if_the_face_stayed(make) -> None:
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


def _picture(shade: int, stripes: int) -> str:
    """The look of a frame with vertical stripes; other stripes or another shade are another shot."""
    brightness = np.full((8, 12), 20, np.uint8)
    brightness[:, ::stripes] = 200
    return pack(brightness, np.eye(48, dtype=np.float32)[shade])


def test_no_track_crosses_a_cut(make) -> None:
    face = make.face(make.look(0))
    one, other = _picture(0, 2), _picture(9, 5)
    frames = [
        FrameFaces(time_ms=at * 1000, faces=(face,), look=look) for at, look in enumerate([one, one, other, other])
    ]
    assert _samples(link(frames, make.limits)) == [[0, 1], [2, 3]]


def test_position_counts_only_if_the_surroundings_stayed(make) -> None:
    between = (make.limits.same_track + make.limits.known) / 2
    first, turned = make.face(make.look(0)), make.face(make.look(0, between, 1))
    still = np.full((8, 12), 100, np.uint8)
    still[:, 6:] = np.arange(48).reshape(8, 6) * 3
    changed = still.copy()
    changed[2:4, 1:3] += 60
    colours = np.ones(48, np.float32)
    for second, tracks in ((still, 1), (changed, 2)):
        frames = [
            FrameFaces(time_ms=0, faces=(first,), look=pack(still, colours)),
            FrameFaces(time_ms=1000, faces=(turned,), look=pack(second, colours)),
        ]
        assert len(link(frames, make.limits)) == tracks


@pytest.mark.parametrize(("gap_ms", "tracks"), [(3000, 1), (3001, 2)])
def test_time_counts_and_not_the_number_of_frames(gap_ms: int, tracks: int, make) -> None:
    face = make.face(make.look(0))
    between = [FrameFaces(time_ms=at, faces=()) for at in range(100, gap_ms, 100)]
    frames = [FrameFaces(time_ms=0, faces=(face,)), *between, FrameFaces(time_ms=gap_ms, faces=(face,))]
    assert len(link(frames, make.limits)) == tracks


def test_a_face_in_a_still_picture_is_not_lost(make) -> None:
    face = make.face(make.look(0))
    frames = [FrameFaces(time_ms=0, faces=(face,)), FrameFaces(time_ms=60_000, faces=(face,))]
    assert len(link(frames, make.limits)) == 2
    assert len(link(frames, make.limits, {0: 59_000})) == 1


@pytest.mark.parametrize(
    ("box", "seconds", "reached"),
    [
        ((0.2, 0.2, 0.3, 0.3), 1, True),
        ((0.5, 0.2, 0.6, 0.3), 1, False),  # four times its width
        ((0.5, 0.2, 0.6, 0.3), 2, True),
        ((0.1, 0.2, 0.13, 0.23), 1, False),  # a third of its size
    ],
)
def test_nobody_moves_further_than_people_can(box, seconds: float, reached: bool) -> None:
    assert within_reach((0.1, 0.2, 0.2, 0.3), box, seconds) == reached


def test_a_poor_face_extends_a_track_only_at_its_position(make) -> None:
    look, likeness = make.look(0), (make.limits.known + make.limits.of("poor").known) / 2
    poor = {"size_px": 25, "quality": 0.1}
    beside = (0.32, 0.2, 0.52, 0.6)
    clear = make.frames([make.face(look)], [make.face(make.look(0, likeness, 1), beside)])
    assert len(link(clear, make.limits)) == 1
    blurred = make.frames([make.face(look)], [make.face(make.look(0, likeness, 1), beside, **poor)])
    assert len(link(blurred, make.limits)) == 2
    there = make.frames([make.face(look)], [make.face(make.look(0, likeness, 1), **poor)])
    assert len(link(there, make.limits)) == 1


def test_a_passer_by_of_poor_quality_takes_no_track_from_a_clear_face(make) -> None:
    first = make.face(make.look(0))
    passing = make.face(make.look(0), size_px=17, quality=0.02)
    turned = make.face(make.look(0, 0.96, 1), (0.12, 0.2, 0.32, 0.6))
    tracks = link(make.frames([first], [passing, turned]), make.limits)
    assert [face.quality for face in tracks[0].faces] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("faces", "person"),
    [
        ([{}], True),
        ([{"score": 0.94}], False),
        ([{"size_px": 25, "score": 0.96}], False),
        ([{"size_px": 25, "score": 0.96}] * 2, True),
        ([{"size_px": 25, "score": 0.995}], True),
        ([{"size_px": 17, "score": 0.999}], False),
    ],
)
def test_a_pattern_is_not_a_person(faces, person: bool, make) -> None:
    track = FaceTrack()
    for at, own in enumerate(faces):
        track.add(at, at * 1000, make.face(make.look(0), **own))
    assert is_person(track) == person


def test_the_mean_is_weighted_towards_the_better_pictures(make) -> None:
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
def test_every_face_is_in_one_track_and_order_within_a_frame_does_not_matter(make, rows, chance) -> None:
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
        assert track.samples == sorted(set(track.samples)), "at most once in a frame"

    def content(found) -> list[tuple[list[int], list[str]]]:
        return sorted((track.samples, [face.embedding.data for face in track.faces]) for track in found)

    assert content(link(build(shuffled=True), make.limits)) == content(tracks)
