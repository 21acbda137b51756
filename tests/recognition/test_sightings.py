"""A name is a claim about each sighting, and each may object."""

from __future__ import annotations

from castline.recognition.identity import identify
from castline.recognition.sightings import Enrolled, agreeing
from castline.recognition.tracks import FaceTrack
from castline.records import Grade


def _track(make, *looks, **fields) -> FaceTrack:
    track = FaceTrack()
    for at, look in enumerate(looks):
        track.add(at, at * 1000, make.face(look, **fields))
    return track


def test_a_track_with_two_names_is_split(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)], Bob=[make.look(1)])
    mixed = _track(make, make.look(0), make.look(0), make.look(1))
    assert [part.samples for part in agreeing(mixed, Enrolled.of(gallery, make.limits))] == [[0, 1], [2]]
    assert [(group.name, group.identity) for group in identify([mixed], gallery, make.limits)] == [
        ("Ada", "known"),
        ("Bob", "known"),
    ]


def test_a_poor_photo_needs_more_and_a_useless_one_names_nobody(make) -> None:
    clear = make.gallery(Ada=[make.look(0)])
    limits = make.limits

    def named(grade: Grade, similarity: float, **fields: float) -> bool:
        faces = tuple(face.model_copy(update={"grade": grade}) for face in clear.faces)
        gallery = clear.model_copy(update={"faces": faces})
        track = _track(make, make.look(0, similarity, 1), **fields)
        return identify([track], gallery, limits)[0].name == "Ada"

    for photo, fields, needed in (
        ("clear", {}, limits.known),
        ("poor", {}, limits.known + limits.poor),
        ("clear", {"sharpness": 20}, limits.known + limits.poor),
        ("degraded", {}, limits.known + limits.poor),
        ("clear", {"detail": 5}, limits.known),
    ):
        assert named(photo, needed + 0.002, **fields)
        assert not named(photo, needed - 0.002, **fields)
    assert not named("useless", 1.0)


def test_a_shared_degradation_names_nobody(make) -> None:
    """With the same smear, darkness or compression, strangers are as similar as one person."""
    clear = make.gallery(Ada=[make.look(0)], Bob=[make.look(1, 0.97, 2)])
    limits = make.limits
    faulty = ({"detail": 5}, {"blocking": 3}, {"noise": 0.1}, {"sharpness": 20}, {"size_px": 25})
    for photo in ("degraded", "poor"):
        faces = tuple(face.model_copy(update={"grade": photo}) for face in clear.faces)
        gallery = clear.model_copy(update={"faces": faces})
        for fields in faulty:
            (group,) = identify([_track(make, make.look(0), make.look(0), **fields)], gallery, limits)
            assert (group.name, group.identity, group.candidates[0].name) == (None, "ambiguous", "Ada")
        (group,) = identify([_track(make, make.look(0), make.look(0))], gallery, limits)
        assert group.name == "Ada", "a clear face shares no fault with the photo"


def test_a_degraded_track_joins_a_name_only_through_a_clear_one(make) -> None:
    """Neither by itself nor by its similarity to another track that may have the same fault."""
    gallery = make.gallery(Ada=[make.look(0)])
    limits = make.limits
    maybe = make.look(0, (limits.known + limits.ambiguous) / 2, 1)
    for named, joins in (({}, True), ({"detail": 5}, False)):
        first = _track(make, make.look(0, limits.known + 0.03, 1), **named)
        later = FaceTrack()
        later.add(9, 9000, make.face(maybe, detail=5))
        groups = identify([first, later], gallery, limits)
        assert [group.name for group in groups] == (["Ada"] if joins else ["Ada", None])


def test_a_stranger_in_a_known_track_gets_no_name(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    mixed = _track(make, make.look(0), make.look(0), make.look(5))
    groups = identify([mixed], gallery, make.limits)
    assert [(group.name, [track.samples for track in group.tracks]) for group in groups] == [
        ("Ada", [[0, 1]]),
        (None, [[2]]),
    ]


def test_if_most_sightings_object_the_name_is_wrong(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    lucky = _track(make, make.look(0), make.look(5), make.look(5))
    assert agreeing(lucky, Enrolled.of(gallery, make.limits)) == [lucky]
    assert identify([lucky], gallery, make.limits)[0].name is None


def test_a_turned_face_of_the_same_person_does_not_object(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    turned = make.look(0, make.limits.ambiguous + 0.005, 1)
    track = _track(make, make.look(0), turned, make.look(0))
    assert agreeing(track, Enrolled.of(gallery, make.limits)) == [track]


def test_poor_and_useless_faces_need_more_for_a_name(make) -> None:
    gallery = make.gallery(Ada=[make.look(0)])
    likeness = make.limits.known + make.limits.poor / 2
    outcomes = []
    for fields in ({}, {"sharpness": 20}, {"sharpness": 5}):
        (group,) = identify([_track(make, make.look(0, likeness), **fields)], gallery, make.limits)
        outcomes.append(group.identity)
    assert outcomes == ["known", "ambiguous", "unknown"]
