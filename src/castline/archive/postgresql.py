"""The index in PostgreSQL, with its full text search; in a schema of its own, so that one database serves several.

Lines are indexed in blocks of about a thousand words, because a row per line would make the index several times as
large. A block that contains all words is searched line by line here. Words come with their positions from us, so that a
word means the same in both databases; PostgreSQL's own parsers and dictionaries are not used.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from castline.archive.index import LAST_LINE, LINE_BITS, VERSION, Index, Line, line_id, unpacked, words_in
from castline.archive.query import Phrase, all_in
from castline.errors import OptionsError, ResourceError, SearchError

if TYPE_CHECKING:
    import psycopg

_CONNECT_S = 5
_BLOCK_WORDS = 1000
_MOST_POSITIONS = 250  # positions of one word in a tsvector; PostgreSQL keeps 255
_PORTION = 50
_TABLES = """
CREATE TABLE recording (
    id BIGINT PRIMARY KEY, media TEXT COLLATE "C" NOT NULL UNIQUE, etag TEXT NOT NULL, run TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, language TEXT NOT NULL, speakers TEXT NOT NULL,
    duration_ms BIGINT NOT NULL, words BIGINT NOT NULL, lines BYTEA NOT NULL);
CREATE TABLE seen (
    recording BIGINT NOT NULL, number INTEGER NOT NULL, label TEXT NOT NULL, name TEXT COLLATE "C" NOT NULL,
    identity TEXT NOT NULL, image TEXT NOT NULL, on_screen_ms BIGINT NOT NULL, ranges BYTEA NOT NULL,
    PRIMARY KEY (recording, number));
