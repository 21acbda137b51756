"""The jobs in the database. Every change is one statement that names the state it starts from; all times are those of
the database's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, Row, bindparam, case, delete, func, insert, update
from sqlalchemy import select as rows
from sqlmodel import Session, SQLModel, col, select

from castline.service.asked import CANCELED, DIED_TWICE, ENDED, QUEUED, STARTED, JobRequest, State
from castline.service.clock import now_s
from castline.service.tables import Job, Switch
from castline.service.tokens import User

_RETRIES = 1
_LONGEST_PAUSE_S = 300.0
# Clients read jobs again and again, and change none: as rows, that takes a fifth of the time it takes as objects.
_ROWS = rows(SQLModel.metadata.tables[str(Job.__tablename__)])
_ROW = _ROWS.where(col(Job.id) == bindparam("id"))
#: The order in which jobs are done, and listed.
_IN_TURN = (col(Job.priority).desc(), col(Job.queue_time), col(Job.id))
_PAGE = _ROWS.order_by(*_IN_TURN).offset(bindparam("offset")).limit(bindparam("limit"))
_OWN_PAGE = _PAGE.where(col(Job.owner) == bindparam("owner"))


class Jobs:
    """Attributes:
    arrived: called when there is something to do.
    """

    def __init__(self, engine: Engine, *, lease_s: float = 30.0, unclaimed_s: float = 30 * 24 * 3600) -> None:
        self._engine = engine
        self._lease_s, self._unclaimed_s = lease_s, unclaimed_s
        self.arrived: Callable[[], None] = lambda: None

    # --- clients -------------------------------------------------------------------------------------

    def add(self, owner: str, request: JobRequest) -> Job:
        added = insert(Job).values(
            id=str(uuid4()),
            owner=owner,
            state="queued",
            message=QUEUED,
            request=request.model_dump_json(),
            queue_time=now_s(),
            priority=request.rank,
            notification=request.notification_type,
            expiration=request.expiration,
        )
        with Session(self._engine, expire_on_commit=False) as session:
            job: Job = session.exec(added.returning(Job)).scalars().one()
            session.commit()
        self.arrived()
        return job

    def page(self, user: User, offset: int, limit: int) -> list[Row[Any]]:
        """A user's jobs, or for an administrator all of them, in the order in which they will be done."""
        wanted = {"offset": offset, "limit": limit}
        with self._engine.connect() as connection:
            if user.admin:
                return list(connection.execute(_PAGE, wanted))
            return list(connection.execute(_OWN_PAGE, {**wanted, "owner": user.name}))

    def get(self, job_id: str) -> Row[Any] | None:
        with self._engine.connect() as connection:
            return connection.execute(_ROW, {"id": job_id}).first()

    def claim_result(self, job_id: str) -> bool:
        """Delete an ended job whose result was polled; False if somebody else already has."""
        return self._changed(delete(Job).where(col(Job.id) == job_id, col(Job.state).in_(ENDED))) == 1

    def cancel_or_delete(self, job_id: str) -> None:
        """Cancel a job that is running; delete any other."""
        canceled = update(Job).where(col(Job.id) == job_id, col(Job.state) == "running")
        if not self._changed(canceled.values(**_ended("canceled", CANCELED))):
            self._changed(delete(Job).where(col(Job.id) == job_id, col(Job.state) != "running"))

    def waiting(self, owner: str | None = None) -> int:
        wanted = select(func.count()).select_from(Job).where(Job.state == "queued")
        with Session(self._engine) as session:
            return session.exec(wanted if owner is None else wanted.where(Job.owner == owner)).one()

    def by_state(self) -> dict[str, int]:
        with Session(self._engine) as session:
            rows = session.exec(select(Job.state, func.count()).group_by(Job.state)).all()
        return dict(rows)

    @property
    def locked(self) -> bool:
        with Session(self._engine) as session:
            row = session.get(Switch, "lock")
            return row is not None and row.on

    def lock(self, on: bool) -> None:
        with Session(self._engine) as session:
            session.merge(Switch(name="lock", on=on))
            session.commit()

    # --- workers -------------------------------------------------------------------------------------

    def take(self) -> Job | None:
        """The next job, now running under a claim of its own."""
        first = (
            select(Job.id)
            .where(Job.state == "queued")
            .order_by(*_IN_TURN)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        taken = (
            update(Job)
            .where(col(Job.id) == first, col(Job.state) == "queued")
            .values(
                state="running", message=STARTED, start_time=now_s(), claim=str(uuid4()), lease=now_s() + self._lease_s
            )
            .returning(Job)
        )
        with Session(self._engine, expire_on_commit=False) as session:
            job = session.exec(taken).scalars().first()
            session.commit()
            return job

    def renew(self, job: Job, progress: float = 0.0) -> bool:
        """Extend the lease of a job at work, and note how far it is; False if it was canceled or taken from this
        worker.
        """
        return self._changed(self._mine(job).values(lease=now_s() + self._lease_s, progress=progress)) == 1

    def finish(self, job: Job, state: State, message: str, *, at: float | None = None, **values: Any) -> bool:
        """End a job, unless it is no longer this claim's.

        Args:
            at: when it ended, by the database's clock; now by default.
        """
        return self._changed(self._mine(job).values(**_ended(state, message, at), **values)) == 1

    def requeue(self, job: Job, *, died: bool) -> None:
        """Put a job back in its place in the queue. A dead worker costs a retry; a service that stops does not."""
        spent = job.deaths + died
        if spent > _RETRIES:
            self.finish(job, "error", DIED_TWICE, deaths=spent)
            return
        self._changed(self._mine(job).values(**_QUEUED_AGAIN, deaths=spent))
        self.arrived()

    # --- time ----------------------------------------------------------------------------------------

    def requeue_abandoned(self, *, all_running: bool = False) -> int:
        """Queue the jobs of a service that is gone again: those whose lease has expired, or all running ones."""
        abandoned = update(Job).where(col(Job.state) == "running")
        if not all_running:
            abandoned = abandoned.where(col(Job.lease) < now_s())
        found = self._changed(abandoned.values(**_QUEUED_AGAIN))
        if found:
            self.arrived()
        return found

    def vanish(self) -> int:
        """Delete ended jobs that were kept long enough."""
        kept = case((col(Job.notification) == "poll", self._unclaimed_s), else_=col(Job.expiration))
        over = col(Job.finish_time) + kept < now_s()
        return self._changed(delete(Job).where(col(Job.state).in_(ENDED), over))

    def to_notify(self, limit: int = 20) -> list[Job]:
        """Ended jobs to announce now, those that failed least first, so that servers that never answer delay only each
        other. Each one's next attempt is put off, so that no other service announces it too.
        """
        due = (
            select(Job)
            .where(Job.notification == "url", col(Job.url_notified).is_(False), col(Job.state).in_(ENDED))
            .where(col(Job.notify_at) <= now_s())
            .order_by(col(Job.notify_failures), col(Job.finish_time))
            .limit(limit)
        )
        with Session(self._engine) as session:
            found = list(session.exec(due))
        mine = []
        for job in found:
            failures = job.notify_failures + 1
            later = now_s() + min(2.0 ** min(failures - 1, 30), _LONGEST_PAUSE_S)
            put_off = update(Job).where(col(Job.id) == job.id, col(Job.notify_at) == job.notify_at)
            if self._changed(put_off.values(notify_at=later, notify_failures=failures)):
                mine.append(job)
        return mine

    def notified(self, job: Job) -> None:
        self._changed(update(Job).where(col(Job.id) == job.id).values(url_notified=True))

    def _mine(self, job: Job) -> Any:
        return update(Job).where(col(Job.id) == job.id, col(Job.state) == "running", col(Job.claim) == job.claim)

    def _changed(self, statement: Any) -> int:
        with Session(self._engine) as session:
            count: int = session.exec(statement).rowcount
            session.commit()
            return count


_QUEUED_AGAIN: dict[str, Any] = {
    "state": "queued",
    "message": QUEUED,
    "start_time": 0.0,
    "claim": "",
    "lease": 0.0,
    "progress": 0.0,
}


def _ended(state: State, message: str, at: float | None = None) -> dict[str, Any]:
    when = at or now_s()
    return {
        "state": state,
        "message": message,
        "finish_time": when,
        "processing_time": when - col(Job.start_time),
        "lease": 0.0,
    }
