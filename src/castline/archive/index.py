"""The index: one SQLite file that can be thrown away at any time, as it is built from results alone.

What one recording gives is written in one transaction, so an index whose writer was killed has each recording whole or
not at all, and the next refresh goes on. Ids are made of the time of upload, so the newest are found first without
sorting, and a rebuilt index gives the same order:

    recording   seconds since 1970 << 12 | a slot     line   recording << 19 | (last - number of the line)

The lines of a recording are one compressed value: a page of hits unpacks a few of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from castline.archive.words import folded
from castline.gate.private import private_folder
from castline.records import Result

#: start and end in milliseconds, text
Line = tuple[int, int, str]

_VERSION = 1
_BUSY_S = 30.0
_SLOTS = 1 << 12
LINE_BITS = 19
LAST_LINE = (1 << LINE_BITS) - 1
_TABLES = """
CREATE TABLE recording (
    id INTEGER PRIMARY KEY, media TEXT NOT NULL UNIQUE, etag TEXT NOT NULL, run TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT NOT NULL, language TEXT NOT NULL, duration_ms INTEGER NOT NULL, words INTEGER NOT NULL,
    lines BLOB NOT NULL);
CREATE TABLE seen (
    recording INTEGER NOT NULL, number INTEGER NOT NULL, label TEXT NOT NULL, name TEXT NOT NULL,
    identity TEXT NOT NULL, image TEXT NOT NULL, on_screen_ms INTEGER NOT NULL,
    PRIMARY KEY (recording, number)) WITHOUT ROWID;
CREATE INDEX seen_name ON seen (name, recording) WHERE identity = 'known';
CREATE TABLE presence (
    recording INTEGER NOT NULL, number INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    PRIMARY KEY (recording, number, start_ms)) WITHOUT ROWID;
CREATE VIRTUAL TABLE said USING fts5 (
    text, content='', columnsize=0, tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'");
"""


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
    """What an index keeps of one recording.

    Attributes:
        etag: of the ``result.json`` it was made of.
        uploaded_s: seconds since 1970.
        lines: (start, end, text), milliseconds, in the order of time.
        words: how many are said.
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
    """What is kept of a result: sentences that are no suspects, and when people are on screen."""
    lines = tuple(
        (_ms(segment.start_s), _ms(segment.end_s), segment.text.strip())
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
        words=sum(len(text.split()) for _, _, text in lines),
    )


class Index:
    """The file; every call opens it anew, so that any thread and any process may.

    Args:
        path: a file that does not fit, or is damaged, is replaced by an empty index.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        private_folder(path.parent)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or a full disk: no damage
                raise
            self._throw_away()
            self._prepare()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(self._connect()) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection

    def etags(self) -> dict[str, str]:
        """ETag of each result that is in it, by media file."""
        with self.reading() as connection:
            return dict(connection.execute("SELECT media, etag FROM recording"))

    def put(self, entry: Entry) -> None:
        """Write one recording, instead of what was there of it."""
        with self.writing() as connection:
            _remove(connection, entry.media)
            _insert(connection, entry)

    def drop(self, media: Sequence[str]) -> None:
        """Take recordings out, and what was written of them out of the file, too."""
        if not media:
            return
        with self.writing() as connection:
            for each in media:
                _remove(connection, each)
        self.scrub()

    def scrub(self) -> None:
        """Write over words that were taken out, and give their room back: no file has them any more."""
        if sqlite3.sqlite_version_info < (3, 42):  # later ones write over words at once
            with self.writing() as connection:
                connection.execute("INSERT INTO said (said) VALUES ('optimize')")
        with self.reading() as connection:
            connection.execute("PRAGMA incremental_vacuum").fetchall()
        self.settle()

    def settle(self) -> None:
        """Empty the journal, which has pages as they were before. Names are nowhere else once they are taken out."""
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION:
                connection.execute("SELECT 1 FROM recording LIMIT 1").fetchone()
                return
            if version:
                raise sqlite3.DatabaseError(f"an index of version {version}")
            _make(connection)

    def _throw_away(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _make(connection: sqlite3.Connection) -> None:
    """The tables, in one transaction; somebody else may be making them."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
            return
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        if sqlite3.sqlite_version_info >= (3, 42):
            connection.execute("INSERT INTO said (said, rank) VALUES ('secure-delete', 1)")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _remove(connection: sqlite3.Connection, media: str) -> None:
    row = connection.execute("SELECT id, lines FROM recording WHERE media = ?", (media,)).fetchone()
    if row is None:
        return
    lines = unpacked(row[1])
    connection.executemany(
        "INSERT INTO said (said, rowid, text) VALUES ('delete', ?, ?)",
        [(line_id(row[0], number), _indexed(text)) for number, (_, _, text) in enumerate(lines)],
    )
    row = row[:1]
    connection.execute("DELETE FROM presence WHERE recording = ?", row)
    connection.execute("DELETE FROM seen WHERE recording = ?", row)
    connection.execute("DELETE FROM recording WHERE id = ?", row)


def _insert(connection: sqlite3.Connection, entry: Entry) -> None:
    recording = _free_id(connection, entry)
    connection.execute(
        "INSERT INTO recording VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (recording, entry.media, entry.etag, entry.run, entry.status, entry.error, entry.language, entry.duration_ms,
         entry.words, _packed(entry.lines)),
    )  # fmt: skip
    ids = [(line_id(recording, number), _indexed(line[2])) for number, line in enumerate(entry.lines)]
    connection.executemany("INSERT INTO said (rowid, text) VALUES (?, ?)", reversed(ids))
    for number, seen in enumerate(entry.people):
        connection.execute(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)",
            (recording, number, seen.label, seen.name, seen.identity, seen.image, seen.on_screen_ms),
        )
        spans: dict[int, int] = {}
        for start, end in seen.ranges:
            spans[start] = max(end, spans.get(start, end))
        connection.executemany(
            "INSERT INTO presence VALUES (?, ?, ?, ?)", [(recording, number, *span) for span in spans.items()]
        )


def _free_id(connection: sqlite3.Connection, entry: Entry) -> int:
    """The id that the time and a hash of the key give, or the next free one."""
    second = min(max(entry.uploaded_s, 0), (1 << 32) - 1)
    slot = int.from_bytes(hashlib.sha256(entry.media.encode(errors="replace")).digest()[:4], "big") % _SLOTS
    for step in range(_SLOTS):
        candidate = second * _SLOTS + (slot + step) % _SLOTS
        if not connection.execute("SELECT 1 FROM recording WHERE id = ?", (candidate,)).fetchone():
            return candidate
    raise sqlite3.IntegrityError(f"more than {_SLOTS} recordings of one second")


def line_id(recording: int, number: int) -> int:
    """Later lines of a recording have lower ids: hits come the newest recording first, each in the order of time."""
    return (recording << LINE_BITS | LAST_LINE) - number


def _packed(lines: Sequence[Line]) -> bytes:
    return zlib.compress(json.dumps(lines, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


def unpacked(lines: bytes) -> list[Line]:
    """The lines of a recording."""
    return [(start, end, text) for start, end, text in json.loads(zlib.decompress(lines))]


def _indexed(text: str) -> str:
    return " ".join(folded(text))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
