"""Compares words with where somebody speaks: finds speech that no word covers, and corrects words' times.

Pure functions on times. A stretch is ``(start_s, end_s)``, as ``voice.stretches`` finds them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from castline.engines.speech.voice import Stretch
from castline.records import Word, merge_ranges

#: Speech of this length between two words is more than an error of the detector: something was not transcribed.
_UNREAD_S = 0.8
#: A word that seems to last longer also covers something else: untranscribed speech, or a pause.
LONGEST_WORD_S = 0.9
#: A word may begin or end this far outside detected speech.
_EDGE_S = 0.2
#: A word this long after the end of speech belongs to that speech.
_LATE_S = 3.0
#: Pauses up to this length may occur inside a word.
_INSIDE_S = 0.3


def uncovered(spoken: Sequence[Stretch], words: Sequence[Word]) -> list[Stretch]:
    """Speech of at least 0.8 s between two words (or before or after all of them) that no word covers.

    Args:
        spoken: where somebody speaks, as ``voice.stretches`` says.
        words: in order of time.
    """
    found: list[Stretch] = []
    starts = [start for start, _ in spoken]
    end = 0.0
    for start_s, end_s in [*((word.start_s, word.end_s) for word in words), (math.inf, math.inf)]:
        if start_s > end:
            first = max(0, bisect_right(starts, end) - 1)
            inside = [
                (max(start, end), min(until, start_s))
                for start, until in spoken[first : bisect_right(starts, start_s)]
                if min(until, start_s) - max(start, end) > _EDGE_S
            ]
            if sum(until - start for start, until in inside) >= _UNREAD_S:
                found.append((inside[0][0], inside[-1][1]))
        end = max(end, min(end_s, start_s + LONGEST_WORD_S))
    return found


def bounded(unread: Iterable[Stretch], longest_s: float) -> Iterator[Stretch]:
    """The same stretches, cut evenly if they would be longer than ``longest_s`` seconds."""
    for start, end in unread:
        count = max(1, math.ceil((end - start) / longest_s))
        step = (end - start) / count
        yield from ((start + number * step, start + (number + 1) * step) for number in range(count))


def within_speech(words: Sequence[Word], spoken: Sequence[Stretch], length_s: float) -> list[Word]:
    """The words with their times clipped to where somebody speaks, none overlapping the next.

    The attention that gives words their times extends into the pause after a sentence: its last word seems to last
    until the next one begins, or to come after the end of speech, and the word before it takes its time.

    Args:
        words: in order of time.
        length_s: where the audio ends.
    """
    runs = joined(spoken)
    starts = [start for start, _ in runs]
    found: list[Word] = []
    ends = 0.0  # of the run that contains the word before
    for number, word in enumerate(words):
        start, end = word.start_s, word.end_s
        near = runs[max(0, bisect_right(starts, start) - 1) : bisect_right(starts, end + _EDGE_S)]
        inside = max(near, key=lambda run: (min(end, run[1]) - max(start, run[0]), -run[0]), default=None)
        if inside and start < inside[1] and end > inside[0] - _EDGE_S:
            start, end, ends = max(start, inside[0] - _EDGE_S), min(end, inside[1] + _EDGE_S), inside[1]
        elif found and found[-1].start_s < ends <= start <= ends + _LATE_S:
            before = found.pop()
            begin, until = before.start_s, min(ends + _EDGE_S, length_s)
            middle = begin + (until - begin) * len(before.text) / len(before.text + word.text)
            found.append(moved(before, begin, middle))
            start, end = middle, until
        following = words[number + 1].start_s if number + 1 < len(words) else math.inf
        if start < following:
            end = min(end, following)
        start = min(start, length_s)
        found.append(moved(word, start, max(start, min(end, length_s))))
    return found


def moved(word: Word, start_s: float, end_s: float) -> Word:
    """The word with other times."""
    return word.model_copy(update={"start_s": round(start_s, 3), "end_s": round(end_s, 3)})


def joined(spoken: Sequence[Stretch]) -> list[Stretch]:
    """Stretches joined across short pauses."""
    return merge_ranges(spoken, _INSIDE_S)


def in_speech(words: Sequence[Word], runs: Sequence[Stretch]) -> float:
    """The share of the words' time in which somebody speaks, 0..1; 0 for words that take no time."""
    start, end = words[0].start_s, words[-1].end_s
    near = runs[max(0, bisect_right(runs, (start, math.inf)) - 1) : bisect_right(runs, (end, math.inf))]
    spoken = sum(max(0.0, min(word.end_s, until) - max(word.start_s, begin)) for word in words for begin, until in near)
    length = sum(word.end_s - word.start_s for word in words)
    return min(1.0, spoken / length) if length else 0.0
