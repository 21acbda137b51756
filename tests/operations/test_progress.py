"""Watching many media costs little: few are asked about at a time, and none again once it is finished."""

from __future__ import annotations

import pytest

from castline.operations import progress
from castline.operations.progress import Lookout, MediaProgress
from castline.records import Source
from castline.settings import Settings
from castline.storage import MemoryStore


def test_few_are_asked_and_the_finished_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(source: Source, *_: object) -> MediaProgress:
        asked.append(source.key)
        return MediaProgress(source.key, "complete")

    monkeypatch.setattr(progress, "progress_of", answer)
    sources = [Source(bucket="in", key=f"{number:03d}.mp4", etag="x", version=None, size=1) for number in range(40)]
    look = Lookout(sources, MemoryStore(), Settings())
    assert sum(item.finished for item in look()) == 16
    assert [item.media for item in look()] == [source.key for source in sources]
    assert all(item.finished for item in look())
    look()
    assert asked == [source.key for source in sources]
