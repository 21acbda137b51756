"""An index asked: hits in the order of their ids, without sorting or counting what nobody looks at."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from castline.archive.index import LAST_LINE, LINE_BITS, Index, line_id, unpacked
from castline.archive.moments import Answer, Moment, OnScreen
from castline.archive.query import Phrase, Query, parse
from castline.archive.words import fold, folded, holds, words_of
from castline.errors import SearchError

PAGE = 20
MAX_PAGE = 200
_SECONDS = 5.0
_FEW = 300  # recordings that are asked one by one; of more, all hits are gone through
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_ID_BITS = 12
_HIGHEST = (1 << 63) - 1
_DIGITS = 20

Span = tuple[int, int]


def search(index: Index, text: str, *, limit: int = PAGE, after: str | None = None) -> Answer:
    """A page of hits.

    Args:
        text: see docs/ARCHIVE.md.
        limit: 1 to 200 hits.
        after: ``Answer.next`` of the page before.

    Raises:
        SearchError: the query cannot be read, or takes longer than five seconds; or the file is damaged.
    """
    query = parse(text)
    limit = min(max(limit, 1), MAX_PAGE)
    with index.reading() as connection:
        deadline = time.monotonic() + _SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            asked = _Asked(connection, query, after)
            found = list(islice(asked.hits(), limit + 1))
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            raise SearchError("this takes too long; say more of what is looked for") from error
        except sqlite3.DatabaseError as error:
            raise SearchError(f"the index is damaged; remove {index.path}, it is built again") from error
    more = len(found) > limit
    hits = found[:limit]
    return Answer(
        query=text,
        hits=tuple(moment for _, moment in hits),
        notes=asked.notes,
        next=str(hits[-1][0]) if more else None,
    )


class _Recording:
    """One recording, read once for all of its hits."""

    def __init__(self, connection: sqlite3.Connection, id_: int) -> None:
        row = connection.execute("SELECT media, language, lines FROM recording WHERE id = ?", (id_,)).fetchone()
        self.media, self.language = row[:2]
        self.lines = unpacked(row[2])
        self.uploaded = datetime.fromtimestamp(id_ >> _ID_BITS, UTC)
        self.people: list[tuple[OnScreen, list[Span]]] = []
        shown = "SELECT number, name, identity, image FROM seen WHERE recording = ? ORDER BY number"
        for number, name, identity, image in connection.execute(shown, (id_,)).fetchall():
            ranges = "SELECT start_ms, end_ms FROM presence WHERE recording = ? AND number = ? ORDER BY start_ms"
            spans = connection.execute(ranges, (id_, number)).fetchall()
            self.people.append((OnScreen(name=name, identity=identity, image=image or None), spans))

    def spans_of(self, names: frozenset[str]) -> list[Span]:
        return [
            span
            for person, spans in self.people
            if person.identity == "known" and person.name in names
            for span in spans
        ]

    def said(self, meanwhile: Span) -> str:
        """The first line that is said meanwhile."""
        return next((text for start, end, text in self.lines if end > meanwhile[0] and start <= meanwhile[1]), "")

    def moment(self, span: Span, text: str, phrases: Sequence[Phrase]) -> Moment:
        shown = [person for person, spans in self.people if any(_meet(each, span) for each in spans)]
        return Moment(
            media=self.media,
            start_s=span[0] / 1000,
            end_s=span[1] / 1000,
            text=text,
            marks=tuple(_marks(text, phrases)),
            people=tuple(shown),
            uploaded=self.uploaded,
            language=self.language or None,
        )


class _Asked:
    def __init__(self, connection: sqlite3.Connection, query: Query, after: str | None) -> None:
        self._connection, self._query = connection, query
        self._below = _cursor(after)
        self._recordings: dict[int, _Recording] = {}
        known = _known(connection) if query.names else ()
        self._people = [_called(words, known) for words in query.people]
        self._together = [_called(words, known) for words in query.together]
        self.notes = tuple(
            f"nobody in any recording is called {' '.join(words)}"
            for words, names in zip(query.names, self._names, strict=True)
            if not names
        )

    @property
    def _names(self) -> list[frozenset[str]]:
        return [*self._people, *self._together]

    def hits(self) -> Iterator[tuple[int, Moment]]:
        if self.notes:
            return iter(())
        if self._query.phrases:
            return self._lines()
        return self._appearances() if self._names else self._whole()

    def _recording(self, id_: int) -> _Recording:
        if id_ not in self._recordings:
            if len(self._recordings) > _FEW:
                self._recordings.clear()
            self._recordings[id_] = _Recording(self._connection, id_)
        return self._recordings[id_]

    def _candidates(self) -> list[int]:
        """Recordings of which something may be found, the newest first."""
        conditions, values = ["id <= ?"], [self._below >> LINE_BITS]
        more: list[object] = list(values)
        if self._query.before is not None:
            conditions.append("id < ?")
            more.append(self._query.before << _ID_BITS)
        if self._query.after is not None:
            conditions.append("id >= ?")
            more.append(self._query.after << _ID_BITS)
        for names in self._names:
            conditions.append(
                "id IN (SELECT recording FROM seen WHERE identity = 'known'"
                " AND name IN (SELECT value FROM json_each(?)))"
            )
            more.append(json.dumps(sorted(names)))
        rows = self._connection.execute(
            f"SELECT id, media, language FROM recording WHERE {' AND '.join(conditions)} ORDER BY id DESC",  # noqa: S608 - no value is in it
            more,
        )
        return [id_ for id_, media, language in rows if self._fits(media, language)]

    def _fits(self, media: str, language: str) -> bool:
        return all(part in fold(media) for part in self._query.files) and all(
            language.lower() == wanted or language.lower().startswith(f"{wanted}-") for wanted in self._query.languages
        )

    @property
    def _filtered(self) -> bool:
        query = self._query
        return bool(
            self._names or query.files or query.languages or query.before is not None or query.after is not None
        )

    def _lines(self) -> Iterator[tuple[int, Moment]]:
        wanted = _match(self._query.phrases)
        if not self._filtered:
            ids: Iterable[int] = self._matching(wanted, 0, self._below - 1)
        else:
            candidates = self._candidates()
            few = len(candidates) <= _FEW
            ids = self._one_by_one(wanted, candidates) if few else self._among(wanted, candidates)
        for id_ in ids:
            recording = self._recording(id_ >> LINE_BITS)
            start, end, text = recording.lines[LAST_LINE - (id_ & LAST_LINE)]
            span = start, end
            if self._shows(recording, span):
                yield id_, recording.moment(span, text, self._query.phrases)

    def _matching(self, wanted: str, first: int, last: int) -> Iterator[int]:
        rows = self._connection.execute(
            "SELECT rowid FROM said WHERE said MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC",
            (wanted, first, last),
        )
        return (row[0] for row in rows)

    def _one_by_one(self, wanted: str, candidates: Sequence[int]) -> Iterator[int]:
        for id_ in candidates:
            first = id_ << LINE_BITS
            yield from self._matching(wanted, first, min(first | LAST_LINE, self._below - 1))

    def _among(self, wanted: str, candidates: Sequence[int]) -> Iterator[int]:
        inside = set(candidates)
        bounds = candidates[-1] << LINE_BITS, min(candidates[0] << LINE_BITS | LAST_LINE, self._below - 1)
        return (id_ for id_ in self._matching(wanted, *bounds) if id_ >> LINE_BITS in inside)

    def _shows(self, recording: _Recording, line: Span) -> bool:
        apart = all(any(_meet(span, line) for span in recording.spans_of(names)) for names in self._people)
        return apart and (not self._together or bool(_common([recording.spans_of(each) for each in self._names], line)))

    def _appearances(self) -> Iterator[tuple[int, Moment]]:
        """When all that were asked for are on screen at once."""
        for id_ in self._candidates():
            recording = self._recording(id_)
            spans = _common([recording.spans_of(names) for names in self._names], None)
            for number, span in enumerate(spans[:LAST_LINE]):
                cursor = line_id(id_, number)
                if cursor < self._below:
                    yield cursor, recording.moment(span, recording.said(span), ())

    def _whole(self) -> Iterator[tuple[int, Moment]]:
        for id_ in self._candidates():
            cursor = id_ << LINE_BITS
            if cursor < self._below:
                recording = self._recording(id_)
                moment = recording.moment((0, 0), recording.said((0, 1 << 62)), ())
                everybody = tuple(person for person, _ in recording.people)
                yield cursor, moment.model_copy(update={"people": everybody})


def _cursor(text: str | None) -> int:
    """The id that everything on the page is below."""
    if text is None:
        return _HIGHEST
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise SearchError("after is what an answer before said as next")
    return min(int(text), _HIGHEST)


def _known(connection: sqlite3.Connection) -> tuple[str, ...]:
    rows = connection.execute("SELECT DISTINCT name FROM seen WHERE identity = 'known'")
    return tuple(row[0] for row in rows)


def _called(words: tuple[str, ...], known: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in known if holds(folded(name), words))


def _match(phrases: Sequence[Phrase]) -> str:
    """FTS5's syntax, made of nothing but letters, digits and marks between our own quotes."""
    return " AND ".join(f'"{" ".join(phrase.words)}"{" *" if phrase.prefix else ""}' for phrase in phrases)


def _meet(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _common(groups: Sequence[Sequence[Span]], within: Span | None) -> list[Span]:
    """When there is a span of every group at once, in order."""
    common: list[Span] = [within] if within else sorted(groups[0])
    for group in groups:
        common = [
            (max(one[0], other[0]), min(one[1], other[1])) for one in common for other in group if _meet(one, other)
        ]
    return sorted(set(common))


def _marks(text: str, phrases: Sequence[Phrase]) -> Iterator[Span]:
    words = list(words_of(text))
    found = set()
    for phrase in phrases:
        size = len(phrase.words)
        for at in range(len(words) - size + 1):
            here = tuple(word.folded for word in words[at : at + size])
            starts = here[:-1] == phrase.words[:-1] and here[-1].startswith(phrase.words[-1])
            if here == phrase.words or (phrase.prefix and starts):
                found.add((words[at].start, words[at + size - 1].end))
    yield from sorted(found)
