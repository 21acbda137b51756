"""One transcript from chunks: media times, and no word lost or doubled where a chunk was cut hard."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from castline.records import AudioPart, AudioUnit, Segment, Word

_NOT_WORD = re.compile(r"[^\w']+")
# Thai, Lao, Burmese, Khmer, kana and Chinese characters are written without spaces: each counts as a word.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(f"[{_SPACELESS}]|[^\\s{_SPACELESS}]+")
_APART_S = 0.5  # two hearings of one word lie closer than this …
_GUESSED_APART_S = 2.0  # … or than this, where the engine gave no word times and they are estimates
_CENTRE = 0.25  # without a common word, the switch is made within this share of the overlap around its middle


def stitch(chunks: Sequence[tuple[AudioUnit, AudioPart]]) -> list[Segment]:
    """Segments of all chunks in media time.

    Args:
        chunks: in order of time. After a hard cut the next chunk overlaps; the overlap is heard twice.
    """
    segments: list[Segment] = []
    previous: AudioUnit | None = None
    for unit, part in chunks:
        mine = [_shift(segment, unit.start_s) for segment in part.segments]
        if previous is not None and previous.hard_cut and unit.start_s < previous.end_s:
            first = bisect_right(segments, unit.start_s, key=lambda segment: segment.end_s)
            segments[first:], mine = _join_overlap(segments[first:], mine, unit.start_s, previous.end_s)
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


def _join_overlap(
    before: list[Segment], after: list[Segment], start_s: float, end_s: float
) -> tuple[list[Segment], list[Segment]]:
    """Decide for every word heard in ``[start_s, end_s)`` by both chunks which chunk says it.

    Words at the very edge of a chunk are the least certain. So the switch is made at the word both
    heard that lies nearest to the middle; where they agree on none, in the pause nearest to it.
    """
    middle = (start_s + end_s) / 2
    old = [word for segment in before for word in _words(segment) if word.end_s > start_s]
    new = [word for segment in after for word in _words(segment) if word.start_s < end_s]
    guessed = any(not segment.words for segment in (*before, *after))
    shared = _heard_by_both(old, new, _GUESSED_APART_S if guessed else _APART_S)
    if shared:
        last, same = min(shared, key=lambda pair: abs(_mid(pair[0]) - middle))
        old_limit, new_limit = _mid(last), _mid(same)
        return _cut(before, lambda word: _mid(word) <= old_limit), _cut(after, lambda word: _mid(word) > new_limit)
    at = _pause((*old, *new), middle, (end_s - start_s) * _CENTRE)
    return _cut(before, lambda word: _mid(word) < at), _cut(after, lambda word: _mid(word) >= at)


def _heard_by_both(old: Sequence[Word], new: Sequence[Word], apart_s: float) -> list[tuple[Word, Word]]:
    """Pairs of equal words, in order in both, that together are nearest in time.

    The longest common subsequence with closeness for its weights: "yes yes yes" heard from its second
    word on must pair by time, and not first with first.
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
        pairs.append((old[i - 1], new[j - 1]))
        _, i, j = best[i - 1][j - 1]
    return pairs[::-1]


def _pause(words: Sequence[Word], middle: float, within_s: float) -> float:
    """The time nearest to ``middle`` at which the fewest of the words are being said."""
    edges = [edge for word in words for edge in (word.start_s, word.end_s) if abs(edge - middle) <= within_s]
    return min(
        (middle, *edges), key=lambda at: (sum(word.start_s < at < word.end_s for word in words), abs(at - middle))
    )


def _words(segment: Segment) -> tuple[Word, ...]:
    """A segment's words; where the engine has no word times, estimates: its text spread by length."""
    if segment.words:
        return segment.words
    found = list(_TOKEN.finditer(segment.text))
    if not found:
        return (Word(start_s=segment.start_s, end_s=segment.end_s, text=segment.text),)
    second = (segment.end_s - segment.start_s) / len(segment.text)
    return tuple(
        Word(
            start_s=round(segment.start_s + match.start() * second, 3),
            end_s=round(segment.start_s + match.end() * second, 3),
            text=match[0],
        )
        for match in found
    )


def _cut(segments: list[Segment], keep: Callable[[Word], bool]) -> list[Segment]:
    result = []
    for segment in segments:
        all_words = _words(segment)
        words = tuple(word for word in all_words if keep(word))
        if len(words) == len(all_words):
            result.append(segment)
        elif words:
            changed = {
                "words": words if segment.words else (),
                "text": _excerpt(segment.text, all_words, words),
                "start_s": words[0].start_s,
                "end_s": words[-1].end_s,
            }
            result.append(segment.model_copy(update=changed))
    return result


def _excerpt(text: str, words: Sequence[Word], kept: Sequence[Word]) -> str:
    """What stands of the kept words in the text, with its own spaces and punctuation."""
    starts, at = [], 0
    for word in words:
        at = text.find(word.text.strip(), at)
        if at < 0:  # the text is not made of the words
            return " ".join(word.text.strip() for word in kept)
        starts.append(at)
        at += len(word.text.strip())
    first, last = words.index(kept[0]), words.index(kept[-1])
    return text[starts[first] : starts[last + 1] if last + 1 < len(words) else None].strip()


def _mid(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _norm(word: Word) -> str:
    return _NOT_WORD.sub("", word.text.lower())
