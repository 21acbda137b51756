"""The tables. ``migrations/`` makes them; ``tests/service/test_migrations.py`` holds the two together."""

from __future__ import annotations

from sqlalchemy import false
from sqlmodel import Field, Index, SQLModel


class Job(SQLModel, table=True):
    """A job: what clients see (``asked.JobView``), and what the pool needs.

    Attributes:
        claim: of the worker that runs it; only who holds it may end it.
        lease: until when that worker is believed to live, seconds since 1970.
        deaths: workers that died on it.
        notification: ``poll``, ``expire`` or ``url``.
        expiration: seconds it is kept after its end.
        notify_at: when its end is told next, seconds since 1970; 0.0 for never.
        notify_failures: how many times in vain.
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
    """What an administrator has switched, by name: ``lock``."""

    __tablename__ = "switch"

    name: str = Field(primary_key=True, max_length=32)
    on: bool = False
