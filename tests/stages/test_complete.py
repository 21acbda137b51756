"""Assembling and publishing: only when everything is there, never an old upload, and the result last."""

from __future__ import annotations

from castline import keys
from castline.operations.pending import pending
from castline.records import ErrorPart, Failure
from castline.runs.common import read_result
from castline.runs.complete import complete_run
from castline.runs.sets import written_parts
from castline.stages import analyse_event


def _complete(world, unit: keys.UnitId) -> bool:
    return complete_run(unit.media, unit.run, world.store, world.settings)


def _published(world, media: str = "talk.mp4") -> dict[str, bytes]:
    bucket = world.settings.output_bucket
    return {
        key.removeprefix(f"{media}/"): world.store.get(bucket, key)
        for key in world.keys_in(bucket, f"{media}/")
        if "/parts/" not in key
    }


def _error(world, unit: keys.UnitId) -> None:
    part = ErrorPart(unit=unit.name, error=Failure(code="retries_exhausted", message="gave up"))
    world.store.put(world.settings.output_bucket, unit.error_key, part.to_json())


def test_nothing_is_assembled_before_the_last_part(world) -> None:
    units = world.split(colours=("red", "green"), chunks=2)
    for unit in units[:-1]:
        world.analyse(unit)
        assert not _complete(world, unit)
        assert _published(world) == {}
    assert world.analyse(units[-1])[0]["assembled"] == ["talk.mp4"]


def test_no_manifest_means_not_complete(world) -> None:
    unit = keys.UnitId("talk.mp4", "0" * 16, "frames", 0)
    assert not _complete(world, unit)
    assert not world.store.objects


def test_parts_of_another_run_do_not_count(world) -> None:
    old = world.split()
    world.analyse(*old)
    world.upload("talk.mp4", b"another take")
    unit = old[0]._replace(run=world.run("talk.mp4"))
    assert not _complete(world, unit)
    assert written_parts(unit.media, unit.run, world.store, world.settings) == ({}, {})


def test_the_result_is_written_after_everything_that_it_refers_to(world) -> None:
    units = world.split()
    world.analyse(*units)
    written = [key for key in world.written(world.settings.output_bucket) if "/parts/" not in key]
    assert written[-1] == "talk.mp4/result.json"
    assert keys.manifest_key("talk.mp4", units[0].run) in written, "names can be bound again after stage 1 has expired"
    assert {key for key in written if "/manifest.json" not in key} == {
        f"talk.mp4/{name}"
        for name in (
            "people/person-1.jpg",
            "report.html",
            "transcript.txt",
            "transcript.srt",
            "transcript.vtt",
            "transcript.json",
            "transcript.tsv",
            "transcript.ttml",
            "result.json",
        )
    }
    (person,) = world.result().people
    assert _published(world)[person.image].startswith(b"\xff\xd8")


def test_unchanged_bytes_are_not_written_again(world) -> None:
    units = world.split()
    world.analyse(*units)
    before = _published(world)
    world.store.writes.clear()
    assert _complete(world, units[0])
    assert world.store.writes == []
    assert _published(world) == before


def test_pictures_of_removed_people_are_deleted(world) -> None:
    units = world.split()
    world.analyse(*units)
    assert "people/person-1.jpg" in _published(world)
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    world.analyse(units[0])
    published = _published(world)
    assert [name for name in published if name.startswith("people/")] == ["people/ada.jpg"]
    assert world.result().people[0].image == "people/ada.jpg"


def test_a_media_file_whose_key_lies_below_another_keeps_its_results(world) -> None:
    """S3 has no folders: ``talk.mp4`` and ``talk.mp4/people/b.mp4`` can both be media files."""
    inner = "talk.mp4/people/b.mp4"
    world.analyse(*world.split(inner))
    before = _published(world, inner)
    assert "result.json" in before
    world.analyse(*world.split("talk.mp4", colours=("green",)))
    assert world.result("talk.mp4").status == "complete"
    assert _published(world, inner) == before


