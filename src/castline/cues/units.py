"""The units of cues: stretches of text that no line break may cut, over all segments of a transcript."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from castline.cues.pieces import Piece, pieces
from castline.cues.text import clean, width
from castline.records import SpokenSegment
from castline.sentences import CLOSING, ends

#: The limit of Netflix's Timed Text Style Guide for Latin scripts: it fits a television's title-safe width. That allows
#: 21 wide characters.
LINE_CHARS = 42

_CLAUSE_END = tuple(",;:—、，；：،؛")
# Characters with which no line of Japanese or Chinese begins, besides closing punctuation (JIS X 4051).
_NO_START = frozenset("ーゝゞヽヾ々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")


@dataclass(frozen=True, slots=True)
class Unit(Piece):
    """Attributes:
    start_s: never later than that of the next unit; end_s may be.
    ends: ``sentence`` or ``clause`` if one ends with it, else empty. The end of a segment counts at least as that of a
        clause, because many transcripts have no punctuation.
    segment: number of its segment in the transcript.
    timed: whether its segment's words have times; otherwise times inside the segment are guesses.
        visible, speaker: of its segment.
    """

    ends: str = ""
    segment: int = 0
    timed: bool = True
    visible: str | None = None
    speaker: str | None = None

    def pause_before(self, following: Unit) -> float:
        """Seconds of silence between this unit and the next; 0 if the times are guesses."""
        if self.segment == following.segment and not self.timed:
            return 0.0
        return max(0.0, following.start_s - self.end_s)


def units(segments: Iterable[SpokenSegment], language: str | None) -> list[Unit]:
    """The text of all segments in their order; suspected hallucinations and empty segments are left out.

    A unit is normally a word. If it is longer than a line, it is cut. Text without spaces is cut between words only in
    Japanese and Chinese, because elsewhere the pieces may be halves of words.
    """
    found = _in_order(list(_pieces(segments)))
    sentence_ends = ends([(" " if unit.space else "") + unit.text for unit in found], language)
    glued: list[Unit] = []
    for unit, ends_here in zip(found, sentence_ends, strict=True):
        clause = unit.ends or unit.text.rstrip(CLOSING).endswith(_CLAUSE_END)
        marked = replace(unit, ends="sentence" if ends_here else "clause" if clause else "")
        if glued and not unit.space and _one(glued[-1].text, unit.text):
            glued[-1] = replace(glued[-1], text=glued[-1].text + unit.text, end_s=unit.end_s, ends=marked.ends)
        else:
            glued.extend(_hard_split(marked))
    return glued


def _in_order(found: Sequence[Unit]) -> list[Unit]:
    """Units whose starts never go back: one that begins after the next unit begins with it."""
    row: list[Unit] = []
    for unit in reversed(found):
        late = row and unit.start_s > row[-1].start_s
        row.append(replace(unit, start_s=row[-1].start_s) if late else unit)
    return row[::-1]


def _pieces(segments: Iterable[SpokenSegment]) -> Iterator[Unit]:
    for number, segment in enumerate(segments):
        cut = () if segment.suspect else pieces(segment)
        for at, piece in enumerate(cut, start=1):
            yield Unit(
                piece.text,
                piece.start_s,
                piece.end_s,
                space=piece.space or at == 1,
                ends="clause" if at == len(cut) else "",
                segment=number,
                timed=segment.spelled,
                visible=clean(segment.visible or "") or None,
                speaker=segment.speaker,
            )


def _one(left: str, right: str) -> bool:
    """Whether a line must not break between two pieces without a space between them."""
    if width(left + right) > LINE_CHARS:
        return False
    if not (_is_cjk(left[-1]) or _is_cjk(right[0])):
        return True
    return (
        right[0] in _NO_START
        or unicodedata.category(right[0]) in ("Pe", "Pf", "Po", "Mn", "Mc")
        or unicodedata.category(left[-1]) in ("Ps", "Pi")
    )


def _is_cjk(char: str) -> bool:
    """Kana, Chinese characters, and their punctuation; Korean is written with spaces."""
    return "\u3000" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef"


def _hard_split(unit: Unit) -> list[Unit]:
    """A unit wider than a line, cut into lines, each with its share of the time."""
    chunks: list[str] = [""]
    for char in unit.text:
        if width(chunks[-1] + char) > LINE_CHARS:
            chunks.append("")
        chunks[-1] += char
    if len(chunks) == 1:
        return [unit]
    split: list[Unit] = []
    done = 0
    per_char = (unit.end_s - unit.start_s) / len(unit.text)
    for chunk in chunks:
        start, done = unit.start_s + done * per_char, done + len(chunk)
        end = min(unit.start_s + done * per_char, unit.end_s)
        split.append(replace(unit, text=chunk, start_s=start, end_s=end, space=unit.space and not split, ends=""))
    return [*split[:-1], replace(split[-1], ends=unit.ends)]


def runs(found: Sequence[Unit], pause_s: float) -> Iterator[Sequence[Unit]]:
    """Runs of units between places where every cue ends: a long silence, or somebody else on screen or speaking."""
    begin = 0
    for at, (unit, following) in enumerate(pairwise(found), start=1):
        who = (unit.visible, unit.speaker) != (following.visible, following.speaker)
        if who or unit.pause_before(following) >= pause_s:
            yield found[begin:at]
            begin = at
    if found:
        yield found[begin:]
