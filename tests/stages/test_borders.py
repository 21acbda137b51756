"""One bad object harms only itself: every other file, every loop and the failure recorder continue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.errors import EventError, StorageError, UnreadableObject
from castline.events import object_created
from castline.operations.pending import pending
from castline.operations.progress import progress_of
from castline.runs.common import each
from castline.runs.request import read_source, uploaded_media, uploads_left_out
from castline.runs.sets import read_manifest
from castline.stages import analyse_event, failure_event, split_event

_SIDECARS = {
    "60 kB of brackets": b"[" * 60_000,
    "a lone surrogate": b'{"hotwords":["\\udfff"]}',
    "infinite": b'{"interval_s": Infinity}',
    "too large to be finite": b'{"interval_s": 1e999}',
    "tiny": b'{"interval_s": 1e-9}',
    "no text": b"\xff\xfe\xfd",
    "huge": b"{" + b" " * 10_000_000 + b"}",
}
_GARBAGE = (b"", b"[" * 60_000, b'{"run": "\\udfff"}', b"null", b"\xff")


def _split(world: Any, *media: str) -> None:
    for key in media:
        split_event(object_created(world.settings.input_bucket, key), world.store, world.settings)


@pytest.mark.parametrize("body", _SIDECARS.values(), ids=_SIDECARS)
def test_a_hostile_sidecar_affects_only_its_own_file(body: bytes, world, odd_media: dict[str, Path]) -> None:
    world.upload("bad.mp4")
    world.upload("bad.mp4.json", body)
    world.upload("good.mp4", odd_media["both.mp4"].read_bytes())
    sent = [event for _, event in pending(world.store, world.settings)]
    assert [event["Records"][0]["s3"]["object"]["key"] for event in sent] == ["bad.mp4", "good.mp4"]
    _split(world, "bad.mp4", "good.mp4")
    while todo := [event for _, event in pending(world.store, world.settings)]:
        for event in todo:
            world.analyse(keys_of(event))
    assert (world.result("bad.mp4").status, world.result("bad.mp4").error.code) == ("failed", "options")
    assert world.result("good.mp4").status == "complete"
    states = [
        progress_of(each, world.store, world.settings).state for each in uploaded_media(world.store, world.settings)
    ]
    assert states == ["failed", "complete"]


def keys_of(event: dict[str, Any]) -> str:
    return str(event["Records"][0]["s3"]["object"]["key"])


@pytest.mark.parametrize("body", _SIDECARS.values(), ids=_SIDECARS)
def test_the_recorder_needs_no_readable_sidecar(body: bytes, world, failure_envelope) -> None:
    world.upload("bad.mp4")
    world.upload("bad.mp4.json", body)
    event = failure_envelope(object_created(world.settings.input_bucket, "bad.mp4"), "video-splitting")
    assert failure_event(event, world.store, world.settings) == {"recorded": ["bad.mp4"]}
    assert world.result("bad.mp4").error.code == "retries_exhausted"


@pytest.mark.parametrize("garbage", _GARBAGE, ids=range(len(_GARBAGE)))
@pytest.mark.parametrize("what", ["options", "manifest", "index", "result"])
def test_the_recorder_needs_nothing_that_can_be_broken(what: str, garbage: bytes, world, failure_envelope) -> None:
    frames, audio = world.split()
    world.analyse(audio)
    bucket, key = {
        "options": (world.settings.stage1_bucket, keys.options_key(frames.media, frames.run)),
        "manifest": (world.settings.stage1_bucket, keys.manifest_key(frames.media, frames.run)),
        "index": (world.settings.gallery_bucket, keys.gallery_index_key(world.engines.embedder.info.id)),
        "result": (world.settings.output_bucket, keys.result_key(frames.media)),
    }[what]
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    world.store.put(bucket, key, garbage)
    assert failure_event(failure_envelope(world.event(frames)), world.store, world.settings) == {
        "recorded": ["talk.mp4"]
    }
    result = world.result()
    assert result.status == ("failed" if what == "manifest" else "partial")
    assert result.error.code == "retries_exhausted"


@pytest.mark.parametrize("garbage", _GARBAGE, ids=range(len(_GARBAGE)))
def test_a_broken_part_is_made_again_and_without_engines_it_counts_as_a_failed_unit(
    garbage: bytes, world, failure_envelope
) -> None:
    frames, audio = world.split()
    world.store.put(world.settings.output_bucket, frames.part_key, garbage)
    failure_event(failure_envelope(world.event(audio)), world.store, world.settings)
    result = world.result()
    assert result.status == "failed"
    assert [(lost.unit, lost.error.code) for lost in result.failures] == [
        ("frames-0000", "retries_exhausted"),
        ("audio-0000", "retries_exhausted"),
    ]
    assert frames.part_key in result.failures[0].error.message
    world.store.put(world.settings.output_bucket, frames.part_key, garbage)
    world.analyse(audio)
    assert (world.result().status, world.result().transcript.text) == ("complete", "hello")


def test_a_part_under_another_unit_s_key_is_broken(world) -> None:
    first, second, audio = world.split(colours=("red", "green"))
    world.analyse(first)
    body = world.store.get(world.settings.output_bucket, first.part_key)
    world.store.put(world.settings.output_bucket, second.part_key, body)
    world.analyse(audio)
    assert world.result().status == "complete"
    assert world.store.get(world.settings.output_bucket, second.part_key) != body


@pytest.mark.parametrize("garbage", _GARBAGE, ids=range(len(_GARBAGE)))
def test_a_broken_manifest_is_split_again(garbage: bytes, world, odd_media: dict[str, Path]) -> None:
    world.upload("talk.mp4", odd_media["both.mp4"].read_bytes())
    key = keys.manifest_key("talk.mp4", world.run("talk.mp4"))
    world.store.put(world.settings.stage1_bucket, key, garbage)
    with pytest.raises(UnreadableObject):  # ends in the dead-letter queue, and then with the recorder
        world.analyse(key)
    ((function, event),) = pending(world.store, world.settings)
    assert function == world.settings.splitter_function
    split_event(event, world.store, world.settings)
    for _, todo in list(pending(world.store, world.settings)):
        world.analyse(keys_of(todo))
    assert world.result().status == "complete"


def test_an_unreadable_result_is_reported_and_made_again(world) -> None:
    world.analyse(*world.split())
    world.store.put(world.settings.output_bucket, "talk.mp4/result.json", b"[" * 60_000)
    (source,) = uploaded_media(world.store, world.settings)
    seen = progress_of(source, world.store, world.settings)
    assert seen.finished, "nobody waits for it"
    assert "talk.mp4/result.json cannot be read" in seen.problem
    ((_, event),) = pending(world.store, world.settings)
    world.analyse(keys_of(event))
    assert world.result().status == "complete"


@pytest.mark.parametrize("size", [994, 1010, 1019, 1024])
def test_a_key_without_room_for_a_result_has_failed(size: int, world, failure_envelope) -> None:
    key = "k" * (size - 4) + ".mp4"
    world.upload(key)
    world.upload("good.mp4")
    _split(world, key)
    (good, bad) = uploaded_media(world.store, world.settings)
    seen = progress_of(bad, world.store, world.settings)
    assert (seen.state, seen.finished) == ("failed", True)
    assert seen.result
    assert seen.result.error
    assert seen.result.error.code == "key_layout"
    assert "too long for S3 to store a result" in seen.result.error.message
    assert [keys_of(event) for _, event in pending(world.store, world.settings)] == [good.key]
    failed = failure_envelope(object_created(world.settings.input_bucket, key), "video-splitting")
    assert failure_event(failed, world.store, world.settings) == {"recorded": []}
    step = {"step": "identify", "event": object_created(world.settings.input_bucket, key)}
    assert split_event(step, world.store, world.settings)["execution"] is None
    assert all(keys.is_storable(key) for _, key in world.store.objects)


def test_objects_of_another_run_are_not_read_as_this_one_s(world) -> None:
    ours, theirs = world.split("ours.mp4"), world.split("theirs.mp4")
    world.analyse(*ours, *theirs)
    stage1, output = world.settings.stage1_bucket, world.settings.output_bucket
    manifest = world.store.get(stage1, keys.manifest_key("theirs.mp4", theirs[0].run))
    for bucket in (stage1, output):
        world.store.put(bucket, keys.manifest_key("ours.mp4", ours[0].run), manifest)
    with pytest.raises(UnreadableObject, match="another run"):
        read_manifest("ours.mp4", ours[0].run, world.store, world.settings)
    world.store.put(output, keys.result_key("ours.mp4"), world.store.get(output, keys.result_key("theirs.mp4")))
    assert world.result("ours.mp4") is None
    assert world.result("theirs.mp4").media == "theirs.mp4"


def test_options_removed_by_a_deletion_are_read_from_the_manifest(world) -> None:
    """Deleting an upload while the next one is being split may remove what lies beside the new units."""
    frames, audio = world.split()
    world.store.delete(world.settings.stage1_bucket, [keys.options_key(frames.media, frames.run)])
    world.analyse(frames, audio)
    assert world.result().status == "complete"


def test_the_longest_possible_key_has_its_failure_recorded(world) -> None:
    key = "k" * 989 + ".mp4"
    world.upload(key)
    _split(world, key)
    manifest = keys.manifest_key(key, world.run(key))
    assert len(manifest) == keys.MAX_KEY_BYTES
    world.analyse(manifest)
    assert (world.result(key).status, world.result(key).error.code) == ("failed", "key_layout")


def test_a_batch_of_events_continues_after_one_that_fails(world) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        world.upload(name)
    download = world.store.download

    def refuse(bucket: str, info: Any, path: Path) -> bool:
        if info.key == "a.mp4":
            raise StorageError("S3 is out of reach")
        return download(bucket, info, path)

    world.store.download = refuse
    a, b = (object_created(world.settings.input_bucket, name) for name in ("a.mp4", "b.mp4"))
    records = [
        {"eventSource": "aws:sqs", "messageId": name, "body": json.dumps(body)}
        for name, body in (("a", a), ("none", {"no": "event"}), ("b", b))
    ]
    answer = split_event({"Records": records}, world.store, world.settings)
    # No queue is there to keep an unknown event as a dead letter, so it is retried, too.
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == ["a", "none"]
    split = {parsed[0] for key in world.keys_in(world.settings.stage1_bucket) if (parsed := keys.parse_manifest(key))}
    assert split == {"b.mp4"}


@pytest.mark.parametrize("content", [{}, {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}])
def test_no_stage_succeeds_if_it_understood_nothing(content: dict[str, Any], world) -> None:
    with pytest.raises(EventError):
        split_event(content, world.store, world.settings)
    if content:
        assert failure_event(content, world.store, world.settings)["batchItemFailures"]
    else:
        with pytest.raises(EventError):
            failure_event(content, world.store, world.settings)
    with pytest.raises(EventError):
        analyse_event(content, world.store, world.settings, world.engines)


def test_a_bad_item_is_raised_after_the_last_one() -> None:
    done: list[int] = []

    def do(item: int) -> int:
        if item == 2:
            raise ValueError(item)
        done.append(item)
        return item

    with pytest.raises(ValueError, match="2"):
        each([1, 2, 3], do)
    assert done == [1, 3]
    assert each([1, 3], do) == [1, 3]


def test_ignored_uploads_are_named(world) -> None:
    for name in (
        "a.mp4",
        "a.mp4.json",
        "b.xyz",
        "notes.txt",
        "photo.JPG",
        "deep/c.rmvb",
        "folder/",
        ".DS_Store",
        "README",
    ):
        world.upload(name)
    assert uploads_left_out(world.store, world.settings) == ["README", "b.xyz", "deep/c.rmvb"]


def test_a_source_beside_a_key_of_maximum_length_is_read(world) -> None:
    key = "k" * 1020 + ".mp4"
    world.upload(key)
    assert read_source(world.settings.input_bucket, key, world.store).sidecar is None
