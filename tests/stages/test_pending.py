"""Unfinished work gives exactly the events that finish it."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline import keys
from castline.errors import DiskFull
from castline.events import object_created, objects_created
from castline.operations import delete_media
from castline.operations.pending import pending
from castline.operations.progress import progress_of
from castline.records import Failure, Manifest
from castline.runs.removal import discard_run
from castline.runs.request import read_source
from castline.runs.sets import read_manifest
from castline.stages import analyse_event, failure_event, split_event


def _pending(world) -> list[tuple[str, str]]:
    """(function, key) of each event."""
    return [
        (function, item.key)
        for function, event in pending(world.store, world.settings)
        for item in objects_created(event)
    ]


def _manifest(unit: keys.UnitId) -> str:
    return keys.manifest_key(unit.media, unit.run)


def _given_up(world, failure_envelope) -> str:
    """Upload a recording that cannot be split; returns the key of its failed manifest."""
    world.upload("talk.mp4")
    event = object_created(world.settings.input_bucket, "talk.mp4")
    failure_event(failure_envelope(event, "video-splitting"), world.store, world.settings)
    return keys.manifest_key("talk.mp4", world.result().run)


def test_without_uploads_nothing_is_pending(world) -> None:
    world.upload("notes.txt")
    assert _pending(world) == []


def test_a_media_file_without_a_manifest_is_split(world) -> None:
    world.upload("week 1/a+b.mp4")
    assert _pending(world) == [("video-splitting", "week 1/a+b.mp4")]
    ((_, event),) = pending(world.store, world.settings)
    assert event == object_created(world.settings.input_bucket, "week 1/a+b.mp4")


def test_each_missing_part_is_analysed(world) -> None:
    units = world.split(colours=("red", "green"), chunks=1)
    assert _pending(world) == [("face-recognition", unit.stage1_key) for unit in units]
    world.analyse(units[1])
    assert _pending(world) == [("face-recognition", unit.stage1_key) for unit in (units[0], units[2])]


def test_a_unit_that_was_given_up_is_requested_twice_more(world, failure_envelope) -> None:
    frames, audio = world.split()
    world.analyse(frames)
    for asked in ([("face-recognition", audio.stage1_key)],) * 2 + ([],):
        failure_event(failure_envelope(world.event(audio)), world.store, world.settings)
        assert world.result().status == "partial"
        assert _pending(world) == asked


def test_a_partial_split_for_a_temporary_reason_is_repeated(world, odd_media: dict[str, Path]) -> None:
    """The disk was full: the split part is published as partial, and reconciling gets the rest."""
    splitter = ("video-splitting", "talk.mp4")
    world.upload("talk.mp4", odd_media["both.mp4"].read_bytes())
    split_event(object_created(world.settings.input_bucket, "talk.mp4"), world.store, world.settings)
    whole = read_manifest("talk.mp4", world.run("talk.mp4"), world.store, world.settings)
    lost = Failure.of(DiskFull("no room for 3 MB on the temporary disk"))
    partly = whole.model_copy(update={"units": whole.units[:-1], "error": lost})
    key, units = keys.manifest_key(whole.media, whole.run), world.keys_in(world.settings.stage1_bucket)
    analysed = [each for each in units if keys.parse_unit(each)]
    world.store.put(world.settings.stage1_bucket, key, partly.to_json())
    world.analyse(*analysed)
    assert (world.result().status, world.result().error.code) == ("partial", "disk_full")
    assert _pending(world) == [splitter]
    split_event(object_created(world.settings.input_bucket, "talk.mp4"), world.store, world.settings)
    world.analyse(*(each for _, each in _pending(world)), key)
    assert (world.result().status, _pending(world)) == ("complete", [])


def test_a_split_that_stays_partial_is_given_up(world) -> None:
    units = world.split()
    lost = Failure.of(DiskFull("no room for 3 MB on the temporary disk"))
    before = Manifest.from_json(world.store.get(world.settings.stage1_bucket, _manifest(units[0])))
    asked = []
    for attempt in (1, 2, 3):
        partly = before.model_copy(update={"error": lost, "attempt": attempt})
        world.store.put(world.settings.stage1_bucket, _manifest(units[0]), partly.to_json())
        world.analyse(*units)
        assert world.result().status == "partial"
        asked.append(_pending(world))
    assert asked == [[("video-splitting", "talk.mp4")]] * 2 + [[]]


def test_a_permanently_unreadable_unit_is_not_requested_again(world) -> None:
    frames, audio = world.split()
    world.store.put(world.settings.stage1_bucket, audio.stage1_key, b"no FLAC")
    world.analyse(frames, audio)
    assert world.result().status == "partial"
    assert _pending(world) == []


def test_a_run_s_objects_are_listed_once(world, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = world.split()
    listed, find = [], world.store.find
    monkeypatch.setattr(world.store, "find", lambda *asked: listed.append(asked) or find(*asked))
    assert len(_pending(world)) == 2
    of_run = [asked for asked in listed if asked[1:] and frames.run in asked[1]]
    assert len(of_run) == len(set(of_run)) == 2, "its parts, and its units"


def test_missing_units_are_made_again(world) -> None:
    frames, audio = world.split()
    world.analyse(audio)
    world.store.delete(world.settings.stage1_bucket, [frames.stage1_key])
    assert _pending(world) == [("video-splitting", "talk.mp4")]


def test_a_missing_unit_that_was_given_up_is_made_again(world, failure_envelope) -> None:
    frames, audio = world.split()
    world.analyse(frames)
    failure_event(failure_envelope(world.event(audio)), world.store, world.settings)
    world.store.delete(world.settings.stage1_bucket, [audio.stage1_key])
    assert world.result().status == "partial"
    assert _pending(world) == [("video-splitting", "talk.mp4")], "requesting it again would fail again"


def test_an_unreadable_manifest_is_made_again(world) -> None:
    units = world.split()
    world.store.put(world.settings.stage1_bucket, _manifest(units[0]), b'{"run": "')
    assert _pending(world) == [("video-splitting", "talk.mp4")]


@pytest.mark.parametrize("left", ["a unit without a part", "a manifest that cannot be read", "both"])
def test_remains_of_a_deleted_upload_are_removed_on_one_request(left: str, world) -> None:
    """Neither can be completed: the unit's event was lost, and nobody makes the manifest of a deleted upload again."""
    frames, audio = world.split()
    world.analyse(frames, *(() if "unit" in left or left == "both" else (audio,)))
    if "unit" not in left:
        world.store.put(world.settings.stage1_bucket, _manifest(frames), b'{"run": "')
        world.store.delete(world.settings.output_bucket, [keys.result_key("talk.mp4")])
    world.store.delete(world.settings.input_bucket, ["talk.mp4"])
    for _, event in list(pending(world.store, world.settings)):
        analyse_event(event, world.store, world.settings, world.engines)
    assert _pending(world) == []
    for bucket in (world.settings.stage1_bucket, world.settings.output_bucket):
        assert not [info.key for info in world.store.find(bucket)]


