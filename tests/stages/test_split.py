"""Stage 1 on a store in memory, with the real ffmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.errors import DiskFull, StorageError
from castline.events import object_created
from castline.media.ffmpeg import Limits
from castline.operations import delete_media
from castline.records import Manifest
from castline.settings import Settings
from castline.stages import plan, split_event
from castline.stages import split as stage


def _split(world, key: str, **changes: Any) -> dict[str, Any]:
    settings = world.settings.model_copy(update=changes)
    return split_event(object_created(settings.input_bucket, key), world.store, settings)


def _manifest(world, key: str) -> Manifest:
    body = world.store.get(world.settings.stage1_bucket, keys.manifest_key(key, world.run(key)))
    assert body
    return Manifest.from_json(body)


def test_a_video_becomes_units_and_then_a_manifest(world, odd_media: dict[str, Path]) -> None:
    world.upload("week 1/both.mp4", odd_media["both.mp4"].read_bytes())
    run = world.run("week 1/both.mp4")
    assert _split(world, "week 1/both.mp4") == {"runs": [run]}
    prefix = f"week 1/both.mp4/{run}"
    written = world.written(world.settings.stage1_bucket)
    assert (written[0], written[-1]) == (f"{prefix}/options.json", f"{prefix}/manifest.json")
    assert set(written[1:-1]) == {f"{prefix}/{name}" for name in ("frames/0000.zip", "audio/0000.flac")}
    manifest = _manifest(world, "week 1/both.mp4")
    assert [unit.name for unit in manifest.units] == ["frames-0000", "audio-0000"]
    assert (manifest.media, manifest.run, manifest.error) == ("week 1/both.mp4", run, None)
    assert manifest.duration_s == pytest.approx(2, abs=0.06)
    assert manifest.sample_times_ms[0] == 0
    assert set(manifest.usage.steps) == {"download", "probe", "decode"}
    assert manifest.probe
    assert manifest.probe.video


def test_the_same_event_again_changes_nothing(world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    _split(world, "a.mp4")
    before, written = dict(world.store.objects), len(world.written(world.settings.stage1_bucket))
    assert _split(world, "a.mp4") == {"runs": []}
    assert world.store.objects == before
    # It only checks again whether the run is complete: its result may have been held back meanwhile.
    again = world.written(world.settings.stage1_bucket)[written:]
    assert [key.rpartition("/")[2] for key in again] == ["manifest.json"]


def test_a_new_upload_under_the_same_key_is_a_new_run(world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    first = _split(world, "a.mp4")["runs"]
    world.upload("a.mp4", odd_media["short.mp4"].read_bytes())
    second = _split(world, "a.mp4")["runs"]
    assert first != second
    assert len([key for key in world.keys_in(world.settings.stage1_bucket) if key.endswith("manifest.json")]) == 2


@pytest.mark.parametrize("key", ["notes.txt", "a.mp4.part", "folder.mp4/", "picture.jpg"])
def test_foreign_keys_are_ignored(key: str, world) -> None:
    world.upload(key)
    assert _split(world, key) == {"runs": []}
    assert world.keys_in(world.settings.stage1_bucket) == []


def test_another_bucket_is_not_ours(world) -> None:
    world.store.put("elsewhere", "a.mp4", b"x")
    assert split_event(object_created("elsewhere", "a.mp4"), world.store, world.settings) == {"runs": []}


def test_a_deleted_media_file_is_ignored(world) -> None:
    assert _split(world, "gone.mp4") == {"runs": []}
    assert not world.store.objects


def test_a_media_file_replaced_during_reading_is_left_to_its_next_event(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    download = world.store.download

    def replaced(bucket: str, info, path: Path) -> bool:
        world.upload("a.mp4", b"the next upload")
        return download(bucket, info, path)

    monkeypatch.setattr(world.store, "download", replaced)
    assert _split(world, "a.mp4") == {"runs": []}
    assert world.keys_in(world.settings.stage1_bucket) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zero.mp4", "not_media"),
        ("text.mp4", "not_media"),
        ("playlist.mp4", "forbidden_media"),
        ("cover-only.m4a", "no_streams"),
    ],
)
def test_a_file_that_is_not_media_ends_in_a_manifest_that_says_so(
    name: str, code: str, world, odd_media: dict[str, Path]
) -> None:
    world.upload(name, odd_media[name].read_bytes())
    assert _split(world, name)["runs"] == [world.run(name)]
    manifest = _manifest(world, name)
    assert manifest.error
    assert (manifest.error.code, manifest.units, manifest.probe) == (code, (), None)


@pytest.mark.parametrize("key", ["a/../b.mp4", "../b.mp4", "./b.mp4", "x" * 980 + ".mp4"])
def test_a_key_that_cannot_be_a_prefix_has_failed(key: str, world, odd_media: dict[str, Path]) -> None:
    world.upload(key, odd_media["tiny.mp4"].read_bytes())
    _split(world, key)
    error = _manifest(world, key).error
    assert error
    assert error.code == "key_layout"
    assert [name for name in world.keys_in(world.settings.stage1_bucket) if not name.endswith("/manifest.json")] == []


@pytest.mark.parametrize(
    "limit",
    [{"max_bytes": 100}, {"disk_mb": 1}, {"max_pixels": 100}, {"max_duration_s": 0.5}, {"max_cost_usd": 1e-5}],
    ids=lambda limit: next(iter(limit)),
)
def test_limits_end_in_a_manifest_too(limit: dict[str, float], world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mp4", odd_media["no-audio.mp4"].read_bytes())
    _split(world, "a.mp4", **limit)
    error = _manifest(world, "a.mp4").error
    assert error
    assert error.code == "media_too_large"


@pytest.mark.parametrize(("most_usd", "interval_s", "refused"), [(0.0, 0.02, False), (0.01, 1.0, False),
                                                                 (0.0006, 0.02, True)])  # fmt: skip
def test_a_file_that_would_cost_too_much_is_refused_before_decoding(
    most_usd: float, interval_s: float, refused: bool, world, odd_media: dict[str, Path]
) -> None:
    """The probe gives the length, the number of frames and whether there is sound."""
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    world.settings = world.settings.model_copy(update={"max_cost_usd": most_usd, "interval_s": interval_s})
    _split(world, "a.mp4")
    manifest = _manifest(world, "a.mp4")
    assert bool(manifest.units) is not refused
    assert bool(manifest.error) is refused
    if refused:
        assert manifest.probe
        assert manifest.error.message.startswith("it would cost about 0.00")
        assert "CASTLINE_MAX_COST_USD" in manifest.error.message


def test_a_temporary_failure_is_raised_and_leaves_no_manifest(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())

    def slow(*_: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr(plan, "probe", slow)
    with pytest.raises(DiskFull):
        _split(world, "a.mp4")
    assert world.keys_in(world.settings.stage1_bucket) == []
    monkeypatch.undo()
    assert len(_split(world, "a.mp4")["runs"]) == 1


def test_a_failed_upload_of_a_unit_is_raised(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    put = world.store.put

    def refuse(bucket: str, key: str, body: bytes, **rest: bool) -> bool:
        if key.endswith(".flac"):
            raise StorageError("S3 said no")
        return put(bucket, key, body, **rest)

    monkeypatch.setattr(world.store, "put", refuse)
    with pytest.raises(StorageError):
        _split(world, "a.mp4")
    assert not any(key.endswith("manifest.json") for key in world.keys_in(world.settings.stage1_bucket))


def test_a_full_disk_is_not_the_file_s_fault(world, monkeypatch: pytest.MonkeyPatch) -> None:
    world.upload("a.mp4")

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.store, "download", full)
    with pytest.raises(DiskFull, match="temporary disk"):
        _split(world, "a.mp4")


def test_all_records_of_an_event_are_split(world, odd_media: dict[str, Path]) -> None:
    for key in ("a.mp4", "b.mp4"):
        world.upload(key, odd_media["tiny.mp4"].read_bytes())
    records = [object_created(world.settings.input_bucket, key)["Records"][0] for key in ("a.mp4", "b.mp4")]
    assert len(split_event({"Records": records}, world.store, world.settings)["runs"]) == 2


def test_options_are_part_of_the_run(world) -> None:
    world.upload("a.mp4")
    run = world.run("a.mp4")
    world.settings = Settings(interval_s=2)
    assert world.run("a.mp4") != run


@pytest.mark.parametrize(("timeout_s", "least", "most"), [(900, 830, 840), (300, 240, 255), (30, 8, 10)])
def test_a_decode_may_use_the_invocation_s_remaining_time(
    timeout_s: float, least: float, most: float, world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by Lambda it would lose everything; ended by its own limit it keeps what it has."""
    given: list[float] = []
    real = stage.split

    def watched(*arguments: Any, **more: Any) -> Any:
        given.append(arguments[3].left_s)
        return real(*arguments, **more)

    monkeypatch.setattr(stage, "split", watched)
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    _split(world, "a.mp4", timeout_s=timeout_s, ffmpeg_timeout_s=840)
    assert least <= given[0] <= most


