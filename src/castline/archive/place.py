"""Where the index of a deployment is, and what reaches it when somebody is forgotten."""

from __future__ import annotations

import hashlib
from pathlib import Path

from castline.archive.index import Index
from castline.archive.refresh import refresh
from castline.settings import Settings
from castline.storage.base import ObjectStore


def index_path(where: str, settings: Settings) -> Path:
    """One file for each deployment that is asked from this machine.

    Args:
        where: what tells its S3 from others.
    """
    name = hashlib.sha256(f"{where}\n{settings.output_bucket}".encode()).hexdigest()[:16]
    return settings.state_dir / "archive" / f"{name}.db"


def names_left(name: str, where: str, store: ObjectStore, settings: Settings) -> int:
    """Bring the index of this machine up to date, where there is one, and look for somebody who was forgotten.

    Returns:
        In how many recordings the index still has the name; 0 where there is no index.
    """
    return _left("SELECT count(DISTINCT recording) FROM seen WHERE name = ?", name, where, store, settings)


def media_left(media: str, where: str, store: ObjectStore, settings: Settings) -> int:
    """As `names_left`, of a media file that was deleted."""
    return _left("SELECT count(*) FROM recording WHERE media = ?", media, where, store, settings)


def _left(question: str, value: str, where: str, store: ObjectStore, settings: Settings) -> int:
    path = index_path(where, settings)
    if not path.exists():
        return 0
    index = Index(path)
    refresh(index, store, settings)
    with index.reading() as connection:
        return int(connection.execute(question, (value,)).fetchone()[0])
