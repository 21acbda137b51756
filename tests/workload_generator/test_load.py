"""Whole loads against a pipeline that answers after a while, or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from castline.errors import NoBucket
from castline.workload_generator.clear import clear
from castline.workload_generator.load import Job, Load, plan, run_load
from castline.workload_generator.patterns import Pattern
from castline.workload_generator.target import Profile, Target

_BURST = Pattern("burst")
_PROFILES: list[Profile] = ["classic", "full"]
MakeTarget = Callable[..., Target]
MakePipeline = Callable[[Target, float], Any]


def _statuses(report: Load) -> dict[str, str]:
    return {row.key: row.status for row in report.rows}


@pytest.mark.parametrize("profile", _PROFILES)
def test_every_upload_gets_its_result(
    profile: Profile, make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target(profile)
    seen: list[int] = []
    with fake_pipeline(target, 0.3):
        jobs = plan(folder, 6, profile)
        report = run_load(target, jobs, _BURST, 3, 20, lambda load: seen.append(load.counts["ok"]))
    assert report.passed
    assert report.counts == {"ok": 6, "failed": 0, "timeout": 0}
    assert [row.key for row in report.rows] == [job.key for job in jobs]
    assert 0.3 <= report.latency_s["min"] <= report.latency_s["max"] < 15
    assert report.throughput_per_s
    assert report.failed_looks == []
    assert [row.bytes for row in report.rows] == [job.path.stat().st_size for job in jobs]
    assert seen[-1] == 6
    assert seen == sorted(seen)
    assert str(report).startswith("6 of 6 uploaded, results: 6 ok, 0 failed, 0 timeout; ")


def test_uploads_begin_at_their_times(make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path) -> None:
    target = make_target("full")
    with fake_pipeline(target, 0.1):
        report = run_load(target, plan(folder, None, "full"), Pattern("stagger", 4), 2, 20)
    assert report.passed
    late_s = [row.sent_s - row.planned_s for row in report.rows if row.sent_s is not None]
    assert [row.planned_s for row in report.rows] == [0, 0.25, 0.5, 0.75]
    assert all(0 <= value < 1 for value in late_s)


@pytest.mark.parametrize("profile", _PROFILES)
def test_unanswered_uploads_end_in_time_and_show_how_far_they_got(
    profile: Profile, make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target(profile)
    began = time.monotonic()
    with fake_pipeline(target, 0.1) as pipeline:
        jobs = plan(folder, 3, profile)
        pipeline.silent, pipeline.half = {"test_01.mp4"}, {jobs[2].key}
        report = run_load(target, jobs, _BURST, 3, 2.5)
    assert 2.5 <= time.monotonic() - began < 120
    assert _statuses(report) == {"test_00.mp4": "ok", "test_01.mp4": "timeout", jobs[2].key: "timeout"}
    assert [row.why for row in report.rows] == [
        None,
        "no result within 2.5 s; nothing in load-stage-1 either",
        "no result within 2.5 s; load-stage-1 has it",
    ]
    assert (report.counts, report.passed) == ({"ok": 1, "failed": 0, "timeout": 2}, False)
    assert report.latency_s["min"] == report.latency_s["max"] == report.rows[0].latency_s


@pytest.mark.parametrize("profile", _PROFILES)
def test_results_of_earlier_uploads_do_not_count(
    profile: Profile, make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target(profile)
    jobs = plan(folder, 2, profile)
    with fake_pipeline(target, 0):
        assert run_load(target, jobs, _BURST, 2, 20).passed
    # The last answer is moments old: within a second of the next upload.
    report = run_load(target, jobs, _BURST, 2, 2)
    assert set(_statuses(report).values()) == {"timeout"}
    assert report.latency_s == {}
    with fake_pipeline(target, 0.4):
        report = run_load(target, jobs, _BURST, 2, 20)
    assert report.passed
    assert report.latency_s["min"] >= 0.4


def test_a_result_from_the_same_second_may_still_be_an_earlier_one(
    make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target("classic")
    time.sleep(1.02 - time.time() % 1)  # a second begins: without waiting, the upload would fall into it, too
    fake_pipeline(target, 0).answer("test_00.mp4")
    report = run_load(target, plan(folder, 1, "classic"), _BURST, 1, 1)
    assert _statuses(report) == {"test_00.mp4": "timeout"}


def test_the_same_bytes_in_a_bucket_without_versions_wait_for_a_newer_result(
    make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target("full", versioned=False)
    jobs = plan(folder, 1, "full")
    with fake_pipeline(target, 0.1):
        assert run_load(target, jobs, _BURST, 2, 20).passed
    report = run_load(target, jobs, _BURST, 2, 2)
    assert _statuses(report) == {"test_00.mp4": "timeout"}
    assert report.rows[0].why == "no result within 2 s; nothing in load-stage-1 either"
    with fake_pipeline(target, 0.1):
        assert run_load(target, jobs, _BURST, 2, 20).passed


def test_a_foreign_result_under_the_right_key_does_not_count(
    make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target("full")

    def disturb() -> None:
        time.sleep(0.8)
        for body in (b"not json", b"[]", b'{"source": null}'):
            target.s3.put_object(Bucket=target.output_bucket, Key="test_00.mp4/result.json", Body=body)
            time.sleep(0.4)

    other = threading.Thread(target=disturb)
    other.start()
    report = run_load(target, plan(folder, 1, "full"), _BURST, 1, 3)
    other.join()
    assert _statuses(report) == {"test_00.mp4": "timeout"}


def test_a_failed_result_counts_as_a_result(make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path) -> None:
    target = make_target("full")
    with fake_pipeline(target, 0.1) as pipeline:
        pipeline.status = {"test_00.mp4": "failed", "test_01.mp4": "partial"}
        report = run_load(target, plan(folder, 3, "full"), _BURST, 2, 20)
    assert [(row.status, row.why) for row in report.rows] == [
        ("failed", "failed: no media"), ("failed", "partial: units failed: 1"), ("ok", None)]  # fmt: skip
    assert all(row.latency_s for row in report.rows)
    assert len(report.good) == 1


def test_a_failed_upload_is_a_row(make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path) -> None:
    target = make_target("classic")
    jobs = [*plan(folder, 2, "classic"), Job("gone.mp4", folder / "gone.mp4"), Job("dir.mp4", folder)]
    with fake_pipeline(target, 0.1):
        report = run_load(target, jobs, _BURST, 1, 20)
    assert list(_statuses(report).values()) == ["ok", "ok", "failed", "failed"]
    assert (report.rows[2].why or "").startswith("upload: [Errno 2] No such file")
    assert (report.rows[3].why or "").startswith("upload: ")
    assert report.rows[2].latency_s is None


def test_refused_uploads_end_at_once(make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path) -> None:
    target = make_target("classic")
    answered: list[bool] = []

    def lose_the_bucket(load: Load) -> None:
        if load.rows[0].stored_s is not None and not answered:
            fake_pipeline(target, 0).answer("test_00.mp4")
            answered.append(True)
        elif load.good and len(answered) == 1:
            clear(target, yes=True)
            target.s3.delete_bucket(Bucket=target.input_bucket)
            answered.append(True)

    report = run_load(target, plan(folder, 2, "classic"), Pattern("stagger", 0.2), 2, 200, lose_the_bucket)
    target.s3.create_bucket(Bucket=target.input_bucket)
    assert report.duration_s < 150  # not as long as it would wait
    assert _statuses(report) == {"test_00.mp4": "ok", "test_01.mp4": "failed"}
    assert "NoSuchBucket" in (report.rows[1].why or "")


def test_uploads_that_hang_end_in_time(make_target: MakeTarget, folder: Path) -> None:
    target = make_target("classic")
    network_is_back = threading.Event()

    def hang(**_: object) -> None:
        network_is_back.wait(600)

    target.s3.meta.events.register("before-call.s3.PutObject", hang)
    began = time.monotonic()
    try:
        report = run_load(target, plan(folder, 3, "classic"), _BURST, 2, 1)
        assert time.monotonic() - began < 300
    finally:
        target.s3.meta.events.unregister("before-call.s3.PutObject", hang)
        network_is_back.set()
        for thread in threading.enumerate():
            if thread.name.startswith("sender-"):
                thread.join(10)
    assert [row.why for row in report.rows] == ["still not uploaded within 1 s"] * 3
    # The third one never got its turn, and gets none afterwards.
    assert report.rows[2].sent_s is None
    assert target.s3.list_objects_v2(Bucket=target.input_bucket)["KeyCount"] == 2


def test_an_interrupt_ends_with_the_report_so_far(
    make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path
) -> None:
    target = make_target("classic")

    def interrupt(load: Load) -> None:
        if load.good:
            raise KeyboardInterrupt

    with fake_pipeline(target, 0.1) as pipeline:
        pipeline.silent = {"test_01.mp4", "test_02.mp4", "test_03.MOV"}
        report = run_load(target, plan(folder, None, "classic"), Pattern("stagger", 1), 1, 60, interrupt)
    assert report.interrupted
    assert not report.passed
    assert list(_statuses(report).values()) == ["ok", "failed", "failed", "failed"]
    assert all("interrupted" in (row.why or "") for row in report.rows[1:])


def test_a_missing_bucket_is_refused(make_target: MakeTarget, fake_pipeline: MakePipeline, folder: Path) -> None:
    target = make_target("full")
    target.s3.delete_bucket(Bucket=target.output_bucket)
    with pytest.raises(NoBucket, match="load-output"):
        run_load(target, plan(folder, None, "full"), _BURST, 1, 1)
    target.s3.create_bucket(Bucket=target.output_bucket)
    assert target.s3.list_objects_v2(Bucket=target.input_bucket)["KeyCount"] == 0
