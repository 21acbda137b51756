"""Parses a query: ``budget "next year" person:"Ada King" after:2026-03``.

A query is untrusted text. It is parsed here and never reaches a database: words keep only letters, digits and marks,
and everything else is a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from castline.archive.words import fold, folded
from castline.display import visible
from castline.errors import SearchError

MAX_CHARACTERS = 500
_MAX_TERMS = 32
_TERM = re.compile(r"""\s*(?:(?P<key>[A-Za-z][A-Za-z-]*):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))(?P<star>\*)?""")
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
_LAST_YEAR = 2106  # dates are seconds in 32 bits


@dataclass(frozen=True, slots=True)
class Phrase:
    """Attributes:
    words: folded, at least one.
    prefix: whether the last word is only a beginning.
    """

    words: tuple[str, ...]
    prefix: bool = False


class Name(NamedTuple):
    """Attributes:
    words: folded, at least one.
    said: as it was asked for.
    """

    words: tuple[str, ...]
    said: str


@dataclass(slots=True)
class Query:
    """A parsed query; all of its conditions must hold.

    Attributes:
        people: each is somebody on screen during the line.
        together: likewise, but all of them and of ``people`` are on screen at the same instant.
        before, after: seconds since 1970; the recording was uploaded before, or at or after, that time.
        speakers: words of the names of voices; each is part of the name of the line's voice.
        files: folded text that the key contains.
    """

    phrases: list[Phrase] = field(default_factory=list)
    people: list[Name] = field(default_factory=list)
    together: list[Name] = field(default_factory=list)
    speakers: list[tuple[str, ...]] = field(default_factory=list)
    before: int | None = None
    after: int | None = None
    files: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[Name]:
        return [*self.people, *self.together]


def parse(text: str) -> Query:
    """
    Raises:
        SearchError: it is empty or too long, a quote is not closed, a field is unknown, or a value does not fit its
            field.
    """
    if len(text) > MAX_CHARACTERS:
        raise SearchError(f"a search has at most {MAX_CHARACTERS} characters")
    query, at, terms = Query(), 0, 0
    text = text.rstrip()
    while at < len(text):
        found = _TERM.match(text, at)
        terms += 1
        if found is None:
            raise SearchError(f"a quote is not closed: {visible(text[at:].strip())}")
        if terms > _MAX_TERMS:
            raise SearchError(f"a search has at most {_MAX_TERMS} parts")
        at = found.end()
        _take(query, (found["key"] or "").lower(), found)
    if not terms:
        raise SearchError('nothing is asked; for example: budget "next year" person:"Ada King"')
    return query


def _take(query: Query, key: str, found: re.Match[str]) -> None:
    value = found["quoted"] if found["quoted"] is not None else found["bare"]
    if not key:
        star = bool(found["star"]) or (found["quoted"] is None and value.endswith("*"))
        if words := folded(value):
            query.phrases.append(Phrase(words, star))
        return
    take = _FIELDS.get(key)
    if take is None:
        there = " ".join(f"{name}:" for name in _FIELDS)
        raise SearchError(f"{key}: is not a field; there are {there} (words with a colon go into quotes)")
    if not value.strip():
        raise SearchError(f"{key}: has no value")
    take(query, value.strip())


def _person(query: Query, value: str) -> None:
    query.people.append(_name("person", value))


def _with(query: Query, value: str) -> None:
    query.together.append(_name("with", value))


def _name(key: str, value: str) -> Name:
    words = folded(value)
    if not words:
        raise SearchError(f"{key}: {visible(value)} is not a name")
    return Name(words, value)


def _said_by(query: Query, value: str) -> None:
    query.speakers.append(_name("said-by", value).words)


def _before(query: Query, value: str) -> None:
    query.before = _seconds("before", value)


def _after(query: Query, value: str) -> None:
    query.after = _seconds("after", value)


def _seconds(key: str, value: str) -> int:
    found = _DATE.fullmatch(value)
    try:
        year, month, day = (int(part or 1) for part in found.groups()) if found else (0, 0, 0)
        if not 1970 <= year < _LAST_YEAR:
            raise ValueError(value)
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError:
        raise SearchError(f"{key}: {visible(value)} is not a date: write 2026, 2026-03 or 2026-03-31") from None


def _file(query: Query, value: str) -> None:
    query.files.append(fold(value))


def _language(query: Query, value: str) -> None:
    query.languages.append(value.lower())


_FIELDS: dict[str, Callable[[Query, str], None]] = {
    "person": _person,
    "with": _with,
    "said-by": _said_by,
    "before": _before,
    "after": _after,
    "file": _file,
    "language": _language,
}


def all_in(words: Sequence[str], phrases: Sequence[Phrase]) -> bool:
    """Whether a line contains all phrases."""
    return all(next(places(words, phrase), None) is not None for phrase in phrases)


def places(words: Sequence[str], phrase: Phrase) -> Iterator[int]:
    """Positions in the words of a line at which a phrase begins."""
    size = len(phrase.words)
    for at in range(len(words) - size + 1):
        here = tuple(words[at : at + size])
        if here == phrase.words or (
            phrase.prefix and here[:-1] == phrase.words[:-1] and here[-1].startswith(phrase.words[-1])
        ):
            yield at
