"""Nothing lost, nothing twice: bursts, repeated and shuffled events, killed processes, a killed stack."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from castline.evaluation.normalise import plain
from castline.events import object_created
from castline.local.stack import LocalStack, start_detached
from castline.local.state import read_state
from castline.operations import read_dead_letters, reconcile, redrive
from castline.operations.redrive import queue_url
from castline.records import Result
from castline.settings import Settings
from castline.storage import S3Store
from tests.conftest import at_scale

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_COUNT = at_scale(10, 50)
_ANALYSER = "face-recognition"


def _content(result: Result) -> dict[str, Any]:
    """What a result says, without the upload's identity and durations."""
    return result.model_dump(exclude={"media", "run", "source", "processing"})


def _upload_many(pipeline, clips: list[Path], prefix: str) -> list[str]:
    return [pipeline.upload(clips[index % len(clips)], f"{prefix}/{index:02d}.mp4") for index in range(_COUNT)]


def _versions(pipeline, key: str) -> list[str]:
    found = pipeline.stack.client("s3").list_object_versions(Bucket=pipeline.settings.output_bucket, Prefix=key)
    return [version["ETag"] for version in found["Versions"] if version["Key"] == key]


def test_every_upload_of_a_burst_has_one_result(fresh_pipeline, short_clips: list[Path]) -> None:
    pipeline = fresh_pipeline
    pipeline.stack.deployer("s3").put_bucket_versioning(
        Bucket=pipeline.settings.output_bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    keys = _upload_many(pipeline, short_clips, "burst")
    results = pipeline.results(keys, 600)
    assert {result.status for result in results.values()} == {"complete"}
    assert len({result.run for result in results.values()}) == _COUNT
    time.sleep(1)
    for key in keys:
        # Two invocations that complete the set at the same moment may both write; then the bytes are equal.
        assert len(set(_versions(pipeline, f"{key}/result.json"))) == 1
    parts = [info.key for info in pipeline.store.find(pipeline.settings.output_bucket) if "/parts/" in info.key]
    assert len(parts) == len(set(parts)) == 2 * _COUNT
    assert not pipeline.dead_letters()


def test_every_event_three_times_in_random_order_changes_no_byte(fresh_pipeline, short_clips: list[Path]) -> None:
    pipeline = fresh_pipeline
    s3, lambda_ = pipeline.stack.deployer("s3"), pipeline.stack.client("lambda")
    config = pipeline.settings
    once = {clip.name: pipeline.upload(clip, f"once/{clip.name}") for clip in short_clips}
    baseline = pipeline.results(list(once.values()))
    for bucket in (config.input_bucket, config.stage1_bucket):  # from here on, this test delivers the events
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    s3.put_bucket_versioning(Bucket=config.output_bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = _upload_many(pipeline, short_clips, "thrice")

    chance = random.Random(20261120)
    delivered: set[tuple[str, str]] = set()
    waiting: list[tuple[str, dict[str, Any]]] = []
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for bucket, function in ((config.input_bucket, "video-splitting"), (config.stage1_bucket, _ANALYSER)):
            for info in pipeline.store.find(bucket, "thrice/"):
                if (bucket, info.key) not in delivered:
                    delivered.add((bucket, info.key))
                    waiting += [(function, object_created(bucket, info.key, info.size))] * 3
        chance.shuffle(waiting)
        if not waiting and len([info for info in pipeline.store.find(config.stage1_bucket, "thrice/")
                                if info.key.endswith("manifest.json")]) == _COUNT:  # fmt: skip
            break
        for _ in range(min(len(waiting), 20)):
            function, event = waiting.pop()
            lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
        time.sleep(0.05)
    results = pipeline.results(keys, 600)
    # Three events for the input, and three each for manifest, frames and audio.
    assert len(delivered) == 5 * _COUNT
    _wait_until_idle(pipeline)
    for index, key in enumerate(keys):
        assert _content(results[key]) == _content(baseline[once[short_clips[index % len(short_clips)].name]])
        for name in pipeline.output(key):
            assert len(set(_versions(pipeline, f"{key}/{name}"))) == 1, name
    assert not pipeline.dead_letters()


def _wait_until_idle(pipeline) -> None:
    quiet = 0
    deadline = time.monotonic() + 600
    while quiet < 10 and time.monotonic() < deadline:
        busy = any(psutil.Process(pid).cpu_percent(0.05) > 20 for name in ("video-splitting", _ANALYSER)
                   for pid in pipeline.stack.host.pids(name))  # fmt: skip
        quiet = 0 if busy else quiet + 1


def _wait_for(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _kill_analysers(pipeline) -> int:
    pids = pipeline.stack.host.pids(_ANALYSER)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended after being listed
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def test_an_analyser_killed_once_loses_nothing(fresh_pipeline, long_speech: Path) -> None:
    pipeline = fresh_pipeline
    key = pipeline.upload(long_speech)
    # The faces are done, and speech is in the middle of its minute.
    _wait_for(lambda: pipeline.look(key).frames[0] > 0 and pipeline.look(key).audio[0] == 0)
    assert _kill_analysers(pipeline)
    assert not pipeline.look(key).finished
    result = pipeline.results([key])[key]
    assert result.status == "complete"
    assert plain(result.transcript.text).count("here they are together") == 2
    assert not pipeline.dead_letters()


def test_an_analyser_killed_every_time_ends_partial_and_in_the_dead_letter_queue(
    fresh_pipeline, long_speech: Path
) -> None:
    pipeline = fresh_pipeline
    key = pipeline.upload(long_speech)
    _wait_for(lambda: pipeline.look(key).frames[0] == pipeline.look(key).frames[1] > 0)
    _wait_for(lambda: pipeline.look(key).state == "analysing")
    stop = threading.Event()

    def keep_killing() -> None:
        while not stop.wait(0.05):
            _kill_analysers(pipeline)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        result = pipeline.results([key])[key]
    finally:
        stop.set()
        killer.join()
    assert result.status == "partial"
    assert result.error is not None
    assert result.error.code == "retries_exhausted"
    assert "Runtime.ExitError" in result.error.message
    assert [failure.unit for failure in result.failures] == ["audio-0000"]
    assert result.people, "the analysed part is kept"
    _wait_for(lambda: bool(pipeline.dead_letters()))
    assert any("/audio/0000.flac" in body for body in pipeline.dead_letters())
    _redrive(pipeline)
    _wait_for(lambda: pipeline.look(key).result.status == "complete")
    assert not pipeline.dead_letters()


def _redrive(pipeline) -> None:
    """What ``castline redrive`` does once a person has confirmed it."""
    sqs = pipeline.stack.client("sqs")
    url = queue_url(sqs, pipeline.settings)
    pipeline.stack.deployer("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    letters = read_dead_letters(sqs, url)
    found = [(row[0], row[2].rpartition("/")[2]) for letter in letters for row in letter.objects()]
    assert (_ANALYSER, "0000.flac") in found
    # Analysers that had written their part and were killed before they could report it leave a letter, too.
    assert {name for _, name in found} <= {"0000.flac", "0000.tar", "manifest.json"}
    assert redrive(letters, pipeline.stack.client, url, pipeline.store, pipeline.settings) == len(found)


def test_a_stack_killed_hard_finishes_its_media_after_a_restart(
    make_settings: Callable[..., Settings], attach: Callable[..., Any], short_clips: list[Path], long_speech: Path
) -> None:
    settings = make_settings()
    stack = start_detached(settings)
    state = read_state(settings.state_dir)
    assert state is not None
    store = S3Store(stack.client("s3"))
    keys = [f"crash/{index}.mp4" for index in range(4)]
    for index, key in enumerate(keys):
        store.put(settings.input_bucket, key, short_clips[index] if index else long_speech)
    _wait_for(lambda: any(True for _ in store.find(settings.stage1_bucket, "crash/")))
    everyone = [*psutil.Process(state.controller.pid).children(recursive=True), psutil.Process(state.controller.pid)]
    for process in reversed(everyone):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended after being listed
            process.kill()
    psutil.wait_procs(everyone, 10)

    with LocalStack(settings, slots=2) as again:
        store = S3Store(again.client("s3"))
        finished_before = [key for key in keys if store.head(settings.output_bucket, f"{key}/result.json")]
        assert len(finished_before) < len(keys), "the crash came too late to prove anything"
        assert reconcile(again.client, store, settings) > 0
        results = attach(again, settings).results(keys)
        assert {result.status for result in results.values()} == {"complete"}
