"""Watching many media costs little: few are asked about at a time, and none again once it is finished."""

from __future__ import annotations

import pytest

from castline import progress
from castline.progress import Lookout, MediaProgress
from castline.records import ObjectInfo
from castline.settings import Settings
from castline.storage import MemoryStore


def test_few_are_asked_and_the_finished_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(info: ObjectInfo, *_: object) -> MediaProgress:
        asked.append(info.key)
        return MediaProgress(info.key, "complete")

    monkeypatch.setattr(progress, "progress_of", answer)
    infos = [ObjectInfo(key=f"{number:03d}.mp4", size=1, etag="x") for number in range(40)]
    look = Lookout(infos, MemoryStore(), Settings())
    assert sum(item.finished for item in look()) == 16
    assert [item.media for item in look()] == [info.key for info in infos]
    assert all(item.finished for item in look())
    look()
    assert asked == [info.key for info in infos]