def test_a_failed_run_with_an_unreadable_manifest_is_split_again(world, failure_envelope) -> None:
    world.store.put(world.settings.stage1_bucket, _given_up(world, failure_envelope), b'{"run": "')
    assert world.result().status == "failed"
    assert _pending(world) == [("video-splitting", "talk.mp4")]
    world.analyse(*world.split())
    assert (world.result().status, _pending(world)) == ("complete", [])


@pytest.mark.parametrize("failed", ["a unit", "the manifest"])
def test_a_result_that_lost_the_event_of_its_completion_is_published_again(
    failed: str, world, failure_envelope
) -> None:
    """What had failed is made, and the message upon which the run would have been completed is dropped."""
    frames, audio = world.split()
    world.analyse(audio)
    key = _manifest(frames)
    good = world.store.get(world.settings.stage1_bucket, key)
    if failed == "the manifest":
        world.store.put(world.settings.stage1_bucket, key, good[:250])
    failure_event(failure_envelope(world.event(frames)), world.store, world.settings)
    before = world.store.get(world.settings.output_bucket, keys.result_key("talk.mp4"))
    world.store.put(world.settings.stage1_bucket, key, good)
    world.analyse(frames)
    world.store.put(world.settings.output_bucket, keys.result_key("talk.mp4"), before)
    assert world.result().status == ("partial" if failed == "a unit" else "failed")
    assert _pending(world) == [("face-recognition", key)]
    ((_, event),) = pending(world.store, world.settings)
    analyse_event(event, world.store, world.settings, world.engines)
    assert world.result().status == "complete"
    assert _pending(world) == []


def test_a_failed_run_whose_manifest_expired_is_finished(world, failure_envelope) -> None:
    world.store.delete(world.settings.stage1_bucket, [_given_up(world, failure_envelope)])
    assert _pending(world) == []


def test_remains_of_a_deleted_upload_are_removed(world) -> None:
    gone, shown = world.split("gone.mp4"), world.split("shown.mp4")
    world.analyse(*gone, *shown)
    world.store.delete(world.settings.input_bucket, ["gone.mp4", "shown.mp4"])
    world.store.delete(world.settings.output_bucket, [keys.result_key("gone.mp4")])
    assert _pending(world) == [("face-recognition", _manifest(gone[0]))]
    kept = {key for key in world.store.objects if "gone.mp4" not in str(key)}
    world.analyse(_manifest(gone[0]))
    assert set(world.store.objects) == kept, "parts with embeddings, and views, too"
    assert _pending(world) == []
    assert world.result("shown.mp4"), "if uploads expire, their results are kept"


