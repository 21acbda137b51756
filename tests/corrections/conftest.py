"""Results and people's corrections of them, without a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from castline.corrections import Corrected, Draft, corrected
from castline.records import Change, Corrections, Result
from tests.report.conftest import Make, make

__all__ = ["Desk", "Make", "make"]
_WHEN = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Desk:
    """Corrects a result step by step, as `runs.corrections.correct` does with a stored one."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.corrections = Corrections(media=result.media)

    @property
    def view(self) -> Corrected:
        return corrected(self.result, self.corrections.now())

    @property
    def texts(self) -> list[str]:
        return [segment.text for segment in self.view.result.transcript.segments]

    def do(self, edit: Callable[[Corrected, Corrections], Draft]) -> None:
        draft = edit(self.view, self.corrections)
        if draft == Draft():
            return
        number = len(self.corrections.changes) + 1
        added = tuple(
            each if each.id else each.model_copy(update={"id": f"{number}.{place}"})
            for place, each in enumerate(draft.added)
        )
        change = Change(number=number, who="Eve", when=_WHEN, removed=draft.removed, added=added, undoes=draft.undoes)
        self.corrections = Corrections.from_json(
            self.corrections.model_copy(update={"changes": (*self.corrections.changes, change)}).to_json()
        )
