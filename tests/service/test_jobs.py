"""The jobs in SQLite and in PostgreSQL: order, states, claims, lifetimes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, update
from sqlmodel import Session, SQLModel, col

from castline.errors import ServiceError
from castline.service.asked import JobRequest
from castline.service.database import migrate, open_database
from castline.service.jobs import Jobs
from castline.service.settings import ServiceSettings
from castline.service.tables import Job
from castline.service.tokens import Tokens, User

ADMIN = User("root", admin=True)


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(ServiceSettings(database=database, folder=tmp_path))
    yield opened
    opened.dispose()


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine)


def asked(**changed: object) -> JobRequest:
    options = {"input": "http://example.org/a.wav", "outputs": {"txt_url": "http://example.org/a.txt"}}
    return JobRequest.model_validate({"options": options, **changed})


def test_the_migrations_create_the_declared_tables(engine: Engine) -> None:
    found = inspect(engine)
    for name, table in SQLModel.metadata.tables.items():
        assert {column["name"] for column in found.get_columns(name)} == set(table.columns.keys())
        assert {index["name"] for index in found.get_indexes(name)} == {index.name for index in table.indexes}
        nullable = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert nullable == {key: bool(column.nullable) for key, column in table.columns.items()}
    migrate(engine)  # repeating them changes nothing


def test_a_missing_database_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="the database cannot be used") as raised:
        open_database(ServiceSettings(database=f"sqlite:///{tmp_path}/none/x.db", folder=tmp_path))
    assert "\n" not in raised.value.message


def test_readers_do_not_wait_for_writers_except_on_a_network_file_system(tmp_path: Path) -> None:
    for settings, mode in (({}, "wal"), ({"journal": "DELETE"}, "delete")):
        engine = open_database(ServiceSettings(folder=tmp_path / mode, **settings))
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        engine.dispose()


def test_jobs_run_by_priority_and_then_in_order(jobs: Jobs) -> None:
    order = [jobs.add("ada", asked(priority=rank)).id for rank in (0, 1, 2, 1, 2)]
    listed = [job.id for job in jobs.page(ADMIN, 0, 100)]
    taken = [job.id for _ in order if (job := jobs.take())]
    assert taken == listed == [order[index] for index in (2, 4, 1, 3, 0)]
    assert jobs.take() is None


def test_a_job_is_claimed_once_however_many_ask(jobs: Jobs) -> None:
    wanted = {jobs.add("ada", asked()).id for _ in range(40)}
    taken: list[str] = []

    def take() -> None:
        while job := jobs.take():
            taken.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40
    assert set(taken) == wanted


def test_the_page_is_cut_after_filtering_by_owner(jobs: Jobs) -> None:
    for number in range(6):
        jobs.add("ada" if number % 2 else "eve", asked())
    assert len(jobs.page(User("eve"), 0, 2)) == 2
    assert {job.owner for job in jobs.page(User("eve"), 0, 100)} == {"eve"}
    assert len(jobs.page(User("eve"), 2, 100)) == 1
    assert len(jobs.page(ADMIN, 0, 100)) == 6


def test_only_the_holder_of_a_job_ends_it(jobs: Jobs, engine: Engine) -> None:
    jobs.add("ada", asked())
    lost = jobs.take()
    assert lost is not None
    with Session(engine) as session:
        session.exec(update(Job).values(lease=1.0))
        session.commit()
    assert jobs.requeue_abandoned() == 1
    assert not jobs.renew(lost)
    held = jobs.take()
    assert held is not None and held.claim != lost.claim
    assert not jobs.finish(lost, "finished", "late")
    assert jobs.finish(held, "finished", "done", media_length=4.0, language_used="en")
    ended = jobs.get(held.id)
    assert ended is not None
    assert (ended.state, ended.message, ended.media_length, ended.language_used) == ("finished", "done", 4.0, "en")
    assert ended.processing_time == pytest.approx(ended.finish_time - ended.start_time, abs=0.1)


def test_a_valid_lease_is_requeued_only_on_request(jobs: Jobs) -> None:
    jobs.add("ada", asked())
    assert jobs.take() is not None
    assert jobs.requeue_abandoned() == 0
    assert jobs.requeue_abandoned(all_running=True) == 1


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_hosts_whose_clocks_differ_leave_each_other_s_jobs_alone(
    postgresql_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """Two hosts share a PostgreSQL; the clock of one is an hour off."""
    opened = [open_database(ServiceSettings(database=postgresql_database, folder=tmp_path)) for _ in range(2)]
    [right, wrong] = map(Jobs, opened)
    real = time.time

    @contextmanager
    def off() -> Iterator[None]:
        with monkeypatch.context() as there:
            there.setattr(time, "time", lambda: real() + ahead_s)
            yield

    first = right.add("ada", asked(notification_type="url", notification_url="http://example.org/n")).id
    with off():
        second = wrong.add("ada", asked(notification_type="expire")).id
    mine = _some(right.take())
    with off():
        theirs = _some(wrong.take())
        assert wrong.requeue_abandoned() == 0, "the right host's job"
    assert (mine.id, theirs.id) == (first, second), "in the order in which they came"
    assert right.requeue_abandoned() == 0, "the wrong host's job"
    with off():
        assert wrong.renew(theirs)
        assert wrong.finish(theirs, "finished", "done")
    assert right.requeue_abandoned() == 0
    assert right.finish(mine, "finished", "done")
    with off():
        assert wrong.vanish() == 0
        assert [job.id for job in wrong.to_notify()] == [first]
    assert right.vanish() == 0 and right.to_notify() == []
    for name in (first, second):
        ended = _some(right.get(name))
        assert 0 < real() - ended.queue_time < 600
        assert ended.queue_time <= ended.start_time <= ended.finish_time
        assert 0 <= ended.processing_time < 600
    for each in opened:
        each.dispose()


def test_a_death_counts_as_a_retry_and_a_stop_does_not(jobs: Jobs) -> None:
    found = jobs.add("ada", asked())
    for died, state in ((False, "queued"), (True, "queued"), (False, "queued"), (True, "error")):
        taken = jobs.take()
        assert taken is not None
        jobs.requeue(taken, died=died)
        now = jobs.get(found.id)
        assert now is not None and now.state == state
        assert now.queue_time == found.queue_time
    assert now.message == "The worker process died twice on this job"


def test_deleting_cancels_running_jobs_and_forgets_the_others(jobs: Jobs) -> None:
    runs, waits = jobs.add("ada", asked(priority=2)), jobs.add("ada", asked())
    taken = jobs.take()
    assert taken is not None and taken.id == runs.id
    for each in (runs, waits):
        jobs.cancel_or_delete(each.id)
    canceled = jobs.get(runs.id)
    assert canceled is not None and canceled.state == "canceled" and canceled.finish_time > 0
    assert jobs.get(waits.id) is None
    assert not jobs.renew(taken)
    jobs.cancel_or_delete(runs.id)
    assert jobs.get(runs.id) is None


@pytest.mark.parametrize(
    ("kind", "age_s", "kept"), [("poll", 7200, True), ("poll", 31 * 86400, False), ("expire", 3500, True),
                                ("expire", 3700, False), ("url", 3700, False)]
)  # fmt: skip
def test_a_job_vanishes_when_its_lifetime_is_over(
    jobs: Jobs, engine: Engine, kind: str, age_s: float, kept: bool
) -> None:
    found = jobs.add("ada", asked(notification_type=kind, notification_url="http://example.org/n"))
    taken = jobs.take()
    assert taken is not None
    assert jobs.vanish() == 0  # it is running
    jobs.finish(taken, "finished", "done")
    with Session(engine) as session:
        session.exec(update(Job).values(finish_time=col(Job.finish_time) - age_s))
        session.commit()
    jobs.vanish()
    assert (jobs.get(found.id) is not None) == kept


def test_a_notification_is_delayed_longer_each_time(jobs: Jobs, engine: Engine) -> None:
    jobs.add("ada", asked(notification_type="url", notification_url="http://example.org/n"))
    assert jobs.to_notify() == []
    taken = jobs.take()
    assert taken is not None
    jobs.finish(taken, "finished", "done")
    pauses = []
    for _ in range(3):
        [due] = jobs.to_notify()
        assert jobs.to_notify() == []
        now = jobs.get(due.id)
        assert now is not None
        pauses.append(now.notify_at)
        with Session(engine) as session:
            session.exec(update(Job).values(notify_at=0.0))
            session.commit()
    assert pauses[1] - pauses[0] > 0.9 and pauses[2] - pauses[1] > 1.9
    jobs.notified(due)
    assert jobs.to_notify() == []


def test_a_job_s_progress_starts_again_with_it(jobs: Jobs) -> None:
    made = jobs.add("ada", asked())
    taken = _some(jobs.take())
    assert jobs.renew(taken, 0.5)
    assert _some(jobs.get(made.id)).progress == 0.5
    jobs.requeue(taken, died=True)
    assert _some(jobs.get(made.id)).progress == 0.0


def test_servers_that_do_not_answer_delay_only_each_other(jobs: Jobs, engine: Engine) -> None:
    for _ in range(3):
        jobs.add("eve", asked(notification_type="url", notification_url="http://silent.example.org/n"))
        jobs.finish(_some(jobs.take()), "finished", "done")
    assert len(jobs.to_notify(2)) == 2
    with Session(engine) as session:
        session.exec(update(Job).values(notify_at=0.0))
        session.commit()
    jobs.add("ada", asked(notification_type="url", notification_url="http://example.org/n"))
    jobs.finish(_some(jobs.take()), "finished", "done")
    assert [job.notify_failures for job in jobs.to_notify(2)] == [0, 0]
    assert {job.owner for job in jobs.to_notify(4)} == {"eve"}


def _some(job: Any) -> Any:
    assert job is not None
    return job


def test_the_request_is_stored_unchanged(jobs: Jobs) -> None:
    found = jobs.add("ada", asked(expiration=12.0))
    assert json.loads(found.request)["expiration"] == 12.0


def test_tokens(engine: Engine, tmp_path: Path) -> None:
    tokens = Tokens(engine)
    first = tokens.add("ada", admin=True)
    assert tokens.user_of(first) == User("ada", admin=True)
    second = tokens.add("ada")
    assert tokens.user_of(first) is None
    assert tokens.user_of(second) == User("ada")
    for wrong in ("", "ada", "ada:", "ada:x", f"{second}x", f"eve:{second[4:]}", "\0:\0", "ada:\udcff"):
        assert tokens.user_of(wrong) is None
    assert [token.user for token in tokens.list()] == ["ada"]
    secret = second.partition(":")[2]
    assert all(secret not in str(value) for value in tokens.list()[0].model_dump().values())
    users = tmp_path / "users.txt"
    users.write_text("y:root:pa:ss\nn:bob:word\n\n")
    assert tokens.import_file(users) == 2
    assert tokens.user_of("root:pa:ss") == User("root", admin=True)
    assert tokens.user_of("bob:word") == User("bob")
    users.write_text("n:carl:x\nmaybe:dora:x\n")
    with pytest.raises(ServiceError, match="line 2"):
        tokens.import_file(users)
    assert tokens.user_of("carl:x") is None
    assert tokens.revoke("ada") and not tokens.revoke("ada")
    assert tokens.user_of(second) is None
    with pytest.raises(ServiceError, match="is not a user name"):
        tokens.add("a:b")
