"""The tables. ``migrations/`` creates them; ``tests/service/test_jobs.py`` compares the two."""

from __future__ import annotations

from sqlalchemy import false
from sqlmodel import Field, Index, SQLModel


class Job(SQLModel, table=True):
    """A job: what clients see (``asked.JobView``), and what the pool needs.

    Attributes:
        claim: of the worker that runs it; only the holder may end it.
        lease: until when that worker is assumed to be alive, seconds since 1970.
        deaths: workers that died on it.
        progress: share of the sound that the running worker has heard, from 0 to 1.
        notification: ``poll``, ``expire`` or ``url``.
        expiration: seconds it is kept after its end.
        notify_at: time of the next notification of its end, seconds since 1970; 0.0 for never.
        notify_failures: how many notifications failed.
    """

    __tablename__ = "job"
    __table_args__ = (Index("job_order", "state", "priority", "queue_time"), Index("job_owner", "owner", "queue_time"))

    id: str = Field(primary_key=True, max_length=36)
    owner: str = Field(max_length=100)
    state: str = Field(max_length=16)
    message: str
    media_length: float = 0.0
    language_used: str = ""
    request: str
    queue_time: float
    start_time: float = 0.0
    finish_time: float = 0.0
    processing_time: float = 0.0
    url_notified: bool = False
    priority: int = 1
    claim: str = Field(default="", max_length=36)
    lease: float = 0.0
    deaths: int = 0
    progress: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    notification: str = Field(default="poll", max_length=8)
    expiration: float = 3600.0
    notify_at: float = 0.0
    notify_failures: int = 0


class Token(SQLModel, table=True):
    """A user's token: salt and SHA-256 of both, in hexadecimal."""

    __tablename__ = "token"

    user: str = Field(primary_key=True, max_length=100)
    salt: str = Field(max_length=64)
    hash: str = Field(max_length=64)
    admin: bool = False
    edits: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    created: float


class Switch(SQLModel, table=True):
    """A switch set by an administrator, by name: ``lock``."""

    __tablename__ = "switch"

    name: str = Field(primary_key=True, max_length=32)
    on: bool = False