def test_sound_without_its_video_is_partial_with_a_warning(world, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5:duration=2", "-f", "lavfi", "-i", "sine=duration=2",
           "-c:v", "libx264", "-preset", "ultrafast", path)  # fmt: skip
    content = path.read_bytes()
    index = content.index(b"moov")
    world.upload("a.mov", content[:index] + content[index:].replace(b"avc1", b"xvc9", 1))
    _split(world, "a.mov")
    manifest = _manifest(world, "a.mov")
    world.analyse(*[keys.UnitId("a.mov", manifest.run, "audio", 0)])
    result = world.result("a.mov")
    assert (result.status, result.error.code) == ("partial", "undecodable_media")
    assert result.error.message == "the pictures (xvc9) cannot be read: there is no decoder for it"
    assert result.transcript.text == "hello"
    assert [(stream.codec, stream.decodable, stream.used) for stream in result.probe.streams] == [
        ("xvc9", False, False),
        ("aac", True, True),
    ]


def test_a_sidecar_chooses_a_sound_track(world, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", "-f", "lavfi", "-i", "sine=frequency=900:duration=2",
           "-map", 0, "-map", 1, path)  # fmt: skip
    world.upload("a.mkv", path.read_bytes())
    world.upload("a.mkv.json", b'{"audio_track": 2}')
    _split(world, "a.mkv")
    manifest = _manifest(world, "a.mkv")
    assert manifest.probe
    assert manifest.probe.audio
    assert manifest.probe.audio.index == 1
    assert [warning.code for warning in manifest.warnings] == ["streams_passed_over"]


