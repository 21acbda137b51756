"""One transcript from chunks: media times, and no word lost or doubled where a chunk was cut hard."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from castline.records import AudioPart, AudioUnit, Segment, Word, spell
from castline.sentences import ends

S = TypeVar("S", bound=Segment)

_NOT_WORD = re.compile(r"[^\w']+")
# Thai, Lao, Burmese, Khmer, kana and Chinese characters are written without spaces: each counts as a word.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(f"[{_SPACELESS}]|[^\\s{_SPACELESS}]+")
_SPACED = re.compile(f"[{_SPACELESS}]{{2}}")  # no space is written between these
_APART_S = 0.8  # two transcriptions of one word are closer than this …
_GUESSED_APART_S = 2.0  # … or than this, if word times are estimates because the engine gave none
_TOUCH_S = 0.05  # words that overlap by no more than this are consecutive
_EDGE_S, _BEYOND_S = 0.3, 0.5  # a word this near to a cut may continue for so long beyond it
# The longest pause within a sentence, and the longest segment: the limits by which the engines cut.
_SENTENCE_PAUSE_S, _LONGEST_S = 0.8, 12.0


def stitch(chunks: Sequence[tuple[AudioUnit, AudioPart]]) -> list[Segment]:
    """Segments of all chunks in media time.

    Args:
        chunks: in order of time. After a hard cut the next chunk overlaps; the overlap is transcribed twice.
    """
    segments: list[Segment] = []
    previous: AudioUnit | None = None
    for unit, part in chunks:
        mine = [_shift(segment, unit.start_s) for segment in part.segments]
        if previous is not None and previous.hard_cut and unit.start_s < previous.end_s:
            first = bisect_right(segments, unit.start_s, key=lambda segment: segment.end_s)
            last = bisect_left(mine, previous.end_s, key=lambda segment: segment.start_s)
            both = _join_overlap(segments[first:], mine[:last], unit.start_s, previous.end_s)
            segments[first:], mine = both, mine[last:]
            if mine and segments:
                segments[-1:], mine[:1] = _joined([segments[-1], mine[0]]), []
        segments += mine
        previous = unit
    return segments


def _shift(segment: Segment, by_s: float) -> Segment:
    words = tuple(
        word.model_copy(update={"start_s": round(word.start_s + by_s, 3), "end_s": round(word.end_s + by_s, 3)})
        for word in segment.words
    )
    moved = {"start_s": round(segment.start_s + by_s, 3), "end_s": round(segment.end_s + by_s, 3), "words": words}
    return segment.model_copy(update=moved)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A word and its position: its segment, counted over both chunks, and its index in that segment."""

    word: Word
    segment: int
    place: int


def _join_overlap(before: list[Segment], after: list[Segment], start_s: float, end_s: float) -> list[Segment]:
    """What was said in ``[start_s, end_s)``, which both chunks contain: the union of their words.

    A word in both is kept once, as the chunk with more context has it. A word in only one of them is kept, unless the
    other has a different word at the same time; then the chunk whose edge is further away wins.
    """
    middle = (start_s + end_s) / 2
    sources = [*before, *after]
    heard = [
        [_Heard(word, number, place) for place, word in enumerate(words_of(segment))]
        for number, segment in enumerate(sources)
    ]
    old = [item for items in heard[: len(before)] for item in items]
    new = [item for items in heard[len(before) :] for item in items]
    guessed = any(not segment.words for segment in sources)
    shared = _heard_by_both(
        [item.word for item in old], [item.word for item in new], _GUESSED_APART_S if guessed else _APART_S
    )
    said: list[_Heard] = []
    first_old = first_new = 0
    for at_old, at_new in (*shared, (len(old), len(new))):
        said += _union(old[first_old:at_old], new[first_new:at_new], (start_s, end_s))
        if at_old < len(old):
            said.append(old[at_old] if _mid(old[at_old].word) < middle else new[at_new])
        first_old, first_new = at_old + 1, at_new + 1
    return _joined([piece for run in _runs(said) for piece in _piece(sources, heard, run)])


def _union(old: Sequence[_Heard], new: Sequence[_Heard], overlap: tuple[float, float]) -> list[_Heard]:
    """The words between two shared words, in order of time; where both chunks have words at once, one of them wins."""
    said: list[_Heard] = []
    for mine, theirs in _clusters(old, new, overlap):
        if mine and theirs:
            at = _pause([item.word for item in (*mine, *theirs)], sum(overlap) / 2)
            said += [item for item in mine if _mid(item.word) < at]
            said += [item for item in theirs if _mid(item.word) >= at]
        else:
            said += mine or theirs
    return said


def _clusters(
    old: Sequence[_Heard], new: Sequence[_Heard], overlap: tuple[float, float]
) -> list[tuple[list[_Heard], list[_Heard]]]:
    """Groups of words that overlap in time, directly or through others.

    A word at the very edge of its chunk is probably the beginning or end of one that extends beyond it.
    """
    first, last = overlap
    spans = [
        (item.word.start_s, item.word.end_s + _BEYOND_S * (item.word.end_s > last - _EDGE_S), 0, item) for item in old
    ]
    spans += [
        (item.word.start_s - _BEYOND_S * (item.word.start_s < first + _EDGE_S), item.word.end_s, 1, item)
        for item in new
    ]
    clusters: list[tuple[list[_Heard], list[_Heard]]] = []
    end = -math.inf
    for start, until, side, item in sorted(spans, key=lambda span: span[:3]):
        if start >= end - _TOUCH_S:
            clusters.append(([], []))
        clusters[-1][side].append(item)
        end = max(end, until)
    return clusters


