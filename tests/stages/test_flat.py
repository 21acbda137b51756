"""``TranscriptLayout=flat``: the transcript at the place and in the shape of the batch transcriber."""

from __future__ import annotations

from typing import Any

import pytest

from castline.events import object_created
from castline.operations import delete_media
from castline.records import Segment
from castline.runs.complete import complete_run
from castline.runs.removal import discard_run
from castline.stages import split_event

MEDIA, TEXT = "week1/lesson1/video1.mp4", "week1/lesson1/video1.txt"


@pytest.fixture
def flat(world: Any) -> Any:
    world.settings = world.settings.model_copy(update={"transcript_layout": "flat"})
    return world


def test_a_line_per_segment_with_its_times(flat: Any) -> None:
    flat.engines.transcriber.script = (
        Segment(start_s=0.1, end_s=0.4, text=" hello  you\nthere"),
        Segment(start_s=0.5, end_s=3723.0004, text="and again"),
    )
    flat.analyse(*flat.split(MEDIA))
    assert (flat.store.get(flat.settings.output_bucket, TEXT) or b"").decode().splitlines() == [
        "[00:00:00.100 --> 00:00:00.400]  hello you there",
        "[00:00:00.500 --> 01:02:03.000]  and again",
    ]
    written = flat.written(flat.settings.output_bucket)
    assert written.index(TEXT) < written.index(f"{MEDIA}/result.json"), "the result is last"


def test_by_default_there_is_no_flat_transcript(world: Any) -> None:
    world.analyse(*world.split(MEDIA))
    assert world.store.head(world.settings.output_bucket, TEXT) is None


def test_a_failed_run_keeps_no_earlier_transcript(flat: Any) -> None:
    flat.analyse(*flat.split(MEDIA))
    assert flat.store.head(flat.settings.output_bucket, TEXT)
    flat.upload(MEDIA, b"this is a letter")
    (run,) = split_event(object_created(flat.settings.input_bucket, MEDIA), flat.store, flat.settings)["runs"]
    complete_run(MEDIA, run, flat.store, flat.settings)
    assert flat.result(MEDIA).status == "failed"
    assert flat.store.head(flat.settings.output_bucket, TEXT) is None


@pytest.mark.parametrize("how", ["deleted", "gone"])
def test_it_is_deleted_with_its_media_file(flat: Any, how: str) -> None:
    flat.analyse(*flat.split(MEDIA))
    if how == "deleted":
        assert delete_media(MEDIA, flat.store, flat.settings).left == ()
    else:
        run = flat.run(MEDIA)
        flat.store.delete(flat.settings.input_bucket, [MEDIA])
        discard_run(MEDIA, run, flat.store, flat.settings)
    assert flat.keys_in(flat.settings.output_bucket, "week1/") == []


@pytest.mark.parametrize("how", ["deleted", "failed", "gone"])
def test_media_files_that_share_its_place_lose_nothing(flat: Any, how: str) -> None:
    """``video1.mp4`` and ``video1.mov``: the later one has it, and gives it back."""
    other = MEDIA.replace(".mp4", ".mov")
    flat.engines.transcriber.script = (Segment(start_s=0.1, end_s=0.4, text="the first"),)
    flat.analyse(*flat.split(MEDIA))
    first = flat.store.get(flat.settings.output_bucket, TEXT)
    flat.engines.transcriber.script = (Segment(start_s=0.1, end_s=0.4, text="the second"),)
    flat.analyse(*flat.split(other))
    assert b"the second" in (flat.store.get(flat.settings.output_bucket, TEXT) or b"")
    match how:
        case "deleted":
            assert delete_media(other, flat.store, flat.settings).left == ()
        case "failed":
            flat.upload(other, b"this is a letter")
            (run,) = split_event(object_created(flat.settings.input_bucket, other), flat.store, flat.settings)["runs"]
            complete_run(other, run, flat.store, flat.settings)
        case _:
            run = flat.run(other)
            flat.store.delete(flat.settings.input_bucket, [other])
            discard_run(other, run, flat.store, flat.settings)
    assert flat.store.get(flat.settings.output_bucket, TEXT) == first
    assert delete_media(MEDIA, flat.store, flat.settings).left == ()
    assert flat.store.head(flat.settings.output_bucket, TEXT) is None