CREATE INDEX seen_name ON seen USING hash (name) WHERE identity = 'known';
CREATE TABLE said (top BIGINT PRIMARY KEY, bottom BIGINT NOT NULL, words TSVECTOR NOT NULL);
CREATE INDEX said_words ON said USING gin (words) WITH (fastupdate = off);
"""


class PostgresqlIndex(Index):
    """Args:
    url: ``postgresql://user:password@host/database``; missing parts come from the variables ``PG…``.
    schema: letters, digits and ``_``; a schema of another version is replaced by an empty index.

    Raises:
        ResourceError: it cannot be reached.
        OptionsError: it is not such a URL.
        ModuleNotFoundError: the extra ``service-postgresql`` is not installed.
    """

    name_order = 'lower({} COLLATE "C")'
    one_of = "{} IN (SELECT json_array_elements_text(?::json))"

    def __init__(self, url: str, schema: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.schema = schema
        self._prepare()

    @property
    def where(self) -> str:
        return f"schema {self.schema}"

    @contextlib.contextmanager
    def reading(self) -> Iterator[_Connection]:
        with self._connected() as connection:
            yield _Connection(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[_Connection]:
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.schema,))
            yield _Connection(connection)

    @contextlib.contextmanager
    def asking(self, seconds: float) -> Iterator[_Connection]:
        import psycopg

        with self._connected() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            try:
                yield _Connection(connection, time.monotonic() + seconds)
            except psycopg.errors.QueryCanceled as error:
                raise _too_long() from error

    def matching(self, connection: Any, phrases: Sequence[Phrase], first: int, last: int) -> Iterator[int]:
        blocks = connection.stream(
            "SELECT top, bottom FROM said WHERE words @@ ?::tsquery AND top >= ? AND bottom <= ? ORDER BY top DESC",
            (_match(phrases), first, last),
        )
        lines: tuple[int, list[Line]] = (-1, [])
        for top, bottom in blocks:
            connection.check()
            recording = top >> LINE_BITS
            if lines[0] != recording:
                row = connection.execute("SELECT lines FROM recording WHERE id = ?", (recording,)).fetchone()
                lines = recording, unpacked(row[0])
            for number in range(LAST_LINE - (top & LAST_LINE), LAST_LINE - (bottom & LAST_LINE) + 1):
                id_ = line_id(recording, number)
                if first <= id_ <= last and all_in(words_in(lines[1][number][2]), phrases):
                    yield id_

    def settle(self) -> None:
        """Nothing to do: PostgreSQL itself overwrites removed content."""

    def scrub(self) -> None:
        """Let PostgreSQL overwrite the removed rows."""
        with self._connected() as connection:
            connection.execute("VACUUM said, seen, recording")

    def _add_lines(self, connection: Any, recording: int, lines: Sequence[Line]) -> None:
        connection.executemany("INSERT INTO said VALUES (?, ?, ?::tsvector)", _blocks(recording, lines))

    def _take_lines(self, connection: Any, recording: int, lines: Sequence[Line]) -> None:
        first, last = line_id(recording, LAST_LINE), line_id(recording, 0)
        connection.execute("DELETE FROM said WHERE top BETWEEN ? AND ?", (first, last))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        import psycopg

        try:
            connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=_CONNECT_S, options=f"-c search_path={self.schema}"
            )
        except psycopg.ProgrammingError as error:
            raise OptionsError("CASTLINE_ARCHIVE is not a PostgreSQL URL") from error
        except psycopg.OperationalError as error:
            raise ResourceError(f"the index cannot be reached: {str(error).splitlines()[0]}") from error
        try:
            yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise
            raise ResourceError(f"the index does not answer: {str(error).splitlines()[0]}") from error
        finally:
            connection.close()

    def _prepare(self) -> None:
        """Create the tables, in one transaction; another process may be doing the same."""
        with self.writing() as connection:
            row = connection.execute(
                "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ?", (self.schema,)
            ).fetchone()
            if row and row[0] == f"castline index {VERSION}":
                return
            connection.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")
            connection.execute(f"CREATE SCHEMA {self.schema}")
            for statement in _TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"COMMENT ON SCHEMA {self.schema} IS 'castline index {VERSION}'")


class _Connection:
    """A psycopg connection, used like the other database's: every ``?`` in a statement stands for a value."""

    def __init__(self, connection: psycopg.Connection[Any], deadline: float | None = None) -> None:
        self._connection, self._deadline = connection, deadline

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._connection.execute(_theirs(statement), [_value(each) for each in values])

    def executemany(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_theirs(statement), [[_value(each) for each in row] for row in values])

    def stream(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """Rows on demand; the planner is told that few may be wanted."""
        name = f"found_{time.monotonic_ns()}"
        with self._connection.cursor(name=name) as cursor:
            cursor.itersize = _PORTION
            cursor.execute(_theirs(statement), [_value(each) for each in values])
            yield from cursor

    def check(self) -> None:
        """Raises:
        SearchError: the time is up.
        """
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise _too_long()


def _too_long() -> SearchError:
    return SearchError("this takes too long; say more of what is looked for")


def _theirs(statement: str) -> Any:
    return statement.replace("?", "%s")


def _value(value: Any) -> Any:
    """A value without NUL, which PostgreSQL's text cannot contain."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _blocks(recording: int, lines: Sequence[Line]) -> Iterator[tuple[int, int, str]]:
    """(id of the first line, id of the last, words with positions), with gaps so that no phrase crosses lines."""
    said: list[list[str]] = []
    counted: Counter[str] = Counter()
    first = 0
    for number, line in enumerate(lines):
        words = words_in(line[2])
        counts = Counter(words)
        full = counted.total() + len(words) > _BLOCK_WORDS
        if said and (full or any(counted[word] + count > _MOST_POSITIONS for word, count in counts.items())):
            yield line_id(recording, first), line_id(recording, number - 1), _vector(said)
            said, counted, first = [], Counter(), number
        said.append(words)
        counted += counts
    if said:
        yield line_id(recording, first), line_id(recording, len(lines) - 1), _vector(said)


def _vector(said: Sequence[Sequence[str]]) -> str:
    """A tsvector as text. Words are letters, digits and marks, so quotes around them are enough."""
    places: dict[str, list[int]] = {}
    at = 0
    for words in said:
        for word in words:
            at += 1
            places.setdefault(word, []).append(at)
        at += 1
    return " ".join(f"'{word}':{','.join(map(str, _kept(found)))}" for word, found in places.items())


def _kept(found: list[int]) -> list[int]:
    """Positions of a word; if a line repeats it more often than PostgreSQL stores, its first and last ones."""
    half = _MOST_POSITIONS // 2
    return found if len(found) <= _MOST_POSITIONS else found[:half] + found[-half:]


def _match(phrases: Sequence[Phrase]) -> str:
    """A tsquery that consists only of letters, digits and marks between our own quotes."""
    return " & ".join(
        "(" + " <-> ".join(f"'{word}'" for word in phrase.words) + (":*" if phrase.prefix else "") + ")"
        for phrase in phrases
    )
