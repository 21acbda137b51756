"""A long recording is split range by range: in any order, more than once, and with ranges that fail."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from castline import keys
from castline.errors import StorageError
from castline.events import object_created
from castline.media import sampling
from castline.operations.pending import pending
from castline.operations.redrive import DeadLetter, _function_for, redrive
from castline.records import Manifest, ObjectInfo, Source
from castline.runs.common import fetch
from castline.runs.ranges import UNITS, read_done, read_plan
from castline.runs.removal import discard_run, owner_of
from castline.stages import failure_event, split_event
from castline.stages import plan as planning
from castline.storage import MemoryStore

MEDIA = "week 1/Été + talk.mp4"
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", 40, "-bf", 2, "-c:a", "aac")


class CountingStore(MemoryStore):
    """Records how much of an object was read."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[str] = Counter()

    def read(self, bucket: str, info: ObjectInfo | Source, offset: int, length: int) -> bytes | None:
        body = super().read(bucket, info, offset, length)
        self.taken[info.key] += len(body or b"")
        return body

    def download(self, bucket: str, info: ObjectInfo | Source, path: Path) -> bool:
        self.taken[info.key] += info.size
        return super().download(bucket, info, path)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("films")
    moving = "testsrc2=size=160x90:rate=25:duration=26,select='lt(mod(t,8),5)',fps=25"
    tone = "aevalsrc='0.4*sin(2*PI*(300+20*floor(t))*t)*lt(mod(t,4),3)':s=44100:d=26"
    ffmpeg("-f", "lavfi", "-i", moving, "-f", "lavfi", "-i", tone, *_X264, "-shortest", folder / "film.mp4")
    ffmpeg("-i", folder / "film.mp4", "-c", "copy", folder / "film.mkv")
    return {path.suffix: path.read_bytes() for path in folder.glob("film.*")}