def _runs(said: Sequence[_Heard]) -> list[list[_Heard]]:
    """Groups of consecutive words of one segment."""
    runs: list[list[_Heard]] = []
    for item in said:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.segment, last.place + 1) == (item.segment, item.place):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _piece(sources: Sequence[Segment], heard: Sequence[Sequence[_Heard]], run: Sequence[_Heard]) -> list[Segment]:
    """The part of a segment that consists of a run of its words."""
    segment = sources[run[0].segment]
    if len(run) == len(heard[run[0].segment]):
        return [segment]
    words = tuple(item.word for item in run)
    piece = excerpt(segment, words)
    times = {"start_s": words[0].start_s, "end_s": words[-1].end_s}
    return [piece.model_copy(update=times)] if piece.text else []


def _joined(pieces: Sequence[Segment]) -> list[Segment]:
    """Pieces of one sentence as one segment."""
    result: list[Segment] = []
    for piece in pieces:
        if result and _goes_on(result[-1], piece):
            result[-1] = _together(result[-1], piece)
        else:
            result.append(piece)
    return result


def _goes_on(one: Segment, other: Segment) -> bool:
    same = bool(one.words) == bool(other.words) and (one.suspect, one.language) == (other.suspect, other.language)
    near = other.start_s - one.end_s <= _SENTENCE_PAUSE_S and other.end_s - one.start_s <= _LONGEST_S
    return same and near and not ends([one.text, f" {other.text}"], one.language)[0]


def _together(one: Segment, other: Segment) -> Segment:
    space = "" if _SPACED.search(one.text[-1:] + other.text[:1]) else " "
    following = [word.model_copy(update={"space": space}) for word in other.words[:1]]
    weights = (max(1, len(one.words)), max(1, len(other.words)))

    def mean(mine: float | None, theirs: float | None) -> float | None:
        if mine is None or theirs is None:
            return mine if theirs is None else theirs
        return round((mine * weights[0] + theirs * weights[1]) / sum(weights), 4)

    return one.model_copy(
        update={
            "end_s": max(one.end_s, other.end_s),
            "text": f"{one.text}{space}{other.text}",
            "words": (*one.words, *following, *other.words[1:]),
            "avg_logprob": mean(one.avg_logprob, other.avg_logprob),
            "no_speech_prob": mean(one.no_speech_prob, other.no_speech_prob),
            "compression_ratio": mean(one.compression_ratio, other.compression_ratio),
        }
    )


def _heard_by_both(old: Sequence[Word], new: Sequence[Word], apart_s: float) -> list[tuple[int, int]]:
    """Index pairs of equal words, in order in both, that are nearest in time overall.

    The longest common subsequence, weighted by closeness in time: if one chunk begins with the second "yes" of "yes yes
    yes", words must pair by time, and not first with first.
    """
    best: list[list[tuple[float, int, int]]] = [[(0.0, -1, -1)] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, mine in enumerate(old, 1):
        for j, other in enumerate(new, 1):
            best[i][j] = max(best[i - 1][j], best[i][j - 1])
            close = 1 - abs(_mid(mine) - _mid(other)) / apart_s
            if close > 0 and _norm(mine) == _norm(other):
                best[i][j] = max(best[i][j], (best[i - 1][j - 1][0] + close, i, j))
    pairs = []
    _, i, j = best[-1][-1]
    while i > 0:
        pairs.append((i - 1, j - 1))
        _, i, j = best[i - 1][j - 1]
    return pairs[::-1]


def _pause(words: Sequence[Word], middle: float) -> float:
    """The time nearest to ``middle`` at which the fewest of the words are being said."""
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    if not min(edges) < middle < max(edges):
        return middle
    return min(
        (middle, *edges), key=lambda at: (sum(word.start_s < at < word.end_s for word in words), abs(at - middle))
    )


def words_of(segment: Segment) -> tuple[Word, ...]:
    """A segment's words. If the engine gave no word times, they are estimated: the text is spread by length."""
    if segment.words:
        return segment.words
    found = list(_TOKEN.finditer(segment.text))
    ends_at = (0, *(match.end() for match in found))
    if not found:
        return (Word(start_s=segment.start_s, end_s=segment.end_s, text=segment.text),)
    second = (segment.end_s - segment.start_s) / len(segment.text)
    return tuple(
        Word(
            start_s=round(segment.start_s + match.start() * second, 3),
            end_s=round(segment.start_s + match.end() * second, 3),
            text=match[0],
            space=segment.text[before : match.start()],
        )
        for before, match in zip(ends_at, found, strict=False)
    )


def excerpt(segment: S, words: Sequence[Word]) -> S:
    """A segment reduced to some of its `words_of`."""
    return segment.model_copy(update={"text": spell(words), "words": tuple(words) if segment.words else ()})


def _mid(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _norm(word: Word) -> str:
    return _NOT_WORD.sub("", word.text.lower())