def test_an_upload_that_was_replaced_is_not_published(world) -> None:
    old = world.split()
    world.upload("talk.mp4", b"another take")
    assert world.analyse(*old)[-1]["assembled"] == ["talk.mp4"]
    assert _published(world) == {}


def test_a_late_old_run_does_not_overwrite_the_new_result(world) -> None:
    old = world.split(colours=("red",))
    world.analyse(old[0])
    world.upload("talk.mp4", b"another take")
    info = world.store.head(world.settings.input_bucket, "talk.mp4")
    new_units = _split_current(world, info)
    world.analyse(*new_units)
    assert world.result().run == new_units[0].run
    world.analyse(old[1])
    assert world.result().run == new_units[0].run


def _split_current(world, info) -> list[keys.UnitId]:
    """Like ``world.split``, for an upload that exists already."""
    upload = world.upload
    world.upload = lambda *_: info
    try:
        return world.split()
    finally:
        world.upload = upload


def test_an_upload_deleted_meanwhile_leaves_nothing(world) -> None:
    units = world.split()
    world.analyse(units[0])
    world.store.delete(world.settings.input_bucket, ["talk.mp4"])
    world.analyse(units[1])
    assert world.result() is None
    assert not world.store.objects


def test_an_upload_deleted_before_its_manifest_leaves_nothing(world) -> None:
    units = world.split()
    world.store.delete(world.settings.stage1_bucket, [keys.manifest_key("talk.mp4", units[0].run)])
    world.store.delete(world.settings.input_bucket, ["talk.mp4"])
    world.analyse(units[0])
    assert world.keys_in(world.settings.output_bucket) == []


def test_a_result_outlives_its_upload(world) -> None:
    """Uploads may expire; names are still bound again."""
    units = world.split()
    world.analyse(*units)
    world.store.delete(world.settings.input_bucket, ["talk.mp4"])
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    world.analyse(units[0])
    assert [person.name for person in world.result().people] == ["Ada"]


def test_an_unreadable_part_is_made_again(world) -> None:
    units = world.split()
    world.analyse(units[0])
    world.store.put(world.settings.output_bucket, units[0].part_key, b'{"kind": "fra')
    world.analyse(units[1])
    assert world.result().status == "complete"


def test_without_engines_an_unreadable_part_is_deleted_and_requested_again(world) -> None:
    units = world.split()
    world.analyse(*units)
    world.store.delete(world.settings.output_bucket, ["talk.mp4/result.json"])
    world.store.put(world.settings.output_bucket, units[0].part_key, b"")
    assert _complete(world, units[0])
    assert (world.result().status, world.result().error.code) == ("partial", "retries_exhausted")
    ((function, event),) = pending(world.store, world.settings)
    assert function == "face-recognition"
    assert analyse_event(event, world.store, world.settings, world.engines)["assembled"] == ["talk.mp4"]
    assert world.result().status == "complete"


def test_written_parts_distinguish_results_from_errors(world) -> None:
    frames, audio = world.split()
    _error(world, frames)
    _error(world, audio)
    world.analyse(frames)
    world.store.put(world.settings.output_bucket, f"talk.mp4/{frames.run}/parts/notes.txt", b"")
    done, failed = written_parts("talk.mp4", frames.run, world.store, world.settings)
    assert (done, failed) == ({"frames-0000": frames}, {"audio-0000": audio})


def test_all_units_failed(world) -> None:
    units = world.split()
    for unit in units:
        _error(world, unit)
    assert _complete(world, units[0])
    result = world.result()
    assert (result.status, [failure.unit for failure in result.failures]) == ("failed", ["frames-0000", "audio-0000"])


def test_a_foreign_result_counts_as_none(world) -> None:
    assert read_result("talk.mp4", world.store, world.settings) is None
    world.store.put(world.settings.output_bucket, "talk.mp4/result.json", b'{"schema_version": 99}')
    assert read_result("talk.mp4", world.store, world.settings) is None
