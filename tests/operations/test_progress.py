"""Watching many files costs little: few are checked at a time, and none again once it is finished."""

from __future__ import annotations

import pytest

from castline.operations import progress
from castline.operations.progress import Lookout, MediaProgress
from castline.records import Source
from castline.settings import Settings
from castline.storage import MemoryStore


def test_few_files_are_checked_and_finished_ones_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_two_stages_are_weighted_by_their_cost() -> None:
    work = (10.0, 4.0, 1.0)  # splitting, a unit of frames, a unit of sound
    assert MediaProgress("a.mp4", "waiting").fraction is None
    some = MediaProgress("a.mp4", "splitting", frames=(1, 2), audio=(1, 3), expected=(5, 5), work=work)
    assert some.fraction == pytest.approx((5 + 4 + 1) / (10 + 20 + 5))
    more = MediaProgress("a.mp4", "analysing", frames=(5, 5), audio=(4, 5), expected=(5, 5), work=work)
    assert more.fraction == pytest.approx(34 / 35)
    odd = MediaProgress("a.mp4", "analysing", frames=(9, 9), audio=(9, 9), expected=(5, 5), work=work)
    assert odd.fraction == 1.0, "never more than all"
    assert MediaProgress("a.mp4", "failed").fraction == 1.0
