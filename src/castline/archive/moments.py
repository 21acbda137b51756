"""Search results: moments of recordings."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from pydantic import computed_field

from castline.records import Record
from castline.records.base import Identity, Seconds


class OnScreen(Record):
    """Attributes:
    name: as the result shows it, ``Person 2`` for a stranger.
    image: file name of the picture, relative to the result.
    """

    name: str
    identity: Identity
    image: str | None = None


class Moment(Record):
    """A hit.

    Attributes:
        media: key of the recording.
        start_s, end_s: of the line, or of the time that somebody is on screen if no words were searched for.
        text: the line; empty if nothing is said then.
        marks: positions of the searched words in the text: (start, end), characters.
        people: who is on screen between start and end.
        speaker: the voice that says the line (``Speaker 1``); None if voices were not told apart.
        uploaded: when the recording was uploaded.
    """

    media: str
    start_s: Seconds
    end_s: Seconds
    text: str
    marks: tuple[tuple[int, int], ...] = ()
    people: tuple[OnScreen, ...] = ()
    speaker: str | None = None
    uploaded: datetime
    language: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def path(self) -> str:
        """The path at which ``castline serve`` opens the recording at this moment."""
        return f"{recording_path(self.media)}#t={self.start_s:.3f}"


class Answer(Record):
    """A page of hits, the newest recordings first, each in order of time.

    Attributes:
        notes: lines for people, such as "nobody is called that".
        next: the cursor of the following page; None on the last.
    """

    query: str
    hits: tuple[Moment, ...]
    notes: tuple[str, ...] = ()
    next: str | None = None


def recording_path(media: str) -> str:
    """The page of a recording below the service's root, with slashes escaped: a key may begin or end with them."""
    return f"/recordings/{quote(media, safe='')}/report.html"
