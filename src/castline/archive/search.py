"""Searches an index: hits in the order of their ids, without sorting or counting hits that are not shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from castline.archive.index import ID_BITS, LAST_LINE, LINE_BITS, Connection, Index, Span, line_id, unpacked
from castline.archive.moments import Answer, Moment, OnScreen
from castline.archive.query import Phrase, Query, parse, places
from castline.archive.words import fold, folded, holds, words_of
from castline.display import some
from castline.errors import SearchError

PAGE = 20
MAX_PAGE = 200
_SECONDS = 5.0
_FEW = 300  # recordings that are searched one by one; with more, all hits are filtered
_HIGHEST = (1 << 63) - 1
_DIGITS = 20
_NAMED = 5  # people that a note names


def search(index: Index, text: str, *, limit: int = PAGE, after: str | None = None) -> Answer:
    """A page of hits.

    Args:
        text: see docs/ARCHIVE.md.
        limit: 1 to 200 hits.
        after: ``Answer.next`` of the previous page.

    Raises:
        SearchError: the query is invalid, or takes longer than five seconds; or the file is damaged.
    """
    query = parse(text)
    limit = min(max(limit, 1), MAX_PAGE)
    with index.asking(_SECONDS) as connection:
        asked = _Asked(index, connection, query, after)
        found = list(islice(asked.hits(), limit + 1))
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

    def __init__(self, connection: Connection, id_: int) -> None:
        row = connection.execute("SELECT media, language, lines FROM recording WHERE id = ?", (id_,)).fetchone()
        self.media, self.language = row[:2]
        self.lines = unpacked(row[2])
        self.uploaded = datetime.fromtimestamp(id_ >> ID_BITS, UTC)
        self.people: list[tuple[OnScreen, list[Span]]] = []
        shown = "SELECT name, identity, image, ranges FROM seen WHERE recording = ? ORDER BY number"
        for name, identity, image, ranges in connection.execute(shown, (id_,)).fetchall():
            self.people.append((OnScreen(name=name, identity=identity, image=image or None), unpacked(ranges)))

    def spans_of(self, names: frozenset[str]) -> list[Span]:
        return [
            span
            for person, spans in self.people
            if person.identity == "known" and person.name in names
            for span in spans
        ]

    def said(self, meanwhile: Span) -> str:
        """The first line that is said during a time."""
        return next((text for start, end, text, _ in self.lines if end > meanwhile[0] and start <= meanwhile[1]), "")

    def moment(self, span: Span, text: str, phrases: Sequence[Phrase], speaker: str = "") -> Moment:
        shown = [person for person, spans in self.people if any(_meet(each, span) for each in spans)]
        return Moment(
            media=self.media,
            start_s=span[0] / 1000,
            end_s=span[1] / 1000,
            text=text,
            marks=tuple(_marks(text, phrases)),
            people=tuple(shown),
            speaker=speaker or None,
            uploaded=self.uploaded,
            language=self.language or None,
        )


class _Asked:
    def __init__(self, index: Index, connection: Connection, query: Query, after: str | None) -> None:
        self._index, self._connection, self._query = index, connection, query
        self._below = _cursor(after)
        self._recordings: dict[int, _Recording] = {}
        known = _known(connection) if query.names else ()
        self._people = [_called(name.words, known) for name in query.people]
        self._together = [_called(name.words, known) for name in query.together]
        self.notes = tuple(
            f"nobody in any recording is called {asked.said}; {_who_is(known)}"
            for asked, names in zip(query.names, self._names, strict=True)
            if not names
        )
        if query.speakers and not _voices(connection):
            self.notes += ("no recording says who speaks: voices are told apart where speakers are asked for",)

    @property
    def _names(self) -> list[frozenset[str]]:
        return [*self._people, *self._together]

    def hits(self) -> Iterator[tuple[int, Moment]]:
        if self.notes:
            return iter(())
        if self._query.phrases or self._query.speakers:
            return self._lines()
        return self._appearances() if self._names else self._whole()

    def _recording(self, id_: int) -> _Recording:
        if id_ not in self._recordings:
            if len(self._recordings) > _FEW:
                self._recordings.clear()
            self._recordings[id_] = _Recording(self._connection, id_)
        return self._recordings[id_]

    def _candidates(self) -> list[int]:
        """Recordings that may have hits, the newest first."""
        conditions, values = ["id <= ?"], [self._below >> LINE_BITS]
        more: list[object] = list(values)
        if self._query.before is not None:
            conditions.append("id < ?")
            more.append(self._query.before << ID_BITS)
        if self._query.after is not None:
            conditions.append("id >= ?")
            more.append(self._query.after << ID_BITS)
        for names in self._names:
            named = self._index.one_of.format("name")
            conditions.append(
                f"id IN (SELECT recording FROM seen WHERE identity = 'known' AND {named})"  # noqa: S608 - ours
            )
            more.append(json.dumps(sorted(names)))
        rows = self._connection.execute(
            "SELECT id, media, language, speakers FROM recording"  # noqa: S608 - no value is in it
            f" WHERE {' AND '.join(conditions)} ORDER BY id DESC",
            more,
        )
        return [row[0] for row in rows if self._fits(*row[1:])]

    def _fits(self, media: str, language: str, speakers: str) -> bool:
        return (
            all(part in fold(media) for part in self._query.files)
            and all(
                language.lower() == wanted or language.lower().startswith(f"{wanted}-")
                for wanted in self._query.languages
            )
            and (not self._query.speakers or any(map(self._says, json.loads(speakers))))
        )

    def _says(self, speaker: str) -> bool:
        """Whether a voice is the one searched for."""
        words = folded(speaker)
        return all(holds(words, name) for name in self._query.speakers)

    @property
    def _filtered(self) -> bool:
        query = self._query
        return bool(
            self._names
            or query.speakers
            or query.files
            or query.languages
            or query.before is not None
            or query.after is not None
        )

    def _lines(self) -> Iterator[tuple[int, Moment]]:
        if not self._query.phrases:
            ids: Iterable[int] = self._all_lines()
        elif not self._filtered:
            ids = self._matching(0, self._below - 1)
        else:
            candidates = self._candidates()
            ids = self._one_by_one(candidates) if len(candidates) <= _FEW else self._among(candidates)
        for id_ in ids:
            recording = self._recording(id_ >> LINE_BITS)
            start, end, text, speaker = recording.lines[LAST_LINE - (id_ & LAST_LINE)]
            span = start, end
            if self._says(speaker) and self._shows(recording, span):
                yield id_, recording.moment(span, text, self._query.phrases, speaker)

    def _matching(self, first: int, last: int) -> Iterator[int]:
        return self._index.matching(self._connection, self._query.phrases, first, last)

    def _all_lines(self) -> Iterator[int]:
        for id_ in self._candidates():
            for number in range(len(self._recording(id_).lines)):
                if line_id(id_, number) < self._below:
                    yield line_id(id_, number)

    def _one_by_one(self, candidates: Sequence[int]) -> Iterator[int]:
        for id_ in candidates:
            first = id_ << LINE_BITS
            yield from self._matching(first, min(first | LAST_LINE, self._below - 1))

    def _among(self, candidates: Sequence[int]) -> Iterator[int]:
        inside = set(candidates)
        bounds = candidates[-1] << LINE_BITS, min(candidates[0] << LINE_BITS | LAST_LINE, self._below - 1)
        return (id_ for id_ in self._matching(*bounds) if id_ >> LINE_BITS in inside)

    def _shows(self, recording: _Recording, line: Span) -> bool:
        apart = all(any(_meet(span, line) for span in recording.spans_of(names)) for names in self._people)
        return apart and (not self._together or bool(_common([recording.spans_of(each) for each in self._names], line)))

    def _appearances(self) -> Iterator[tuple[int, Moment]]:
        """When all people searched for are on screen at once."""
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
    """The id below which everything on the page is."""
    if text is None:
        return _HIGHEST
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise SearchError("after is what an answer before said as next")
    return min(int(text), _HIGHEST)


def _voices(connection: Connection) -> bool:
    """Whether any recording says who speaks."""
    return connection.execute("SELECT 1 FROM recording WHERE speakers != '[]' LIMIT 1").fetchone() is not None


def _known(connection: Connection) -> tuple[str, ...]:
    rows = connection.execute("SELECT DISTINCT name FROM seen WHERE identity = 'known'")
    return tuple(row[0] for row in rows)


def _who_is(known: Sequence[str]) -> str:
    return f"known are {some(sorted(known), _NAMED)}" if known else "nobody is known by name yet"


def _called(words: tuple[str, ...], known: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in known if holds(folded(name), words))


def _meet(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _common(groups: Sequence[Sequence[Span]], within: Span | None) -> list[Span]:
    """When a span of every group coincides, in order."""
    common: list[Span] = [within] if within else sorted(groups[0])
    for group in groups:
        common = [
            (max(one[0], other[0]), min(one[1], other[1])) for one in common for other in group if _meet(one, other)
        ]
    return sorted(set(common))


def _marks(text: str, phrases: Sequence[Phrase]) -> Iterator[Span]:
    words = list(words_of(text))
    known = [word.folded for word in words]
    yield from sorted(
        {(words[at].start, words[at + len(phrase.words) - 1].end) for phrase in phrases for at in places(known, phrase)}
    )
