"""Results of a few recordings, and an index over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from castline import keys
from castline.archive.index import Index
from castline.archive.refresh import refresh
from castline.records import Person, Result, SpokenSegment
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.report.conftest import Make, make

__all__ = ["Shelf", "make"]


class Shelf:
    """A store with results, and the index of it."""

    def __init__(self, make: Make, folder: Path) -> None:
        self.make = make
        self.store = MemoryStore()
        self.settings = Settings(state_dir=folder)
        self.index = Index(folder / "index.db")

    def publish(
        self, media: str, lines: Sequence[str | SpokenSegment] = (), people: Sequence[Person] = (), **fields: object
    ) -> Result:
        """A result with a line every ten seconds."""
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
def shelf(make: Make, tmp_path: Path) -> Shelf:
    return Shelf(make, tmp_path)
