"""Jobs that are run: with real workers, Whisper's real tiny weights, and HTTP at both ends."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from castline import library
from castline.errors import ServiceError
from castline.service.app import _alone
from castline.service.shapes import renderer
from castline.settings import Settings
from tests.service.conftest import Bucket, Running, job, running, service_settings, until

pytestmark = pytest.mark.usefixtures("needs_whisper")


def ended(client: Any, job_id: str, seconds: float = 120.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/transcription/{job_id}").json()
        return found if found["state"] not in ("queued", "running") else None

    answer: dict[str, Any] = until(look, seconds)
    return answer


@pytest.mark.parametrize(
    ("engine", "formats"),
    [
        ("openai-whisper", ("json", "vtt", "txt")),
        ("whisper.cpp", ("json", "vtt", "txt", "csv")),
        ("auto", ("json", "vtt")),
    ],
)
def test_outputs_equal_the_engine_s(
    service: Running, bucket: Bucket, clip: Path, engine: str, formats: tuple[str, ...]
) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    outputs = {f"{each}_url": bucket.url(f"out.{each}?X-Amz-Signature=a%2Fb") for each in (*formats, "meta")}
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, options={"engine": engine, "outputs": outputs})).json()
        found = ended(ada, made["id"])
        assert (found["state"], found["message"]) == ("finished", "Transcription has completed successfully")
        assert found["media_length"] == pytest.approx(4.0, abs=0.1)
        assert found["language_used"] == "en"
        assert found["queue_time"] <= found["start_time"] < found["finish_time"]
        assert found["processing_time"] == pytest.approx(found["finish_time"] - found["start_time"])
    result = library.listen(clip, settings=Settings(transcriber="faster-whisper:tiny.en"), language="en")
    for each in formats:
        sent = bucket.got(f"out.{each}?X-Amz-Signature=a%2Fb")
        assert sent == renderer(engine, each)(result), each
    meta = bucket.got("out.meta?X-Amz-Signature=a%2Fb")
    assert meta is not None
    assert json.loads(meta) == found  # its times are final


def test_a_polled_job_is_gone_once_its_end_has_been_reported(service: Running, bucket: Bucket, clip: Path) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, notification_type="poll")).json()
        assert ended(ada, made["id"])["state"] == "finished"
        assert ada.get(f"/transcription/{made['id']}").status_code == 404


def test_a_job_that_is_not_polled_stays_for_its_lifetime(service: Running, bucket: Bucket, clip: Path) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, expiration=2.0)).json()
        path = f"/transcription/{made['id']}"
        assert ended(ada, made["id"]) == ada.get(path).json()
        until(lambda: ada.get(path).status_code == 404)


@pytest.mark.parametrize(
    ("where", "path", "state", "message"),
    [
        ("input", "status/403/a", "expired", "The Presigned URL has likely expired"),
        ("json_url", "status/403/a", "expired", "Expired URL when uploading json to {url}"),
        ("input", "status/404/a", "error", "the server of the input answered 404"),
        ("json_url", "status/500/a", "error", "the server answered 500 when uploading json to {url}"),
        ("input", "letter", "error", "the content is not in a known audio or video format"),
    ],
)
def test_failures_are_reported(
    service: Running, bucket: Bucket, clip: Path, where: str, path: str, state: str, message: str
) -> None:
    bucket.files |= {"clip.flac": clip.read_bytes(), "letter": b"This is a letter.\n" * 50}
    url = bucket.url(path)
    options = {"input": url} if where == "input" else {"outputs": {where: url}}
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, options=options)).json()
        found = ended(ada, made["id"])
    assert found["state"] == state
    assert re.search(re.escape(message.format(url=url)), found["message"]), found["message"]


def test_a_missing_model_is_reported_and_not_fetched(service: Running, bucket: Bucket) -> None:
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, options={"model": "large-v3"})).json()
        found = ended(ada, made["id"])
    assert found["state"] == "error"
    assert found["message"].startswith("there is no model 'large-v3' here; there are: ")
    assert bucket.gets == []


def test_a_notification_is_repeated_until_200(service: Running, bucket: Bucket, clip: Path) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    bucket.answers["told"] = [202]
    with service.client() as ada:
        asked = job(bucket, notification_type="url", notification_url=bucket.url("told"))
        made = ada.post("/transcription/", json=asked).json()
        until(lambda: ada.get(f"/transcription/{made['id']}").json()["url_notified"])
        found = ada.get(f"/transcription/{made['id']}").json()
    told = [json.loads(body) for path, body in bucket.puts if path == "/told"]
    assert len(told) == 2
    assert told[-1] == found


def test_a_running_job_is_canceled_at_once(service: Running, bucket: Bucket, long_clip: Path) -> None:
    bucket.files["long.mp3"] = long_clip.read_bytes()
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, "long.mp3")).json()
        path = f"/transcription/{made['id']}"
        until(lambda: ada.get(path).json()["state"] == "running" and bucket.gets)
        [worker] = [psutil.Process(pid) for pid in service.state.pool.pids]
        until(lambda: worker.children())  # ffmpeg, which decodes it
        family = [worker, *worker.children(recursive=True)]
        start = time.monotonic()
        assert ada.delete(path).json() == {"ok": True}
        until(lambda: not any(psutil.pid_exists(each.pid) for each in family))
        took = time.monotonic() - start
        assert took < 10  # 0.3 s on an idle machine
        found = ada.get(path).json()
        assert found["state"] == "canceled"
        assert bucket.puts == []
        until(lambda: service.state.pool.busy == 0)
    assert not list((service.state.service.folder / "work").iterdir())


def test_a_worker_yields_to_the_service(service: Running, bucket: Bucket, long_clip: Path) -> None:
    bucket.files["long.flac"] = long_clip.read_bytes()
    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, "long.flac")).json()
        [worker] = until(lambda: service.state.pool.pids)
        until(lambda: os.getpgid(worker) == worker)
        until(lambda: psutil.Process(worker).nice() > psutil.Process().nice())
        assert os.getsid(worker) == os.getsid(0), "in a separate session, its niceness would have no effect"
        ada.delete(f"/transcription/{made['id']}")


def test_a_worker_that_dies_costs_one_retry(service: Running, bucket: Bucket, clip: Path, long_clip: Path) -> None:
    bucket.files |= {"clip.flac": clip.read_bytes(), "long.mp3": long_clip.read_bytes()}

    with service.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, "long.mp3")).json()
        for fetched in (1, 2):  # twice is too often
            until(lambda wanted=fetched: len(bucket.gets) == wanted)
            os.kill(service.state.pool.pids[0], signal.SIGKILL)
        found = ended(ada, made["id"])
        assert (found["state"], found["message"]) == ("error", "The worker process died twice on this job")
        bucket.gets.clear()
        until(lambda: service.state.pool.busy == 0)
        # Once is not: it is killed while it downloads, and succeeds then.
        bucket.files["slow"] = clip.read_bytes()
        bucket.held["slow"] = threading.Event()
        made = ada.post("/transcription/", json=job(bucket, "slow")).json()
        until(lambda: bucket.gets)
        os.kill(service.state.pool.pids[0], signal.SIGKILL)
        bucket.held["slow"].set()
        assert ended(ada, made["id"])["state"] == "finished"
        assert len([each for each in bucket.gets if each == "/slow"]) == 2


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path, bucket: Bucket, long_clip: Path) -> None:
    bucket.files["long.mp3"] = long_clip.read_bytes()
    with running(service_settings(tmp_path, job_timeout_s=1.0)) as up, up.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, "long.mp3")).json()
        found = ended(ada, made["id"])
        assert (found["state"], found["message"]) == ("error", "it took longer than 1 s")


def test_memory_is_released(tmp_path: Path, bucket: Bucket, clip: Path) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    with running(service_settings(tmp_path, worker_idle_s=0.2)) as up, up.client() as ada:
        made = ada.post("/transcription/", json=job(bucket)).json()
        assert ended(ada, made["id"])["state"] == "finished"
        until(lambda: up.state.pool.pids == [])


def test_a_service_that_stops_costs_a_job_nothing(tmp_path: Path, bucket: Bucket, long_clip: Path) -> None:
    bucket.files["long.mp3"] = long_clip.read_bytes()
    with running(service_settings(tmp_path)) as up, up.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, "long.mp3")).json()
        until(lambda: bucket.gets)
        [worker] = up.state.pool.pids
        with pytest.raises(ServiceError, match="another service runs"), _alone(up.state.service):
            pass
    found = up.state.jobs.get(made["id"])
    assert found is not None
    assert (found.state, found.deaths, found.start_time) == ("queued", 0, 0.0)
    assert not psutil.pid_exists(worker)


def test_two_services_never_share_an_sqlite_file(tmp_path: Path) -> None:
    """Not even with separate folders, like tasks whose database is on a shared file system."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "link").symlink_to(shared)
    one, other, third = (
        service_settings(tmp_path / name, database=f"sqlite:///{folder}/service.db")
        for name, folder in (("one", shared), ("other", tmp_path / "link"), ("third", tmp_path))
    )
    with _alone(one):
        with pytest.raises(ServiceError, match=r"another service runs in .*shared"), _alone(other):
            pass
        with _alone(third):
            pass
    with _alone(other):  # the lock ended with its holder
        pass
    for url in ("sqlite://", "sqlite:///:memory:", "postgresql+psycopg://ada@there/jobs"):
        assert service_settings(tmp_path, database=url).database_file is None
    nowhere = service_settings(tmp_path, database=f"sqlite:///{tmp_path}/none/x.db")
    with pytest.raises(ServiceError, match="cannot be locked: No such file"), _alone(nowhere):
        pass


def test_services_share_a_postgresql(postgresql_database: str, tmp_path: Path, bucket: Bucket, long_clip: Path) -> None:
    """Any of them cancels what another one runs; and both take jobs."""
    bucket.files["long.mp3"] = long_clip.read_bytes()
    one, other = (service_settings(tmp_path / name, database=postgresql_database) for name in ("one", "other"))
    with running(one) as a, running(other) as b, a.client() as ada, b.client("ada") as too:
        first, second = (
            client.post("/transcription/", json=job(bucket, "long.mp3")).json()["id"] for client in (too, too)
        )
        until(lambda: a.state.pool.busy == b.state.pool.busy == 1 and len(bucket.gets) == 2)
        for job_id in (first, second):
            assert too.delete(f"/transcription/{job_id}").json() == {"ok": True}
        until(lambda: a.state.pool.busy == b.state.pool.busy == 0)
        assert ada.get("/transcription/").status_code == 401  # the user's second token is the one that counts
        states = {each["state"] for each in too.get("/transcription/").json()}
        assert states == {"canceled"}
