"""The course project's contract on a store in memory: one video, one frame, one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline import keys
from castline.errors import NoStreams, NotMedia, UnitError
from castline.events import object_created
from castline.operations.pending import pending
from castline.stages import analyse_event, failure_event, split_event


@pytest.fixture
def classic(world):
    world.settings = world.settings.model_copy(update={"profile": "classic"})
    world.put_photo = lambda name, colour: world.store.put(
        world.settings.gallery_bucket, f"{name}/1.jpg", world.picture(colour)
    )
    return world


def _split(world, key: str) -> list[str]:
    return split_event(object_created(world.settings.input_bucket, key), world.store, world.settings)["frames"]


def _recognise(world, key: str) -> list[str]:
    event = object_created(world.settings.stage1_bucket, key)
    return analyse_event(event, world.store, world.settings, world.engines)["answers"]


def _frame(world, key: str, colour: str) -> bytes | None:
    """The answer to a frame of one colour."""
    world.store.put(world.settings.stage1_bucket, key, world.picture(colour))
    (answer,) = _recognise(world, key)
    return world.store.get(world.settings.output_bucket, answer)


@pytest.mark.parametrize(
    ("media", "frame", "answer"),
    [
        ("test_00.mp4", "test_00.jpg", "test_00.txt"),
        ("a//b.c.MOV", "a//b.c.jpg", "a//b.c.txt"),
        ("Été + 1.mp4", "Été + 1.jpg", "Été + 1.txt"),
    ],
)
def test_keys(media: str, frame: str, answer: str) -> None:
    assert keys.classic_frame_key(media) == frame
    assert keys.classic_answer_key(media) == keys.classic_answer_key(frame) == answer


def test_a_video_becomes_one_frame_and_nothing_else(classic, odd_media: dict[str, Path]) -> None:
    classic.upload("test_00.mp4", odd_media["both.mp4"].read_bytes())
    for _ in range(2):  # a repeated event
        assert _split(classic, "test_00.mp4") == ["test_00.jpg"]
    assert classic.keys_in(classic.settings.stage1_bucket) == ["test_00.jpg"]
    body = classic.store.get(classic.settings.stage1_bucket, "test_00.jpg")
    assert body.startswith(b"\xff\xd8\xff")


def test_a_known_face_gives_the_bare_name(classic) -> None:
    classic.put_photo("Ada Lovelace", "red")
    assert _frame(classic, "test_00.jpg", "red") == b"Ada Lovelace"
    assert classic.keys_in(classic.settings.output_bucket) == ["test_00.txt"]


def test_strangers_and_empty_frames_get_the_same_word(classic) -> None:
    classic.put_photo("Ada", "red")
    assert _frame(classic, "test_01.jpg", "green") == b"Unknown"
    assert _frame(classic, "test_02.jpg", "black") == b"Unknown"
    classic.settings = classic.settings.model_copy(update={"unknown_name": "niemand"})
    assert _frame(classic, "test_03.jpg", "black") == b"niemand"


def test_unusable_photos_are_logged(classic, caplog: pytest.LogCaptureFixture) -> None:
    gallery = classic.settings.gallery_bucket
    classic.put_photo("Ada", "red")
    classic.put_photo("Nobody", "black")
    classic.store.put(gallery, "Bob/phone.heic", b"x")
    classic.store.put(gallery, "Cy/1.jpg", b"no picture")
    assert _frame(classic, "test_00.jpg", "red") == b"Ada"
    said = {record.photo: record.reason for record in caplog.records if hasattr(record, "photo")}
    assert set(said) == {"Nobody/1.jpg", "Bob/phone.heic", "Cy/1.jpg"}
    assert "no face found" in said["Nobody/1.jpg"]


@pytest.mark.parametrize(("name", "error"), [("zero.mp4", NotMedia), ("voice.ogg", NoStreams)])
def test_a_file_without_video_fails_and_is_answered_in_the_end(
    name: str, error: type[Exception], classic, odd_media: dict[str, Path], failure_envelope
) -> None:
    classic.upload(name, odd_media[name].read_bytes())
    with pytest.raises(error):
        _split(classic, name)
    event = object_created(classic.settings.input_bucket, name)
    answer = keys.classic_answer_key(name)
    envelope = failure_envelope(event, "video-splitting")
    assert failure_event(envelope, classic.store, classic.settings) == {"recorded": [answer]}
    assert classic.store.get(classic.settings.output_bucket, answer) == b"Unknown"
    assert classic.keys_in(classic.settings.stage1_bucket) == []


def test_a_frame_that_is_not_a_picture_is_answered_in_the_end(classic, failure_envelope) -> None:
    classic.store.put(classic.settings.stage1_bucket, "test_00.jpg", b"no picture")
    with pytest.raises(UnitError):
        _recognise(classic, "test_00.jpg")
    event = object_created(classic.settings.stage1_bucket, "test_00.jpg")
    failure_event(failure_envelope(event), classic.store, classic.settings)
    assert classic.keys_in(classic.settings.output_bucket) == ["test_00.txt"]


def test_foreign_deleted_and_replaced_objects_are_left_alone(
    classic, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    classic.upload("notes.txt")
    assert _split(classic, "notes.txt") == _split(classic, "gone.mp4") == []
    assert _recognise(classic, "gone.jpg") == _recognise(classic, "test_00.zip") == []
    classic.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    put, head = classic.store.put, classic.store.head
    seen = []

    def head_and_replace(bucket: str, key: str):
        seen.append(key)
        if seen.count("a.mp4") == 2:
            put(bucket, "a.mp4", b"the next upload")
        return head(bucket, key)

    monkeypatch.setattr(classic.store, "head", head_and_replace)
    assert _split(classic, "a.mp4") == []
    assert classic.keys_in(classic.settings.stage1_bucket) == []


def test_unanswered_videos_are_split_again(classic, odd_media: dict[str, Path]) -> None:
    classic.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    classic.upload("b.mp4", odd_media["both.mp4"].read_bytes())
    assert _frame(classic, "a.jpg", "black") == b"Unknown"
    ((function, event),) = pending(classic.store, classic.settings)
    assert (function, event) == ("video-splitting", object_created(classic.settings.input_bucket, "b.mp4"))


def test_a_frame_replaced_during_recognition_is_left_to_its_next_event(
    classic, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage1 = classic.settings.stage1_bucket
    classic.store.put(stage1, "test_00.jpg", classic.picture("red"))
    detect = classic.engines.detector.detect

    def replaced(images):
        classic.store.put(stage1, "test_00.jpg", classic.picture("green"))
        return detect(images)

    monkeypatch.setattr(classic.engines.detector, "detect", replaced)
    assert _recognise(classic, "test_00.jpg") == []
    assert classic.keys_in(classic.settings.output_bucket) == []
