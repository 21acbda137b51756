"""Which words share a cue, and where its lines break.

Of all ways to cut the words into cues that fit, the cheapest is chosen (`_cost`), found by dynamic programming as in D.
Knuth and M. Plass, "Breaking Paragraphs into Lines", 1981. The costs follow Netflix's Timed Text Style Guide (general
requirements) and the BBC's Subtitle Guidelines: cues that are shown too briefly, single words, text faster than
reading, and cues that end inside a sentence or clause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from castline.cues.text import width
from castline.cues.timing import GAP_MS, MAX_CUE_MS, MIN_READ_MS, Timed, lay_out, reading_ms_of
from castline.cues.units import LINE_CHARS, Unit, runs, units
from castline.records import Cue, SpokenSegment

LINES = 2
#: A silence that ends a cue: the BBC asks for at least one second where there is a gap between cues. Across a longer
#: silence, words would be shown long before they are said.
PAUSE_MS = 1000
#: A single word of at most this many columns is not a cue of its own if it can be joined.
ORPHAN_CHARS = 10

# Faults of a cue, in one currency. The first two outweigh everything else together, in this order: a cue that can be
# joined never stays too short, nor an orphan. The rest is ours, set by reading subtitles of speech.
_TOO_SHORT = 10_000  # for each millisecond below MIN_READ_MS
_ORPHAN = 5_000
_TOO_FAST = 2  # for each millisecond by which reading takes longer
_CUT = {"sentence": 0, "clause": 300, "": 800}  # for each cue; a pause at its end reduces this by its milliseconds
# For a segment, or a sentence with known times, that ends within a cue. A pause adds half its milliseconds.
_WHOLE_INSIDE = 400
_EMPTY = 300  # for a cue without text; half full, a quarter of this. Cues of even length cost the least
# Columns of unevenness that a break after a sentence or clause is worth.
_UNEVEN = {"sentence": 0, "clause": 8, "": 16}


def cues_of(segments: Iterable[SpokenSegment], language: str | None = None) -> tuple[Cue, ...]:
    """The subtitles of a transcript, in order of time; none overlaps another.

    Their text is that of all segments but suspected hallucinations, in the order given: nothing is left out or
    added. Cues have at most `LINES` lines of `LINE_CHARS` columns. Segments share one where the same person is
    on screen and the silence between them is short.

    A cue is shown for `MIN_READ_MS` at least, and for as long as reading takes (`timing.MAX_CPS`), unless that is
    impossible:

    - It is shorter only if the next cue begins earlier and it can be joined with neither neighbour: their text
      does not fit, or takes longer than ``MAX_CUE_MS``, or somebody else is on screen, or there is a silence.
    - It is faster only if it takes all the silence around it: speech can be faster than reading. Nothing is left out
        then; if a neighbour has time to spare, the two are joined.

    A cue's words take longer than ``MAX_CUE_MS`` only if the engine gives such times for a single word, or for a
    segment without word times: these are guesses, good enough to place a cut but not to require one.

    Args:
        segments: in order of time. If two overlap, the first is shortened.
        language: of the transcript, for the ends of sentences; None if unknown.
    """
    found = units(segments, language)
    drafts: list[Timed] = []
    done = 0
    for run in runs(found, PAUSE_MS / 1000):
        done += len(run)
        next_ms = round(found[done].start_s * 1000) if done < len(found) else None
        drafts += (
            Timed(
                round(group[0].start_s * 1000),
                round(group[-1].end_s * 1000),
                _lines(group),
                visible=group[0].visible,
                speaker=group[0].speaker,
            )
            for group in _groups(run, next_ms)
        )
    return tuple(
        Cue(
            start_s=cue.start_ms / 1000,
            end_s=cue.end_ms / 1000,
            lines=cue.lines,
            visible=cue.visible,
            speaker=cue.speaker,
        )
        for cue in lay_out(drafts)
    )


class _Run:
    """Sums over the units of a run, so that every stretch of it is measured by two look-ups."""

    def __init__(self, run: Sequence[Unit], next_ms: int | None) -> None:
        self.count = len(run)
        self.starts = [round(unit.start_s * 1000) for unit in run]
        self.ends = [round(unit.end_s * 1000) for unit in run]
        self.nexts: list[int | None] = [*self.starts[1:], next_ms]
        self.spaces = [unit.space for unit in run]
        self.columns = [0, *accumulate(width(unit.text) + unit.space for unit in run)]
        self.spaced = [0, *accumulate(self.spaces)]
        self.guessed = [-1 if unit.timed else unit.segment for unit in run]
        self.cuts, inside = [], [0]
        for unit, following in pairwise(run):
            pause = round(unit.pause_before(following) * 1000)
            self.cuts.append(max(0, _CUT[unit.ends] - pause))
            same = unit.segment == following.segment
            whole = not same or (unit.ends == "sentence" and unit.timed)
            inside.append(pause // 2 + whole * _WHOLE_INSIDE)
        self.cuts.append(0)
        self.inside = list(accumulate(inside))
        self.first_line = self._first_lines()

    def width(self, begin: int, end: int) -> int:
        """Columns of the units ``begin:end`` on one line."""
        return self.columns[end] - self.columns[begin] - self.spaces[begin]

    def _first_lines(self) -> list[int]:
        """For each unit, where the second line begins if the first is as full as possible."""
        first, end = [], 0
        for begin in range(self.count):
            end = max(end, begin + 1)
            while end < self.count and self.width(begin, end + 1) <= LINE_CHARS:
                end += 1
            first.append(end)
        return first

    def fits(self, begin: int, end: int) -> bool:
        """Whether the units fit into a cue; a single one always does."""
        second = self.first_line[begin]
        if second < end and self.width(second, end) > LINE_CHARS:
            return False
        if end - begin == 1 or self.ends[end - 1] - self.starts[begin] <= MAX_CUE_MS:
            return True
        return self.guessed[begin] == self.guessed[end - 1] >= 0

    def cost(self, begin: int, end: int) -> int:
        """The cost of a cue of these units."""
        columns = self.width(begin, end)
        cost = self.cuts[end - 1] + self.inside[end - 1] - self.inside[begin]
        cost += _EMPTY * (LINES * LINE_CHARS - columns) ** 2 // (LINES * LINE_CHARS) ** 2
        if columns <= ORPHAN_CHARS and self.count > end - begin and self.spaced[end] == self.spaced[begin + 1]:
            cost += _ORPHAN
        following = self.nexts[end - 1]
        if following is not None:
            shown = max(min(self.ends[end - 1], following), following - GAP_MS) - self.starts[begin]
            cost += _TOO_SHORT * max(0, MIN_READ_MS - shown) + _TOO_FAST * max(0, reading_ms_of(columns) - shown)
        return cost


def _groups(units_: Sequence[Unit], next_ms: int | None) -> list[Sequence[Unit]]:
    """The units of each cue of a run.

    Args:
        next_ms: when the next run begins, None for the last.
    """
    run = _Run(units_, next_ms)
    best, came_from = [0], [0]
    for end in range(1, run.count + 1):
        choices = []
        for begin in range(end - 1, -1, -1):
            if not run.fits(begin, end):
                break
            choices.append((best[begin] + run.cost(begin, end), begin))
        cost, begin = min(choices)
        best.append(cost)
        came_from.append(begin)
    groups, end = [], run.count
    while end:
        groups.append(units_[came_from[end] : end])
        end = came_from[end]
    return groups[::-1]


def _lines(group: Sequence[Unit]) -> tuple[str, ...]:
    """One line if the text fits; else two, as even as the ends of sentences and clauses allow."""
    text = _join(group)
    if width(text) <= LINE_CHARS:
        return (text,)
    choices = []
    for at in range(1, len(group)):
        lines = _join(group[:at]), _join(group[at:])
        first, second = map(width, lines)
        if first <= LINE_CHARS and second <= LINE_CHARS:
            choices.append((abs(first - second) + _UNEVEN[group[at - 1].ends], lines))
    return min(choices)[1]


def _join(group: Sequence[Unit]) -> str:
    return "".join((" " if unit.space and i else "") + unit.text for i, unit in enumerate(group))
