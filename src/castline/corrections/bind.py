"""Finds where a correction belongs: ids and borders change from run to run, times and words hardly do."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

from castline.assembly import words_of
from castline.records import FacesCorrection, HeardLine, LinesCorrection, Person, Range, Segment, Sighting, Track, Word

Span = tuple[float, float]

# A line that is transcribed again overlaps by half of the shorter one; a line with other words is also cut at the same
# places, and has half of its words in common with the original or with its correction.
_OVERLAP, _SAME_CUT, _SAME_WORDS = 0.5, 0.6, 0.5
# The same face is at the same place at nearly the same time.
_APART_S, _SAME_PLACE = 1.5, 0.4
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(f"[{_SPACELESS}]|[^\\s{_SPACELESS}]+")


class Spoken(NamedTuple):
    """A word and its position: number of its segment, and index in it."""

    word: Word
    segment: int
    place: int


def spoken(segments: Sequence[Segment]) -> list[Spoken]:
    """All words in order, with estimated times if they have none."""
    return [
        Spoken(word, number, place)
        for number, segment in enumerate(segments)
        for place, word in enumerate(words_of(segment))
    ]


def tokens(text: str) -> list[str]:
    """A text split into words to compare and time: at white space, and by character in scripts without any."""
    return _TOKEN.findall(text)


def letters(text: str) -> str:
    """The text for comparison, without case and punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LNM")


def place_lines(
    corrections: Sequence[LinesCorrection], words: Sequence[Spoken], segments: Sequence[Segment]
) -> dict[str, tuple[int, int]]:
    """First and last word of the text that each correction replaces, by its id; without those that fit nothing.

    The same words at the same time are searched first, wherever a line begins now. The remaining corrections belong to
    lines that are cut at the same places and have most of their words. No word belongs to two corrections.
    """
    placed: dict[str, tuple[int, int]] = {}
    taken: set[int] = set()
    for find in (_same_words, _same_lines):
        for correction in corrections:
            if correction.id in placed:
                continue
            found = find(correction, words, segments)
            if found and taken.isdisjoint(range(found[0], found[1] + 1)):
                placed[correction.id] = found
                taken.update(range(found[0], found[1] + 1))
    return placed


def _same_words(
    correction: LinesCorrection, words: Sequence[Spoken], _segments: Sequence[Segment]
) -> tuple[int, int] | None:
    wanted = letters(" ".join(line.text for line in correction.heard))
    if not wanted:
        return None
    then = span_of(correction.heard)
    around = [
        at
        for at, each in enumerate(words)
        if each.word.end_s >= then[0] - (then[1] - then[0]) and each.word.start_s <= then[1] + (then[1] - then[0])
    ]
    if not around:
        return None
    first = around[0]
    pieces = [letters(each.word.text) for each in words[first : around[-1] + 1]]
    text = "".join(pieces)
    begins = [0, *accumulate(map(len, pieces))][:-1]
    best: tuple[float, int, int] | None = None
    for begin in _occurrences(wanted, text):
        end = begin + len(wanted)
        # Separate punctuation belongs to the words before it.
        one = bisect_left(begins, begin)
        while one < len(pieces) and not pieces[one]:
            one += 1
        last = bisect_left(begins, end) - 1
        if one >= len(pieces) or begins[one] != begin or begins[last] + len(pieces[last]) != end:
            continue
        now = words[first + one].word.start_s, words[first + last].word.end_s
        share = _overlap(now, then)
        if share >= _OVERLAP and (best is None or share > best[0]):
            best = share, first + one, first + last
    return best and (best[1], best[2])


def _occurrences(wanted: str, text: str) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)


