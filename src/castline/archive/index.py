"""The index: built only from results, so it can be discarded at any time. In SQLite or in PostgreSQL.

Each recording is written in one transaction, so an index whose writer was killed contains each recording completely or
not at all, and the next refresh continues. Ids are made from the time of upload, so the newest are found first without
sorting, and a rebuilt index gives the same order:

    recording   seconds since 1970 << 12 | a slot     line   recording << 19 | (last - number of the line)

The lines of a recording are one compressed value, and so are the times of a person: a page of hits unpacks a few.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from castline.archive.query import Phrase
from castline.archive.words import folded
from castline.errors import ResourceError
from castline.records import Result

#: start and end in milliseconds, text, speaker
Line = tuple[int, int, str, str]
Span = tuple[int, int]

VERSION = 2
ID_BITS = 12
LINE_BITS = 19
LAST_LINE = (1 << LINE_BITS) - 1
_SLOTS = 1 << ID_BITS
LONGEST_WORD = 500  # characters; PostgreSQL accepts words of 2046 bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody in a recording.

    Attributes:
        label: id of the person in the result.
        ranges: (start, end), milliseconds.
    """

    label: str
    name: str
    identity: str
    image: str
    on_screen_ms: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The index's data about one recording.

    Attributes:
        etag: that of the ``result.json`` from which it was made.
        uploaded_s: seconds since 1970.
        lines: (start, end, text, speaker), milliseconds, in order of time; speaker may be empty.
        words: number of spoken words.
    """

    media: str
    etag: str
    uploaded_s: int
    run: str = ""
    status: str = "failed"
    error: str = ""
    language: str = ""
    duration_ms: int = 0
    lines: tuple[Line, ...] = ()
    people: tuple[Seen, ...] = ()
    words: int = 0


def entry_of(media: str, result: Result, etag: str, uploaded_s: int) -> Entry:
    """The data of a result: segments that are not suspected hallucinations, and when people are on screen."""
    lines = tuple(
        (_ms(segment.start_s), _ms(segment.end_s), segment.text.strip(), segment.speaker or "")
        for segment in sorted(result.transcript.segments, key=lambda each: each.start_s)
        if segment.text.strip() and not segment.suspect
    )
    people = tuple(
        Seen(
            label=person.id,
            name=person.name,
            identity=person.identity,
            image=person.image or "",
            on_screen_ms=_ms(person.on_screen_s),
            ranges=tuple((_ms(each.start_s), _ms(each.end_s)) for each in person.ranges),
        )
        for person in result.people
    )
    return Entry(
        media=media,
        etag=etag,
        uploaded_s=uploaded_s,
        run=result.run,
        status=result.status,
        error=result.error.message if result.error else "",
        language=result.transcript.language or "",
        duration_ms=_ms(result.duration_s or 0.0),
        lines=lines[:LAST_LINE],
        people=people,
        words=sum(len(text.split()) for _, _, text, _ in lines),
    )


class Rows(Protocol):
    """The rows that a statement found."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection to either database; values are placeholders ``?``."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows: ...
    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> object: ...


class Index(ABC):
    """An index; every call opens a connection, so that any thread and any process may use it.

    Attributes:
        where: a description for people.
        name_order: SQL of this database that orders names and keys by letters.
        one_of: SQL that tests whether a value is in a JSON array.
    """

    name_order: ClassVar[str]
    one_of: ClassVar[str]

    @property
    @abstractmethod
    def where(self) -> str: ...

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """A write transaction, exclusive and atomic."""

    @abstractmethod
    def asking(self, seconds: float) -> AbstractContextManager[Connection]:
        """As ``reading``, of the index as it is at one moment, with a time limit for a search.

        Raises:
            SearchError: it took longer than the limit; or the index is damaged.
        """

    @abstractmethod
    def matching(self, connection: Connection, phrases: Sequence[Phrase], first: int, last: int) -> Iterator[int]:
        """Ids from ``first`` to ``last`` of lines that may contain all phrases, the highest first."""

    @abstractmethod
    def settle(self) -> None:
        """Purge removed content from wherever the database still keeps it for its own purposes."""

    @abstractmethod
    def _add_lines(self, connection: Connection, recording: int, lines: Sequence[Line]) -> None: ...

    @abstractmethod
    def _take_lines(self, connection: Connection, recording: int, lines: Sequence[Line]) -> None: ...

    def scrub(self) -> None:
        """As ``settle``, after recordings were removed."""
        self.settle()

    def etags(self) -> dict[str, str]:
        """ETag of each indexed result, by media file."""
        with self.reading() as connection:
            return dict(connection.execute("SELECT media, etag FROM recording").fetchall())

    def put(self, entry: Entry) -> None:
        """Write one recording, replacing its earlier content."""
        with self.writing() as connection:
            self.remove(connection, entry.media)
            self.insert(connection, entry)

    def drop(self, media: Sequence[str]) -> None:
        """Remove recordings."""
        if not media:
            return
        with self.writing() as connection:
            for each in media:
                self.remove(connection, each)
        self.scrub()

    def remove(self, connection: Connection, media: str) -> None:
        """Part of a transaction: remove a recording, if it exists."""
        row = connection.execute("SELECT id, lines FROM recording WHERE media = ?", (media,)).fetchone()
        if row is None:
            return
        self._take_lines(connection, row[0], unpacked(row[1]))
        connection.execute("DELETE FROM seen WHERE recording = ?", (row[0],))
        connection.execute("DELETE FROM recording WHERE id = ?", (row[0],))

    def insert(self, connection: Connection, entry: Entry) -> None:
        """Part of a transaction: write a recording that is not in the index."""
        recording = _free_id(connection, entry)
        speakers = json.dumps(sorted({speaker for *_, speaker in entry.lines if speaker}))
        connection.execute(
            "INSERT INTO recording VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (recording, entry.media, entry.etag, entry.run, entry.status, entry.error, entry.language, speakers,
             entry.duration_ms, entry.words, packed(entry.lines)),
        )  # fmt: skip
        self._add_lines(connection, recording, entry.lines)
        connection.executemany(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (recording, number, seen.label, seen.name, seen.identity, seen.image, seen.on_screen_ms,
                 packed(seen.ranges))
                for number, seen in enumerate(entry.people)
            ],
        )  # fmt: skip


def _free_id(connection: Connection, entry: Entry) -> int:
    """The id from the time and a hash of the key, or the next free one.

    Raises:
        ResourceError: there is none.
    """
    second = min(max(entry.uploaded_s, 0), (1 << 32) - 1)
    slot = int.from_bytes(hashlib.sha256(entry.media.encode(errors="replace")).digest()[:4], "big") % _SLOTS
    for step in range(_SLOTS):
        candidate = second * _SLOTS + (slot + step) % _SLOTS
        if not connection.execute("SELECT 1 FROM recording WHERE id = ?", (candidate,)).fetchone():
            return candidate
    raise ResourceError(f"more than {_SLOTS} recordings of one second")


def line_id(recording: int, number: int) -> int:
    """Later lines of a recording have lower ids, so that hits come newest recording first, each in order of time."""
    return (recording << LINE_BITS | LAST_LINE) - number


def packed(values: Sequence[Sequence[Any]]) -> bytes:
    """Compress lines or times."""
    return zlib.compress(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


def unpacked(value: bytes) -> list[Any]:
    """The argument of ``packed``, with each item as a tuple."""
    return [tuple(each) for each in json.loads(zlib.decompress(value))]


def words_in(text: str) -> list[str]:
    """The words of a line as in both databases: no longer than those that can be searched for."""
    return [word[:LONGEST_WORD] for word in folded(text)]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
