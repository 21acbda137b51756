"""Results of a few recordings, and an index over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from castline import keys
from castline.archive.index import Index
from castline.archive.postgresql import PostgresqlIndex
from castline.archive.refresh import refresh
from castline.archive.sqlite import SqliteIndex
from castline.records import Person, Result, SpokenSegment
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.report.conftest import Make, make
from tests.service.conftest import postgresql, postgresql_database

__all__ = ["Shelf", "make", "postgresql", "postgresql_database"]


class Shelf:
    """A store with results, and its index."""

    def __init__(self, make: Make, folder: Path, new: Callable[[str], Index]) -> None:
        self.make = make
        self.store = MemoryStore()
        self.settings = Settings(state_dir=folder)
        #: Opens an index by name; the same name opens the same one.
        self.new = new
        self.index = new("index")

    def publish(
        self, media: str, lines: Sequence[str | SpokenSegment] = (), people: Sequence[Person] = (), **fields: object
    ) -> Result:
        """Publish a result with a line every ten seconds."""
        segments = [
            self.make.segment(at, line, 10.0 * at, 10.0 * at + 5) if isinstance(line, str) else line
            for at, line in enumerate(lines)
        ]
        result = self.make.result(media=media, segments=segments, people=people, **fields)
        self.store.put(self.settings.input_bucket, media, media.encode())
        self.store.put(self.settings.output_bucket, keys.result_key(media), result.to_json())
        return result

    def remove(self, media: str) -> None:
        self.store.delete(self.settings.output_bucket, [keys.result_key(media)])

    def refresh(self) -> None:
        refresh(self.index, self.store, self.settings)


@pytest.fixture
def sqlite_shelf(make: Make, tmp_path: Path) -> Shelf:
    return Shelf(make, tmp_path, lambda name: SqliteIndex(tmp_path / f"{name}.db"))


@pytest.fixture
def postgresql_shelf(make: Make, tmp_path: Path, postgresql_database: str) -> Shelf:
    return Shelf(make, tmp_path, lambda name: PostgresqlIndex(postgresql_database, name))


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    """A shelf with either kind of index."""
    found: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    return found
