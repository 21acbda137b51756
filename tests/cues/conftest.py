"""Segments with and without word times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from castline.records import SpokenSegment, Word


class Make:
    def words(self, text: str, start: float, end: float) -> tuple[Word, ...]:
        """Words of equal duration."""
        parts = text.split()
        step = (end - start) / len(parts)
        return tuple(
            Word(start_s=start + i * step, end_s=start + (i + 1) * step, text=part) for i, part in enumerate(parts)
        )

    def segment(self, number: int, text: str, start: float, end: float, **fields: Any) -> SpokenSegment:
        """Without words, unless they are among the fields."""
        return SpokenSegment(id=f"speech-{number}", start_s=start, end_s=end, text=text, **fields)

    def spoken(self, number: int, text: str, start: float, end: float, **fields: Any) -> SpokenSegment:
        return self.segment(number, text, start, end, words=self.words(text, start, end), **fields)

    def talk(self, sentences: Sequence[str], *, word_s: float = 0.3, pause_s: float = 0.1) -> list[SpokenSegment]:
        """A segment for each sentence, one after the other; all words have the same duration."""
        segments, at = list[SpokenSegment](), 0.0
        for number, text in enumerate(sentences, start=1):
            end = at + word_s * len(text.split())
            segments.append(self.spoken(number, text, at, end))
            at = end + pause_s
        return segments


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
