"""When each cue appears and disappears: pure functions on cues that already have their words.

The limits are those of Netflix's Timed Text Style Guide (General Requirements; English: adult
programmes), which most others resemble. Its frames are taken at 24 a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from castline.cues.text import width

#: Reading speed: characters per second; a wide one counts twice, as in a line.
MAX_CPS = 20
#: Shortest time a cue is shown, however short its text (5/6 s), and the longest, however slow the speech.
MIN_READ_MS = 833
MAX_CUE_MS = 7000
#: Two frames without text, so that the eye notices that the text has changed.
GAP_MS = 83
#: How long before its words a cue may appear if it would otherwise be too fast. Our own value: late text can be
#: followed, early text gives away what is said.
LEAD_MS = 200
#: Shortest cue, and the smallest distance of two starts. Below this a cue could not be seen at all.
MIN_CUE_MS = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """One subtitle: whole milliseconds, ``start_ms < end_ms``, one or two lines of plain text.

    Attributes:
        visible: the one known person on screen during its segment; a hint, not a claim of who speaks.
        speaker: name of the voice, if voices were told apart.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    visible: str | None = None
    speaker: str | None = None


def lay_out(drafts: Iterable[Timed]) -> list[Timed]:
    """The cues in order of time: none overlaps another, and each is shown for as long as reading it takes.

    An earlier cue ends where the next begins, and cues that begin together are moved apart. The time for reading is
    taken from the silence around a cue, if there is any.

    Args:
        drafts: cues at the times of their words, in any order. Those that begin together keep their order.
    """
    return _readable(_in_a_row(sorted(drafts, key=lambda cue: cue.start_ms)))


def _in_a_row(drafts: Sequence[Timed]) -> list[Timed]:
    """One after the other, each at least ``MIN_CUE_MS``: a cue is shortened for the next one."""
    starts: list[int] = []
    for cue in drafts:
        earliest = starts[-1] + MIN_CUE_MS if starts else 0
        starts.append(max(cue.start_ms, earliest))
    row: list[Timed] = []
    for i, (cue, start) in enumerate(zip(drafts, starts, strict=True)):
        end = max(cue.end_ms, start + MIN_CUE_MS)
        if i + 1 < len(starts):
            end = min(end, starts[i + 1])
        row.append(replace(cue, start_ms=start, end_ms=end))
    return row


def _readable(row: Sequence[Timed]) -> list[Timed]:
    """A cue that is too fast stays after its words, until ``GAP_MS`` before the next, and then also appears earlier.

    It appears at most ``LEAD_MS`` before its words, and ``GAP_MS`` after the previous cue. Without such a silence it is
    unchanged: speech can be faster than reading.
    """
    readable: list[Timed] = []
    for i, cue in enumerate(row):
        needed = reading_ms(cue)
        enough = cue.start_ms + needed
        latest = min(enough, row[i + 1].start_ms - GAP_MS) if i + 1 < len(row) else enough
        end = max(cue.end_ms, latest)
        earliest = max(cue.start_ms - LEAD_MS, readable[-1].end_ms + GAP_MS if readable else 0)
        start = min(cue.start_ms, max(end - needed, earliest))
        readable.append(replace(cue, start_ms=start, end_ms=end))
    return readable


def reading_ms(cue: Timed) -> int:
    return reading_ms_of(width(" ".join(cue.lines)))


def reading_ms_of(columns: int) -> int:
    """Milliseconds it takes to read a text: at most 4250 for two full lines, so always below ``MAX_CUE_MS``."""
    return max(MIN_READ_MS, math.ceil(columns * 1000 / MAX_CPS))
