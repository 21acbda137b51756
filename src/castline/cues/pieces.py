"""A segment's text cut into pieces with times."""

from __future__ import annotations

from dataclasses import dataclass

from castline.cues.text import clean
from castline.records import Segment, Word


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text without white space in it.

    Attributes:
        start_s, end_s: seconds of the media; never decreasing from piece to piece.
        space: whether white space precedes it.
    """

    text: str
    start_s: float
    end_s: float
    space: bool = True


def pieces(segment: Segment) -> list[Piece]:
    """The segment's text cut at white space, and between words if a script has none.

    Each word has its times. Pieces of a word with white space in it, and a text that the words do not spell, are timed
    in proportion to the characters.
    """
    low, high = segment.start_s, max(segment.start_s, segment.end_s)
    words = segment.words if segment.spelled else (Word(start_s=low, end_s=high, text=segment.text),)
    found: list[Piece] = []
    space, latest = True, low
    for word in words:
        start = min(max(word.start_s, latest), high)
        latest = end = min(max(word.end_s, start), high)
        text = clean(f".{word.written}.")[1:-1]  # a space on either side stays
        length = len(text.strip())
        at = 0
        for number, part in enumerate(text.split(" ")):
            space |= number > 0
            if part:
                begin, until = (start + (end - start) * place / length for place in (at, at + len(part)))
                found.append(Piece(part, begin, until, space))
                space = False
                at += len(part) + 1
    return found