def _same_lines(
    correction: LinesCorrection, words: Sequence[Spoken], segments: Sequence[Segment]
) -> tuple[int, int] | None:
    then = span_of(correction.heard)
    inside = [
        number
        for number, segment in enumerate(segments)
        if then[0] <= (segment.start_s + segment.end_s) / 2 <= then[1]
        or segment.start_s <= (then[0] + then[1]) / 2 <= segment.end_s
    ]
    if not inside or inside[-1] - inside[0] >= len(inside):
        return None
    now = segments[inside[0]].start_s, max(segments[number].end_s for number in inside)
    if _shared(now, then) < _SAME_CUT:
        return None
    text = " ".join(segments[number].text for number in inside)
    known = (" ".join(line.text for line in lines) for lines in (correction.heard, correction.said))
    if max(map(_likeness, known, (text, text))) < _SAME_WORDS:
        return None
    places = [at for at, each in enumerate(words) if inside[0] <= each.segment <= inside[-1]]
    return (places[0], places[-1]) if places else None


def _likeness(one: str, other: str) -> float:
    """0..1: the share of words that two texts have in common, in order."""
    mine, theirs = ([letters(word) for word in tokens(text)] for text in (one, other))
    return SequenceMatcher(None, mine, theirs, autojunk=False).ratio()


def span_of(lines: Sequence[HeardLine]) -> Span:
    return lines[0].start_s, max(line.end_s for line in lines)


def overlap_s(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _overlap(one: Span, other: Span) -> float:
    """The share of the shorter span that is in the other; an instant is inside or not."""
    shorter = min(one[1] - one[0], other[1] - other[0])
    if shorter <= 0:
        return float(one[0] <= other[1] and other[0] <= one[1])
    return overlap_s(one, other) / shorter


def _shared(one: Span, other: Span) -> float:
    """The share that two spans have in common of both together."""
    whole = max(one[1], other[1]) - min(one[0], other[0])
    return overlap_s(one, other) / whole if whole > 0 else 1.0


def place_voice(at: Sequence[Range], segments: Sequence[Segment], speakers: Sequence[str | None]) -> str | None:
    """The voice that says most of what a voice said in another run; None if none says half of it."""
    shares: dict[str, float] = {}
    for segment, speaker in zip(segments, speakers, strict=True):
        if speaker:
            said = sum(overlap_s((segment.start_s, segment.end_s), (line.start_s, line.end_s)) for line in at)
            shares[speaker] = shares.get(speaker, 0.0) + said
    whole = sum(line.end_s - line.start_s for line in at)
    best = min(shares, key=lambda name: (-shares[name], name), default=None)
    return best if best is not None and shares[best] * 2 > whole else None


def place_faces(correction: FacesCorrection, people: Sequence[Person]) -> list[str]:
    """Ids of the appearances that a correction is about; empty if most of its sightings are not found."""
    found: list[str] = []
    on_any = 0
    for person in people:
        for track in person.tracks:
            meanwhile = [
                each for each in correction.seen if track.start_s - _APART_S <= each.time_s <= track.end_s + _APART_S
            ]
            on = sum(_is_on(each, track) for each in meanwhile)
            if on and 2 * on >= len(meanwhile):
                found.append(track.id)
                on_any += on
    return found if 2 * on_any >= len(correction.seen) else []


def _is_on(seen: Sighting, track: Track) -> bool:
    nearest = min(track.sightings, key=lambda each: abs(each.time_s - seen.time_s), default=None)
    return (
        nearest is not None
        and abs(nearest.time_s - seen.time_s) <= _APART_S
        and _same_place(nearest, seen) >= _SAME_PLACE
    )


def _same_place(one: Sighting, other: Sighting) -> float:
    """Intersection over union of two boxes."""
    width = overlap_s((one.box[0], one.box[2]), (other.box[0], other.box[2]))
    height = overlap_s((one.box[1], one.box[3]), (other.box[1], other.box[3]))
    both = width * height
    areas = sum((each.box[2] - each.box[0]) * (each.box[3] - each.box[1]) for each in (one, other))
    return both / (areas - both) if areas > both else 0.0