@pytest.fixture
def cut_world(world, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything longer than a few seconds is cut, into ranges of three seconds."""
    monkeypatch.setattr(sampling, "_STRETCH_S", 3)
    monkeypatch.setattr(planning, "_SMALL_BYTES", 0)
    world.store = CountingStore()
    asked = {"interval_s": 0.5, "frames_per_unit": 3, "chunk_s": 10, "cut_above_s": 1.0}
    world.settings = world.settings.model_copy(update=asked)
    return world


def _split(world: Any, key: str, bucket: str = "", **changes: Any) -> dict[str, Any]:
    settings = world.settings.model_copy(update=changes)
    return split_event(object_created(bucket or settings.input_bucket, key), world.store, settings)


def _ranges(world: Any, media: str = MEDIA) -> list[str]:
    found = world.keys_in(world.settings.stage1_bucket, keys.run_prefix(media, world.run(media)))
    return [key for key in found if keys.parse_range(key)]


def _range(world: Any, key: str) -> dict[str, Any]:
    return _split(world, key, world.settings.stage1_bucket)


def _manifest(world: Any, media: str = MEDIA) -> Manifest | None:
    body = world.store.get(world.settings.stage1_bucket, keys.manifest_key(media, world.run(media)))
    return body and Manifest.from_json(body)


def _units(world: Any, media: str = MEDIA) -> list[tuple[Any, str]]:
    """What the manifest declares of each unit, except its number, and a digest of its bytes."""
    manifest = _manifest(world, media)
    assert manifest
    found = []
    for unit in manifest.units:
        key = keys.UnitId(media, manifest.run, unit.kind, unit.index).stage1_key
        body = world.store.get(world.settings.stage1_bucket, key)
        found.append((unit.model_dump(exclude={"index"}), hashlib.sha256(body).hexdigest()))
    return found


def _uncut(world: Any, media: str = MEDIA) -> tuple[list[tuple[Any, str]], Manifest]:
    _split(world, media, cut_above_s=0.0)
    units, manifest = _units(world, media), _manifest(world, media)
    assert manifest
    discard_run(media, manifest.run, world.store, world.settings)
    return units, manifest


@pytest.mark.parametrize("kind", [".mp4", ".mkv"])
def test_ranges_in_any_order_and_twice_equal_one_decode(kind: str, cut_world, films: dict[str, bytes]) -> None:
    media = MEDIA.replace(".mp4", kind)
    cut_world.upload(media, films[kind])
    expected, whole = _uncut(cut_world, media)
    assert _split(cut_world, media) == {"runs": [cut_world.run(media)]}
    asked = _ranges(cut_world, media)
    assert len(asked) > 5
    assert _manifest(cut_world, media) is None
    order = asked * 2
    random.Random(7).shuffle(order)
    for key in order:
        _range(cut_world, key)
    found = _manifest(cut_world, media)
    assert found
    assert _units(cut_world, media) == expected
    left_out = {"units", "usage", "ranges"}
    assert found.model_dump(exclude=left_out) == whole.model_dump(exclude=left_out)
    assert len(found.ranges) == len(asked)
    assert {unit.index // UNITS for unit in found.units if unit.kind == "frames"} == set(range(1, len(asked)))
    assert _split(cut_world, media) == {"runs": []}


def test_a_range_reads_only_what_it_needs(cut_world, films: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from castline.media import ranges

    monkeypatch.setattr(ranges, "_GAP", 256)
    monkeypatch.setattr(ranges, "_AFTER", 40)
    monkeypatch.setattr(ranges, "_OPENING_S", 0.5)
    monkeypatch.setattr("castline.media.mp4._WINDOW", 256)
    cut_world.upload(MEDIA, films[".mp4"])
    size = len(films[".mp4"])
    _split(cut_world, MEDIA)
    assert cut_world.store.taken[MEDIA] < size / 4
    for key in _ranges(cut_world):
        cut_world.store.taken.clear()
        _range(cut_world, key)
        assert 0 < cut_world.store.taken[MEDIA] < size / 2
    manifest = _manifest(cut_world)
    assert manifest
    assert manifest.error is None


def test_the_result_is_that_of_the_uncut_run(cut_world, films: dict[str, bytes]) -> None:
    results = []
    for above_s in (0.0, 1.0):
        cut_world.upload(MEDIA, films[".mp4"])
        _split(cut_world, MEDIA, cut_above_s=above_s)
        for key in _ranges(cut_world):
            _range(cut_world, key)
        manifest = _manifest(cut_world)
        assert manifest
        units = [keys.UnitId(MEDIA, manifest.run, unit.kind, unit.index) for unit in manifest.units]
        cut_world.analyse(*units)
        results.append(cut_world.result(MEDIA).model_dump(exclude={"processing"}))
        discard_run(MEDIA, manifest.run, cut_world.store, cut_world.settings)
    assert results[0]["status"] == "complete"
    assert results[0]["people"]
    assert results[0] == results[1]


def test_short_small_and_still_recordings_are_not_cut(
    cut_world, films: dict[str, bytes], odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_world.upload("short.mp4", odd_media["both.mp4"].read_bytes())
    cut_world.upload("sound.mp4", odd_media["no-video.mp4"].read_bytes())
    cut_world.upload("broken.mp4", odd_media["truncated.mp4"].read_bytes())
    for media in ("short.mp4", "sound.mp4", "broken.mp4"):
        _split(cut_world, media)
        assert not _ranges(cut_world, media)
        assert _manifest(cut_world, media)
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA, cut_above_s=600.0)
    assert not _ranges(cut_world)
    assert _manifest(cut_world)


def test_a_range_out_of_retries_is_named_and_the_rest_kept(
    cut_world, films: dict[str, bytes], failure_envelope: Callable[..., dict[str, Any]]
) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    expected, _ = _uncut(cut_world)
    _split(cut_world, MEDIA)
    lost, *others = _ranges(cut_world)[2:] + _ranges(cut_world)[:2]
    for key in others:
        _range(cut_world, key)
    event = cut_world.event(lost)
    answer = failure_event(failure_envelope(event, "video-splitting"), cut_world.store, cut_world.settings)
    assert answer == {"recorded": [MEDIA]}
    manifest = _manifest(cut_world)
    assert manifest
    assert manifest.error
    assert manifest.error.code == "retries_exhausted"
    assert "the pictures from 3.0 to 6.0 s could not all be decoded: gave up" in manifest.error.message
    (notice,) = [each for each in manifest.warnings if each.code == "range_missing"]
    assert (notice.start_s, notice.end_s) == (3.0, 6.0)
    assert [unit for unit in expected if unit not in _units(cut_world)], "the others are there"
    units = [keys.UnitId(MEDIA, manifest.run, unit.kind, unit.index) for unit in manifest.units]
    cut_world.analyse(*units)
    assert cut_world.result(MEDIA).status == "partial"
    # Reconciling requests only the lost range, with which the run is whole.
    ((function, again),) = list(pending(cut_world.store, cut_world.settings))
    assert function == cut_world.settings.splitter_function
    for key in others:
        cut_world.store.delete(cut_world.settings.stage1_bucket, [key])
    split_event(again, cut_world.store, cut_world.settings)
    assert _ranges(cut_world) == [lost]
    _range(cut_world, lost)
    assert _units(cut_world) == expected
    found = _manifest(cut_world)
    assert found
    assert (found.error, found.attempt) == (None, 2)
    cut_world.analyse(*(keys.UnitId(MEDIA, found.run, unit.kind, unit.index) for unit in found.units))
    assert cut_world.result(MEDIA).status == "complete"


def test_a_range_that_cannot_be_decoded_is_part_of_the_result_s_reason(cut_world, films: dict[str, bytes]) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA)
    plan = read_plan(MEDIA, cut_world.run(MEDIA), cut_world.store, cut_world.settings)
    assert plan
    # A border where nothing can be reached: past the end.
    broken = plan.ranges[3].model_copy(update={"begin": 1000, "end": 1006, "seek_s": 600.0})
    ranges = (*plan.ranges[:3], broken, *plan.ranges[4:])
    plan_key = keys.plan_key(MEDIA, plan.run)
    cut_world.store.put(
        cut_world.settings.stage1_bucket, plan_key, plan.model_copy(update={"ranges": ranges}).to_json()
    )
    for key in _ranges(cut_world):
        _range(cut_world, key)
    done = read_done(plan, 3, cut_world.store, cut_world.settings)
    assert done
    assert done.error
    manifest = _manifest(cut_world)
    assert manifest
    assert manifest.error
    assert "could not all be decoded" in manifest.error.message
    assert manifest.units


def test_ranges_of_a_replaced_upload_are_ignored(cut_world, films: dict[str, bytes]) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA)
    asked = _ranges(cut_world)
    cut_world.upload(MEDIA, films[".mkv"])
    assert _range(cut_world, asked[0]) == {"runs": []}
    assert not [key for key in cut_world.keys_in(cut_world.settings.stage1_bucket) if keys.parse_unit(key)]
    cut_world.store.delete(cut_world.settings.input_bucket, [MEDIA])
    _range(cut_world, asked[0])
    assert cut_world.keys_in(cut_world.settings.stage1_bucket) == []


def test_deleted_units_are_made_again(cut_world, films: dict[str, bytes]) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA)
    for key in _ranges(cut_world):
        _range(cut_world, key)
    before = _units(cut_world)
    bucket = cut_world.settings.stage1_bucket
    gone = [key for key in cut_world.keys_in(bucket) if keys.parse_unit(key)]
    cut_world.store.delete(bucket, gone)
    _split(cut_world, MEDIA)
    for key in _ranges(cut_world):
        _range(cut_world, key)
    assert _units(cut_world) == before


def test_the_state_machine_s_steps(cut_world, films: dict[str, bytes]) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    step = {"step": "split", "bucket": cut_world.settings.input_bucket, "media": MEDIA}
    found = split_event(step, cut_world.store, cut_world.settings)
    assert found["units"] == []
    assert [found["prefix"] + name for name in found["ranges"]] == _ranges(cut_world)
    collect = {"step": "collect", "bucket": found["bucket"], "prefix": found["prefix"]}
    with pytest.raises(StorageError, match="not there yet"):
        split_event(collect, cut_world.store, cut_world.settings)
    for name in found["ranges"]:
        one = {"step": "range", "bucket": found["bucket"], "key": found["prefix"] + name}
        assert split_event(one, cut_world.store, cut_world.settings) == {}
    units = split_event(collect, cut_world.store, cut_world.settings)["units"]
    manifest = _manifest(cut_world)
    assert manifest
    assert len(units) == len(manifest.units)


def test_owners_of_a_range_s_objects(world) -> None:
    run = "0" * 16
    for key in (keys.plan_key(MEDIA, run), keys.range_key(MEDIA, run, 7), keys.range_done_key(MEDIA, run, 7)):
        assert owner_of(key)[:2] == (MEDIA, run)
    assert keys.parse_range(keys.range_key(MEDIA, run, 12345)) == (MEDIA, run, 12345)
    assert keys.parse_range(keys.range_done_key(MEDIA, run, 7)) is None


def test_a_dead_letter_of_a_range_goes_to_the_splitter(
    cut_world, films: dict[str, bytes], failure_envelope: Callable[..., dict[str, Any]]
) -> None:
    from castline.events import invocations_failed

    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA)
    lost = _ranges(cut_world)[1]
    letter = failure_envelope(cut_world.event(lost), "")
    failure_event(letter, cut_world.store, cut_world.settings)
    (failed,) = invocations_failed(letter)
    assert _function_for(failed, cut_world.settings) == cut_world.settings.splitter_function
    sent: list[dict[str, Any]] = []

    class Fake:
        def invoke(self, **arguments: Any) -> None:
            sent.append(arguments)

        def delete_message(self, **_: Any) -> None:
            return None

        def get_queue_url(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="none")

    letters = [DeadLetter((failed,), "", "receipt")]
    assert redrive(letters, lambda _: Fake(), "url", cut_world.store, cut_world.settings) == 1
    assert sent[0]["FunctionName"] == cut_world.settings.splitter_function
    plan = read_plan(MEDIA, cut_world.run(MEDIA), cut_world.store, cut_world.settings)
    assert plan
    assert read_done(plan, 1, cut_world.store, cut_world.settings) is None


def test_no_more_is_read_than_the_upload_has(world, tmp_path: Path) -> None:
    world.upload(MEDIA, b"0123456789")
    source = world.request(MEDIA).source
    spans = [(2, 4), (8, 10**15), (10**14, 10**15)]
    assert fetch(source, spans, tmp_path / "a", world.store)
    assert (tmp_path / "a").read_bytes() == b"\0\0" + b"23" + b"\0\0\0\0" + b"89"
    world.upload(MEDIA, b"another one")
    assert not fetch(source, spans, tmp_path / "a", world.store)


def test_an_unreadable_plan_requests_nothing(cut_world, films: dict[str, bytes]) -> None:
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA)
    asked = _ranges(cut_world)
    plan_key = keys.plan_key(MEDIA, cut_world.run(MEDIA))
    cut_world.store.put(cut_world.settings.stage1_bucket, plan_key, b"[" * 1000)
    assert _range(cut_world, asked[0]) == {"runs": []}
    # The upload's next event plans again.
    _split(cut_world, MEDIA)
    for key in _ranges(cut_world):
        _range(cut_world, key)
    assert _manifest(cut_world)


@pytest.mark.parametrize(("where", "refused"), [("video-splitting", True), ("local", False)])
def test_ranges_too_long_for_one_invocation_are_refused_before_any_is_requested(
    cut_world, films: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, where: str, refused: bool
) -> None:
    monkeypatch.setattr(planning, "decode_seconds", lambda length_s, *_: 300.0 * length_s)
    cut_world.upload(MEDIA, films[".mp4"])
    _split(cut_world, MEDIA, function_name=where)
    assert bool(_ranges(cut_world)) is not refused
    if refused:
        manifest = _manifest(cut_world)
        assert manifest and manifest.error
        assert manifest.error.code == "media_too_large"
        assert "the longest of" in manifest.error.message and "SplitterMemory" in manifest.error.message


@pytest.fixture(scope="session")
def broadcasts(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> dict[str, bytes]:
    """Six minutes as MPEG-TS, which is not cut: with one keyframe, and with one per second."""
    folder = tmp_path_factory.mktemp("broadcasts")
    picture = ("-f", "lavfi", "-i", "color=gray:size=320x180:rate=25:duration=360")
    for name, distance in (("sparse", 9000), ("dense", 25)):
        options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", distance)
        ffmpeg(*picture, *options, "-sc_threshold", 0, folder / f"{name}.ts")
    return {path.stem: path.read_bytes() for path in folder.glob("*.ts")}


@pytest.mark.parametrize(
    ("name", "where", "refused"),
    [
        ("sparse", {"function_name": "video-splitting"}, True),
        ("dense", {"function_name": "video-splitting"}, False),  # keyframes alone are a ninth of the work
        ("sparse", {}, False),  # on a user's machine the limit is unknown beforehand
    ],
)
def test_a_recording_too_long_for_one_invocation_is_refused_before_decoding(
    world, broadcasts: dict[str, bytes], name: str, where: dict[str, Any], refused: bool
) -> None:
    small = {"memory_mb": 128, "ffmpeg_memory_mb": 1500, "timeout_s": 50.0, "cut_above_s": 60.0, **where}
    world.settings = world.settings.model_copy(update=small)
    world.upload("talk.ts", broadcasts[name])
    split_event(object_created(world.settings.input_bucket, "talk.ts"), world.store, world.settings)
    manifest = _manifest(world, "talk.ts")
    assert manifest is not None
    if not refused:
        assert manifest.error is None
        assert manifest.units
        return
    assert manifest.error is not None
    assert manifest.error.code == "media_too_large"
    for said in ("mpegts has no index", "-c copy OUT.mp4", "SplitterMemory", "keyframes"):
        assert said in manifest.error.message
    assert manifest.units == ()
