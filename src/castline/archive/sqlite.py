"""The index in an SQLite file, with FTS5."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from castline.archive.index import VERSION, Index, Line, line_id, words_in
from castline.archive.query import Phrase
from castline.errors import SearchError
from castline.gate.private import private_folder

_BUSY_S = 30.0
_STEPS = 10_000  # steps of SQLite's virtual machine between two checks of the clock
_TABLES = """
CREATE TABLE recording (
    id INTEGER PRIMARY KEY, media TEXT NOT NULL UNIQUE, etag TEXT NOT NULL, run TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT NOT NULL, language TEXT NOT NULL, speakers TEXT NOT NULL, duration_ms INTEGER NOT NULL,
    words INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE seen (
    recording INTEGER NOT NULL, number INTEGER NOT NULL, label TEXT NOT NULL, name TEXT NOT NULL,
    identity TEXT NOT NULL, image TEXT NOT NULL, on_screen_ms INTEGER NOT NULL, ranges BLOB NOT NULL,
    PRIMARY KEY (recording, number)) WITHOUT ROWID;
CREATE INDEX seen_name ON seen (name, recording) WHERE identity = 'known';
CREATE VIRTUAL TABLE said USING fts5 (
    text, content='', columnsize=0, tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'");
"""


class SqliteIndex(Index):
    """Args:
    path: a file of another version, or a damaged one, is replaced by an empty index.
    """

    name_order = "{} COLLATE NOCASE"
    one_of = "{} IN (SELECT value FROM json_each(?))"

    def __init__(self, path: Path) -> None:
        self.path = path
        private_folder(path.parent)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or a full disk: not damaged
                raise
            self._throw_away()
            self._prepare()

    @property
    def where(self) -> str:
        return str(self.path)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(self._connect()) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection

    @contextlib.contextmanager
    def asking(self, seconds: float) -> Iterator[sqlite3.Connection]:
        with self.reading() as connection:
            deadline = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            try:
                connection.execute("BEGIN")
                yield connection
            except sqlite3.OperationalError as error:
                if "interrupted" not in str(error):
                    raise
                raise SearchError("this takes too long; say more of what is looked for") from error
            except sqlite3.DatabaseError as error:
                raise SearchError(f"the index is damaged; remove {self.path}, it is built again") from error

    def matching(self, connection: Any, phrases: Sequence[Phrase], first: int, last: int) -> Iterator[int]:
        rows = connection.execute(
            "SELECT rowid FROM said WHERE said MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC",
            (_match(phrases), first, last),
        )
        return (row[0] for row in rows)

    def scrub(self) -> None:
        """Overwrite removed words, and free their space, so that no file contains them any more."""
        if sqlite3.sqlite_version_info < (3, 42):  # later versions overwrite words at once
            with self.writing() as connection:
                connection.execute("INSERT INTO said (said) VALUES ('optimize')")
        with self.reading() as connection:
            connection.execute("PRAGMA incremental_vacuum").fetchall()
        self.settle()

    def settle(self) -> None:
        """Empty the journal, which contains earlier pages: after removal, names are nowhere else."""
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _add_lines(self, connection: Any, recording: int, lines: Sequence[Line]) -> None:
        rows = [(line_id(recording, number), _indexed(line)) for number, line in enumerate(lines)]
        connection.executemany("INSERT INTO said (rowid, text) VALUES (?, ?)", reversed(rows))

    def _take_lines(self, connection: Any, recording: int, lines: Sequence[Line]) -> None:
        connection.executemany(
            "INSERT INTO said (said, rowid, text) VALUES ('delete', ?, ?)",
            [(line_id(recording, number), _indexed(line)) for number, line in enumerate(lines)],
        )

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
            if version == VERSION:
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
        if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        if sqlite3.sqlite_version_info >= (3, 42):
            connection.execute("INSERT INTO said (said, rank) VALUES ('secure-delete', 1)")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _match(phrases: Sequence[Phrase]) -> str:
    """A query in FTS5's syntax that consists only of letters, digits and marks between our own quotes."""
    return " AND ".join(f'"{" ".join(phrase.words)}"{" *" if phrase.prefix else ""}' for phrase in phrases)


def _indexed(line: Line) -> str:
    return " ".join(words_in(line[2]))
