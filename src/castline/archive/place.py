"""Finds a deployment's index, and brings it up to date when somebody is forgotten."""

from __future__ import annotations

import hashlib
from pathlib import Path

from castline.archive.index import Index
from castline.archive.refresh import refresh
from castline.archive.sqlite import SqliteIndex
from castline.errors import OptionsError
from castline.settings import Settings
from castline.storage.base import ObjectStore


def open_index(where: str, settings: Settings) -> Index:
    """The index of a deployment: on this machine, or in the database that ``CASTLINE_ARCHIVE`` names.

    Args:
        where: identifies its S3.

    Raises:
        ResourceError: the database cannot be reached.
        OptionsError: it does not name a PostgreSQL URL.
    """
    if not settings.archive:
        return SqliteIndex(index_path(where, settings))
    if not settings.archive.startswith(("postgresql://", "postgresql+psycopg://")):
        raise OptionsError("CASTLINE_ARCHIVE is not a PostgreSQL URL: postgresql://user@host/database")
    from castline.archive.postgresql import PostgresqlIndex

    return PostgresqlIndex(settings.archive, f"castline_{_name(where, settings)}")


def index_path(where: str, settings: Settings) -> Path:
    """The path of the index: one file for each deployment used from this machine."""
    return settings.state_dir / "archive" / f"{_name(where, settings)}.db"


def _name(where: str, settings: Settings) -> str:
    return hashlib.sha256(f"{where}\n{settings.output_bucket}".encode()).hexdigest()[:16]


def names_left(name: str, where: str, store: ObjectStore, settings: Settings) -> int:
    """Bring the index up to date, if there is one, and search it for somebody who was forgotten.

    Returns:
        In how many recordings the index still has the name; 0 if there is no index.
    """
    return _left("SELECT count(DISTINCT recording) FROM seen WHERE name = ?", name, where, store, settings)


def media_left(media: str, where: str, store: ObjectStore, settings: Settings) -> int:
    """As `names_left`, for a media file that was deleted."""
    return _left("SELECT count(*) FROM recording WHERE media = ?", media, where, store, settings)


def _left(question: str, value: str, where: str, store: ObjectStore, settings: Settings) -> int:
    if not settings.archive and not index_path(where, settings).exists():
        return 0
    index = open_index(where, settings)
    refresh(index, store, settings)
    with index.reading() as connection:
        return int(connection.execute(question, (value,)).fetchone()[0])
