"""A segment's text cut into pieces with times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from castline.cues.text import clean
from castline.records import Segment

# A word that is not in the text near its place is skipped instead of dragging all later words along.
_SEARCH_WINDOW = 48


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text without white space in it.

    Attributes:
        start_s, end_s: seconds of the media; never decreasing from piece to piece.
        space: white space stands before it.
    """

    text: str
    start_s: float
    end_s: float
    space: bool = True


def pieces(segment: Segment) -> list[Piece]:
    """The segment's text cut at white space, and between words where a script does not write any.

    Times come from the words that are found in the text, in order. What lies between two found words,
    or all of it when there are no words, gets times in proportion to its characters.
    """
    text = clean(segment.text)
    anchors, cuts = _anchors(text, segment)
    offsets = [offset for offset, _ in anchors]
    found: list[Piece] = []
    begin = 0
    for end in sorted({*cuts, *(i for i, char in enumerate(text) if char == " "), len(text)}):
        stripped = text[begin:end].lstrip(" ")
        start = end - len(stripped)
        if stripped:
            found.append(
                Piece(
                    stripped,
                    _time_at(start, anchors, bisect_right(offsets, start) - 1),
                    _time_at(end, anchors, bisect_left(offsets, end)),
                    space=start > 0 and text[start - 1] == " ",
                )
            )
        begin = end
    return found


def _anchors(text: str, segment: Segment) -> tuple[list[tuple[int, float]], set[int]]:
    """Places in the text whose time is known, both rising; and where one word directly follows another."""
    low, high = segment.start_s, max(segment.start_s, segment.end_s)
    anchors: list[tuple[int, float]] = [(0, low)]
    cuts: set[int] = set()
    position, latest = 0, low
    for word in segment.words:
        needle = clean(word.text)
        at = text.find(needle, position, position + len(needle) + _SEARCH_WINDOW) if needle else -1
        if at < 0:
            continue
        if 0 < at == position:
            cuts.add(at)
        position = at + len(needle)
        for offset, time in ((at, word.start_s), (position, word.end_s)):
            latest = min(max(time, latest), high)
            anchors.append((offset, latest))
    anchors.append((len(text), high))
    return anchors, cuts


def _time_at(offset: int, anchors: Sequence[tuple[int, float]], index: int) -> float:
    """Time of a place: exact on an anchor, linear between the two around it."""
    place, time = anchors[index]
    if place == offset:
        return time
    left, right = (index, index + 1) if place < offset else (index - 1, index)
    (x0, t0), (x1, t1) = anchors[left], anchors[right]
    return t0 + (t1 - t0) * (offset - x0) / (x1 - x0)