def test_all_ffmpeg_processes_share_one_deadline(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []
    for where, name in ((plan, "probe"), (stage, "split")):
        real = getattr(where, name)

        def watched(*arguments: Any, real: Any = real, **more: Any) -> Any:
            (limits,) = [each for each in arguments if isinstance(each, Limits)]
            deadlines.append(limits.deadline)
            return real(*arguments, **more)

        monkeypatch.setattr(where, name, watched)
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    _split(world, "a.mp4", timeout_s=100)
    assert len(deadlines) == 2
    assert len(set(deadlines)) == 1


def test_units_deleted_before_their_analysis_are_made_again(world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    _split(world, "a.mp4")
    before = dict(world.store.objects)
    unit = keys.UnitId("a.mp4", world.run("a.mp4"), "frames", 0)
    world.store.delete(world.settings.stage1_bucket, [unit.stage1_key])
    assert _split(world, "a.mp4") == {"runs": [unit.run]}
    assert world.store.objects.keys() == before.keys()
    assert (
        world.store.get(world.settings.stage1_bucket, unit.stage1_key)
        == before[world.settings.stage1_bucket, unit.stage1_key]
    )
    assert _manifest(world, "a.mp4").attempt == 2


@pytest.mark.parametrize("damaged", [b"", b'{"run": "', b"[1]"])
def test_an_unreadable_manifest_is_made_again(damaged: bytes, world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mp4", odd_media["tiny.mp4"].read_bytes())
    _split(world, "a.mp4")
    world.store.put(world.settings.stage1_bucket, keys.manifest_key("a.mp4", world.run("a.mp4")), damaged)
    _split(world, "a.mp4")
    assert _manifest(world, "a.mp4").units


def test_a_temporary_failure_is_tried_three_times_in_all(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up during decoding: what there is is kept, and the next event tries again."""
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    whole = stage.split

    def breaks_off(*args: Any, **more: Any) -> Iterator[Any]:
        yield from whole(*args, **more)
        args[4].error = DiskFull("the temporary disk is full")

    monkeypatch.setattr(stage, "split", breaks_off)
    for attempt in (1, 2, 3, 3):
        _split(world, "a.mp4")
        assert _manifest(world, "a.mp4").error.code == "disk_full"
        assert _manifest(world, "a.mp4").attempt == attempt


def test_an_upload_deleted_during_splitting_leaves_nothing(
    world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    whole = stage.split

    def deleted_meanwhile(*args: Any, **more: Any) -> Iterator[Any]:
        yield from whole(*args, **more)
        delete_media("a.mp4", world.store, world.settings)

    monkeypatch.setattr(stage, "split", deleted_meanwhile)
    assert _split(world, "a.mp4") == {"runs": []}
    assert [key for _, key in world.store.objects if not key.startswith(".audit/")] == []


def test_remains_of_a_killed_splitter_are_removed_with_the_deleted_upload_s_next_event(
    world, odd_media: dict[str, Path]
) -> None:
    world.upload("a.mp4", odd_media["both.mp4"].read_bytes())
    _split(world, "a.mp4")
    world.upload("a.mp4/people/b.mp4", odd_media["tiny.mp4"].read_bytes())
    _split(world, "a.mp4/people/b.mp4")
    world.store.delete(world.settings.input_bucket, ["a.mp4"])
    assert _split(world, "a.mp4") == {"runs": []}
    left = world.keys_in(world.settings.stage1_bucket)
    assert left
    assert all(key.startswith("a.mp4/people/b.mp4/") for key in left)


def test_a_recording_that_browsers_cannot_play_gets_a_proxy_that_is_deleted_with_it(
    world, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    film = tmp_path / "film.mpg"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=1", "-c:v", "mpeg1video", film)
    world.upload("film.mpg", film.read_bytes())
    _split(world, "film.mpg")
    bucket, run = world.settings.stage1_bucket, world.run("film.mpg")
    proxy = world.store.get(bucket, keys.proxy_key("film.mpg", run))
    assert proxy and proxy[4:8] == b"ftyp" and proxy.index(b"moov") < proxy.index(b"mdat")
    assert _manifest(world, "film.mpg").usage.steps["proxy"] > 0
    # It is made once: the manifest is lost, and the event is repeated.
    world.store.delete(bucket, [keys.manifest_key("film.mpg", run)])
    _split(world, "film.mpg")
    assert world.written(bucket).count(keys.proxy_key("film.mpg", run)) == 1
    assert not delete_media("film.mpg", world.store, world.settings).left
    assert not list(world.store.find(bucket))


def test_no_proxy_if_none_is_wanted(world, odd_media: dict[str, Path]) -> None:
    world.upload("a.mkv", odd_media["late-sound.mkv"].read_bytes())
    _split(world, "a.mkv", proxy_s=0)
    assert "proxy" not in _manifest(world, "a.mkv").usage.steps
    assert not [key for key in world.written(world.settings.stage1_bucket) if keys.parse_proxy(key)]