def test_half_a_deletion_without_a_manifest_is_completed(world) -> None:
    units = world.split("gone.mp4")
    world.analyse(units[0])
    world.store.delete(world.settings.input_bucket, ["gone.mp4"])
    world.store.delete(world.settings.stage1_bucket, [_manifest(units[0])])
    world.analyse(*(key for _, key in _pending(world)))
    assert not [key for key in world.store.objects if "gone.mp4" in str(key)]


def test_views_written_after_a_deletion_are_removed(world) -> None:
    units = world.split("gone.mp4")
    world.analyse(*units)
    world.store.delete(world.settings.input_bucket, ["gone.mp4"])
    discard_run("gone.mp4", units[0].run, world.store, world.settings)
    world.store.put(world.settings.output_bucket, "gone.mp4/transcript.srt", b"1")
    world.analyse(*(key for _, key in _pending(world)))
    assert not [key for key in world.store.objects if "gone.mp4" in str(key)]


def test_a_result_published_after_its_deletion_is_removed(world) -> None:
    units = world.split("gone.mp4")
    world.analyse(*units)
    published = dict(world.store.objects)
    delete_media("gone.mp4", world.store, world.settings)
    late = {at: body for at, body in published.items() if keys.is_view(str(at[1]).rpartition("/")[2])}
    assert late
    world.store.objects.update(late)
    assert _pending(world) == [("face-recognition", _manifest(units[0]))]
    world.analyse(_manifest(units[0]))
    assert not [key for key in world.store.objects if "gone.mp4" in str(key)]


def test_an_unreadable_audit_entry_stops_nothing(world) -> None:
    units = world.split("gone.mp4")
    world.analyse(*units)
    published = dict(world.store.objects)
    delete_media("gone.mp4", world.store, world.settings)
    (entry,) = [where for where in world.store.objects if where[1].startswith(".audit/")]
    world.store.objects.update({at: body for at, body in published.items() if at[0] != world.settings.input_bucket})
    world.store.objects[entry] = b"{"
    world.split("other.mp4")
    assert {key.partition("/")[0] for _, key in _pending(world)} == {"other.mp4"}
    world.analyse(units[1])
    assert world.result("gone.mp4"), "nothing is removed because of it"


def test_a_splitter_killed_before_checking_the_upload_checks_when_the_event_is_repeated(world) -> None:
    units = world.split("gone.mp4")
    world.analyse(*units)
    published = dict(world.store.objects)
    delete_media("gone.mp4", world.store, world.settings)
    world.store.objects.update({at: body for at, body in published.items() if at[0] != world.settings.input_bucket})
    world.analyse(units[1])
    assert not [key for key in world.store.objects if "gone.mp4" in str(key)]


def test_a_run_that_lacks_only_its_result_is_assembled(world) -> None:
    units = world.split()
    world.analyse(*units)
    world.store.delete(world.settings.output_bucket, ["talk.mp4/result.json"])
    assert _pending(world) == [("face-recognition", _manifest(units[0]))]


def test_a_finished_run_needs_nothing_until_it_is_replaced(world) -> None:
    world.analyse(*world.split())
    assert _pending(world) == []
    world.upload("talk.mp4", b"another take")
    assert _pending(world) == [("video-splitting", "talk.mp4")]


def test_the_events_do_finish_the_work(world) -> None:
    units = world.split(colours=("red", "blue"), chunks=2)
    world.analyse(units[2])
    for function, event in list(pending(world.store, world.settings)):
        assert function == "face-recognition"
        analyse_event(event, world.store, world.settings, world.engines)
    assert world.result().status == "complete"
    assert _pending(world) == []


def test_progress_is_read_from_the_buckets(world, failure_envelope) -> None:
    def look():
        source = read_source(world.settings.input_bucket, "talk.mp4", world.store)
        return progress_of(source, world.store, world.settings)

    world.upload("talk.mp4")
    assert (look().state, look().units) == ("waiting", 0)
    units = world.split(colours=("red", "green"), chunks=1)
    manifest = world.store.get(world.settings.stage1_bucket, _manifest(units[0]))
    world.store.delete(world.settings.stage1_bucket, [_manifest(units[0])])
    assert (look().state, look().frames, look().audio) == ("splitting", (0, 2), (0, 1))
    world.store.put(world.settings.stage1_bucket, _manifest(units[0]), manifest)
    world.analyse(units[0])
    failure_event(failure_envelope(world.event(units[0])), world.store, world.settings)  # a part and an error part
    assert (look().state, look().frames, look().done, look().finished) == ("analysing", (1, 2), 1, False)
    world.analyse(*units[1:])
    assert (look().state, look().finished, look().result) == ("complete", True, world.result())
    assert (look().frames, look().audio) == ((2, 2), (1, 1)), "also for finished runs"
    world.upload("talk.mp4", b"another take")
    assert look().state == "waiting"
