"""The queue over HTTP without workers: who sees what, and what the published clients receive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from castline.service.jobs import Jobs
from castline.service.tokens import User
from tests.service.conftest import Bucket, Running, job, running, service_settings

HERE = Bucket(base="http://127.0.0.1:9")


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose jobs wait: it has no workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jobs, "take", lambda _: None)
        with running(service_settings(tmp_path_factory.mktemp("idle"))) as up:
            yield up


def test_a_token_is_needed_and_identifies_its_user(idle: Running) -> None:
    with idle.client(token="ada:wrong") as stranger:
        for method, path in (("GET", "/transcription/"), ("POST", "/transcription/"), ("GET", "/v1/models"),
                             ("GET", "/metrics"), ("GET", "/nowhere")):  # fmt: skip
            refused = stranger.request(method, path)
            assert refused.status_code == 401, path
            assert "Invalid authorization token" in refused.text
        assert stranger.get("/transcription/").json() == {"detail": "Invalid authorization token"}
        assert stranger.get("/health").json() == {"status": "ok"}
        assert stranger.get("/docs").status_code == stranger.get("/openapi.json").status_code == 200


def test_a_job_in_the_published_form(idle: Running) -> None:
    with idle.client() as ada:
        made = ada.post("/transcription/", json=job(HERE, options={"priority": 2}) | {"whatever": 1})
        assert made.status_code == 200
        found = made.json()
        assert list(found) == [
            "id", "owner", "state", "message", "media_length", "language_used", "request", "queue_time", "start_time",
            "finish_time", "processing_time", "url_notified", "priority",
        ]  # fmt: skip
        assert found["owner"] == "ada"
        assert (found["state"], found["message"]) == ("queued", "Job has been queued")
        assert found["priority"] == 2  # where the published client puts it
        assert found["start_time"] == found["finish_time"] == 0.0
        request = json.loads(found["request"])
        assert request["version"] == "1"
        assert request["options"]["engine"] == "openai-whisper"
        assert request["options"]["language"] == "en"
        assert ada.get(f"/transcription/{found['id']}").json() == found
        assert ada.post("/transcription/", json=job(HERE, options={"priority": 2}, priority=0)).json()["priority"] == 0
        assert ada.post("/transcription/", json=job(HERE)).json()["priority"] == 1


def test_users_see_their_own_jobs_and_an_administrator_all(idle: Running) -> None:
    with idle.client("bob") as bob, idle.client("eve") as eve, idle.client(token=idle.admin) as root:
        mine = bob.post("/transcription/", json=job(HERE)).json()
        path = f"/transcription/{mine['id']}"
        assert [each["id"] for each in bob.get("/transcription/").json()] == [mine["id"]]
        assert eve.get("/transcription/").json() == []
        for refused in (eve.get(path), eve.delete(path)):
            assert (refused.status_code, refused.json()) == (403, {"detail": "Unauthorized"})
        assert mine["id"] in [each["id"] for each in root.get("/transcription/").json()]
        assert root.delete(path).json() == {"ok": True}
        for gone in (bob.get(path), bob.delete(path), bob.get("/transcription/nothing")):
            assert (gone.status_code, gone.json()) == (404, {"detail": "Job not found"})


def test_only_an_administrator_locks(idle: Running) -> None:
    with idle.client("bob") as bob, idle.client(token=idle.admin) as root:
        assert bob.get("/transcription/lock").status_code == 403
        assert root.get("/transcription/lock").json() == {"ok": True}
        refused = bob.post("/transcription/", json=job(HERE))
        assert (refused.status_code, refused.json()) == (503, {"detail": "Submitting new jobs is prohibited"})
        assert root.get("/transcription/unlock").json() == {"ok": True}
        assert bob.post("/transcription/", json=job(HERE)).status_code == 200
        assert bob.get("/metrics").status_code == 403
        assert "castline_jobs{" in root.get("/metrics").text


URL = {"json_url": "http://a.example/x"}


@pytest.mark.parametrize(
    ("options", "more", "status"),
    [
        ({"outputs": {}}, {}, 422),
        ({"outputs": {"meta_url": "http://a.example/x"}}, {}, 422),
        ({"outputs": {"csv_url": "http://a.example/x"}, "engine": "whisper.cpp"}, {}, 422),
        ({"outputs": URL | {"csv_url": "http://a.example/x"}, "engine": "whisper.cpp"}, {}, 200),
        ({"outputs": URL | {"csv_url": "http://a.example/x"}}, {}, 422),
        ({"engine": "whisper-cpp"}, {}, 422),
        ({"engine": "faster-whisper"}, {}, 200),
        ({"language": "auto"}, {}, 200),
        ({"language": "../x"}, {}, 422),
        ({"model": "../../etc/passwd"}, {}, 422),
        ({"input": "file:///etc/passwd"}, {}, 422),
        ({"outputs": {"json_url": "ftp://a.example/x"}}, {}, 422),
        ({"priority": 3}, {}, 422),
        ({}, {"version": "2"}, 422),
        ({}, {"notification_type": "url"}, 422),
        ({}, {"notification_type": "url", "notification_url": "http://a.example/n"}, 200),
        ({}, {"expiration": -1}, 422),
    ],
)  # fmt: skip
def test_requests_are_validated(
    idle: Running, options: dict[str, object], more: dict[str, object], status: int
) -> None:
    with idle.client() as ada:
        assert ada.post("/transcription/", json=job(HERE, options=options, **more)).status_code == status


def test_numbers_that_json_does_not_have_are_refused(idle: Running) -> None:
    with idle.client() as ada:
        body = json.dumps(job(HERE, expiration=float("nan")))
        refused = ada.post("/transcription/", content=body, headers={"content-type": "application/json"})
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "expiration"]


def test_lists_are_paged(idle: Running) -> None:
    with idle.client("lister") as user:
        made = [user.post("/transcription/", json=job(HERE)).json()["id"] for _ in range(3)]
        assert [each["id"] for each in user.get("/transcription/?offset=1&limit=1").json()] == made[1:2]
        assert user.get("/transcription/?limit=101").status_code == 422


def test_a_user_s_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "take", lambda _: None)
    few = service_settings(tmp_path, queued_per_user=1, requests_per_minute=6)
    with running(few) as up, up.client() as ada, up.client("bob") as bob:
        assert [ada.post("/transcription/", json=job(HERE)).status_code for _ in range(2)] == [200, 429]
        too_large = ada.post("/transcription/", content=b" " * (1 << 20) + b"{}")
        assert too_large.status_code == 413

        def endless() -> Iterator[bytes]:
            for _ in range(2000):
                yield bytes(1024)

        assert ada.post("/transcription/", content=endless()).status_code == 413  # without a declared length
        statuses = [ada.get("/transcription/").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert bob.get("/transcription/").status_code == 200
        assert int(ada.get("/transcription/").headers["retry-after"]) >= 1


def test_without_tokens_only_if_configured(tmp_path: Path) -> None:
    with running(service_settings(tmp_path, anonymous=True)) as up, httpx.Client(base_url=up.url) as anybody:
        assert anybody.get("/transcription/").json() == []
        for page in ({"Origin": "http://evil.example"}, {"Host": "rebind.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert anybody.get("/transcription/", headers=page).status_code == 401
        assert anybody.get("/metrics").status_code == 403
        assert up.state.tokens.user_of(up.admin) == User("root", admin=True)
