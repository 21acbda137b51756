"""From timed text to subtitle cues: pure functions, no file format.

A segment's text becomes pieces with times; pieces become cues of at most two lines; `timing` then lays
out the cues of a whole transcript.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from castline.records import Segment, SpokenSegment
from castline.report.text import clean, width
from castline.report.timing import MAX_CUE_MS, Cue, lay_out

#: What fits a television's title-safe width, and the limit of most subtitle style guides.
LINE_CHARS = 42
LINES = 2
#: A silence that ends a cue: its later words would be on long before they are said. Ours.
PAUSE_MS = 1500

# A word that is not in the text near its place is skipped instead of dragging all later words along.
_SEARCH_WINDOW = 48
_SENTENCE_END = tuple(".?!…。？！")
_CLAUSE_END = tuple(",;:—、，；：")
_CLOSING = "\"'”’)]»"


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


def cues(segments: Iterable[SpokenSegment]) -> list[Cue]:
    """Cues of all segments, see `lay_out`; suspected hallucinations and empty segments are left out.

    A cue is longer than ``MAX_CUE_MS`` only when the engine says so of a single word, or of a segment
    without word times.
    """
    return lay_out(
        Cue(
            round(group[0].start_s * 1000),
            round(group[-1].end_s * 1000),
            _lines(group),
            visible=clean(segment.visible or "") or None,
        )
        for segment in segments
        if not segment.suspect
        for group in _cut(segment)
    )


def _cut(segment: Segment) -> list[Sequence[Piece]]:
    """The words of each cue of a segment.

    A segment whose words have times is also cut at silences and before a cue gets too long. Without them
    times inside it are guesses, which are good enough to place a cut but not to ask for one.
    """
    atoms = _atoms(pieces(segment))
    if not segment.words:
        return _groups(atoms, math.inf)
    silences = [i for i in range(1, len(atoms)) if atoms[i].start_s - atoms[i - 1].end_s >= PAUSE_MS / 1000]
    bounds = [0, *silences, len(atoms)]
    return [group for a, b in pairwise(bounds) for group in _groups(atoms[a:b], MAX_CUE_MS / 1000)]


def _atoms(parts: Iterable[Piece]) -> list[Piece]:
    """What a line break may not cut: pieces without space between them, as far as a line can hold them."""
    atoms: list[Piece] = []
    for part in parts:
        if atoms and not part.space and width(atoms[-1].text + part.text) <= LINE_CHARS:
            atoms[-1] = replace(atoms[-1], text=atoms[-1].text + part.text, end_s=part.end_s)
        else:
            atoms.extend(_hard_split(part))
    return atoms


def _hard_split(part: Piece) -> list[Piece]:
    """A piece wider than a line, cut to lines, each with its share of the time."""
    chunks: list[str] = [""]
    for char in part.text:
        if width(chunks[-1] + char) > LINE_CHARS:
            chunks.append("")
        chunks[-1] += char
    if len(chunks) == 1:
        return [part]
    split: list[Piece] = []
    done = 0
    per_char = (part.end_s - part.start_s) / len(part.text)
    for chunk in chunks:
        start, done = part.start_s + done * per_char, done + len(chunk)
        end = min(part.start_s + done * per_char, part.end_s)
        split.append(Piece(chunk, start, end, space=part.space and not split))
    return split


def _join(atoms: Sequence[Piece]) -> str:
    return "".join((" " if atom.space and i else "") + atom.text for i, atom in enumerate(atoms))


def _line_break(atoms: Sequence[Piece]) -> int | None:
    """Where two lines are most even; ``len(atoms)`` when one line will do; None when two do not suffice."""
    if width(_join(atoms)) <= LINE_CHARS:
        return len(atoms)
    best: tuple[int, int] | None = None
    for i in range(1, len(atoms)):
        first, second = width(_join(atoms[:i])), width(_join(atoms[i:]))
        if first <= LINE_CHARS and second <= LINE_CHARS and (best is None or abs(first - second) < best[0]):
            best = (abs(first - second), i)
    return best[1] if best else None


def _lines(atoms: Sequence[Piece]) -> tuple[str, ...]:
    at = _line_break(atoms)
    halves = (atoms[:at], atoms[at:]) if at else (atoms,)
    return tuple(_join(half) for half in halves if half)


def _fits(atoms: Sequence[Piece], longest_s: float) -> bool:
    """Whether a cue can hold them; one atom always fits."""
    return _line_break(atoms) is not None and (len(atoms) == 1 or atoms[-1].end_s - atoms[0].start_s <= longest_s)


def _groups(atoms: Sequence[Piece], longest_s: float) -> list[Sequence[Piece]]:
    """The atoms of each cue: as much as two lines and the time hold, ended early at a sentence or a clause."""
    groups: list[Sequence[Piece]] = []
    begin = 0
    while begin < len(atoms):
        end = begin + 1
        while end < len(atoms) and _fits(atoms[begin : end + 1], longest_s):
            end += 1
        if end < len(atoms):
            end = _good_end(atoms, begin, end, longest_s)
        groups.append(atoms[begin:end])
        begin = end
    return groups


def _good_end(atoms: Sequence[Piece], begin: int, end: int, longest_s: float) -> int:
    """An end in the later half of ``begin:end`` that reads well, or one that leaves no orphaned word."""
    half = width(_join(atoms[begin:end])) / 2
    candidates = [i for i in range(end, begin, -1) if width(_join(atoms[begin:i])) >= half]
    for marks in (_SENTENCE_END, _CLAUSE_END):
        for i in candidates:
            if atoms[i - 1].text.rstrip(_CLOSING).endswith(marks):
                return i
    rest = atoms[begin:]
    if len(rest) <= 2 * (end - begin):
        middle = width(_join(rest)) / 2
        for i in candidates:
            if width(_join(atoms[begin:i])) <= middle and _fits(atoms[i:], longest_s):
                return i
    return end
