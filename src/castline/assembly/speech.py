"""One transcript from chunks: media times, and no word lost or doubled where a chunk was cut hard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from castline.records import AudioPart, AudioUnit, Segment, Word

_NOT_WORD = re.compile(r"[^\w']+")


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
            segments, mine = _join_overlap(segments, mine, unit.start_s, previous.end_s)
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
    heard that lies nearest to the middle; where they agree on none, at the middle.
    """
    middle = (start_s + end_s) / 2
    old = [word for segment in before for word in _words(segment) if word.end_s > start_s]
    new = [word for segment in after for word in _words(segment) if word.start_s < end_s]
    matcher = SequenceMatcher(None, [_norm(word) for word in old], [_norm(word) for word in new], autojunk=False)
    shared = [
        (old[block.a + at], new[block.b + at])
        for block in matcher.get_matching_blocks()
        for at in range(block.size)
        if abs(_mid(old[block.a + at]) - _mid(new[block.b + at])) < 0.5
    ]
    if shared:
        last, same = min(shared, key=lambda pair: abs(_mid(pair[0]) - middle))
        old_limit, new_limit = _mid(last), _mid(same)
        return _cut(before, lambda word: _mid(word) <= old_limit), _cut(after, lambda word: _mid(word) > new_limit)
    return _cut(before, lambda word: _mid(word) < middle), _cut(after, lambda word: _mid(word) >= middle)


def _words(segment: Segment) -> tuple[Word, ...]:
    """A segment's words; an engine without word times gives one word, the segment."""
    return segment.words or (Word(start_s=segment.start_s, end_s=segment.end_s, text=segment.text),)


def _cut(segments: list[Segment], keep: Callable[[Word], bool]) -> list[Segment]:
    result = []
    for segment in segments:
        words = tuple(word for word in _words(segment) if keep(word))
        if not words:
            continue
        if len(words) == len(_words(segment)):
            result.append(segment)
            continue
        text = " ".join(word.text.strip() for word in words)
        changed = {"words": words, "text": text, "start_s": words[0].start_s, "end_s": words[-1].end_s}
        result.append(segment.model_copy(update=changed))
    return result


def _mid(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _norm(word: Word) -> str:
    return _NOT_WORD.sub("", word.text.lower())
