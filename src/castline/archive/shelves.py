"""Lists for browsing without a search: recordings, and the people in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from castline.archive.index import ID_BITS, Index
from castline.archive.moments import OnScreen

Sort = Literal["new", "old", "name", "length"]
Only = Literal["all", "failed"]

_ORDER: dict[Sort, str] = {
    "new": "id DESC",
    "old": "id",
    "name": "{name}, media",
    "length": "duration_ms DESC, id DESC",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """Attributes:
    status: that of the result; ``failed`` also if the result cannot be read.
    error: why it failed; empty otherwise.
    people: everybody who is seen in it, in order of first appearance.
    """

    media: str
    status: str
    error: str
    language: str
    duration_s: float
    words: int
    uploaded: datetime
    people: tuple[OnScreen, ...]


@dataclass(frozen=True, slots=True)
class Face:
    """Somebody, in one recording.

    Attributes:
        label: id of the person in that result.
        image: file name of the picture there; empty where there is none.
        recordings: in how many the person is, if known; else 1.
    """

    name: str
    media: str
    label: str
    image: str
    identity: str
    on_screen_s: float
    recordings: int = 1


def recordings(
    index: Index, sort: Sort = "new", only: Only = "all", offset: int = 0, limit: int = 48
) -> list[Recording]:
    """A page of recordings."""
    where = "WHERE status = 'failed'" if only == "failed" else ""
    with index.reading() as connection:
        rows = connection.execute(
            f"SELECT id, media, status, error, language, duration_ms, words FROM recording {where}"  # noqa: S608 - ours
            f" ORDER BY {_ORDER[sort].format(name=index.name_order.format('media'))} LIMIT ? OFFSET ?",
            (limit, offset),
        ).fetchall()
        found = []
        for id_, media, status, error, language, duration_ms, words in rows:
            seen = connection.execute(
                "SELECT name, identity, image FROM seen WHERE recording = ? ORDER BY number", (id_,)
            )
            people = tuple(OnScreen(name=name, identity=known, image=image or None) for name, known, image in seen)
            uploaded = datetime.fromtimestamp(id_ >> ID_BITS, UTC)
            found.append(Recording(media, status, error, language, duration_ms / 1000, words, uploaded, people))
    return found


def counts(index: Index) -> tuple[int, int, float]:
    """How many recordings there are, how many of them failed, and how many seconds they last."""
    with index.reading() as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum(CASE status WHEN 'failed' THEN 1 ELSE 0 END), 0),"
            " coalesce(sum(duration_ms), 0) FROM recording"
        ).fetchone()
    return int(row[0]), int(row[1]), int(row[2]) / 1000


def known_people(index: Index) -> list[Face]:
    """Everybody known by name, in order of names, each with the picture of the longest appearance."""
    with index.reading() as connection:
        rows = connection.execute(
            "SELECT name, media, label, image, ms, count FROM (SELECT name, media, label, image,"  # noqa: S608 - ours
            " sum(on_screen_ms) OVER one AS ms, count(*) OVER one AS count, row_number() OVER (PARTITION BY name"
            " ORDER BY CASE image WHEN '' THEN 1 ELSE 0 END, on_screen_ms DESC, recording DESC, number) AS place"
            " FROM seen JOIN recording ON recording.id = seen.recording WHERE identity = 'known'"
            " WINDOW one AS (PARTITION BY name)) AS faces WHERE place = 1"
            f" ORDER BY {index.name_order.format('name')}, name"
        ).fetchall()
    return [
        Face(name, media, label, image, "known", int(ms) / 1000, count) for name, media, label, image, ms, count in rows
    ]


def seen_as(index: Index, name: str, limit: int = 60) -> list[Face]:
    """Recordings in which somebody is known by a name, the longest appearance first."""
    with index.reading() as connection:
        rows = connection.execute(
            "SELECT name, media, label, image, identity, on_screen_ms FROM seen"
            " JOIN recording ON recording.id = seen.recording WHERE identity = 'known' AND name = ?"
            " ORDER BY on_screen_ms DESC, media, number LIMIT ?",
            (name, limit),
        ).fetchall()
    return [Face(name, media, label, image, identity, ms / 1000) for name, media, label, image, identity, ms in rows]


def strangers(index: Index, limit: int = 60) -> list[Face]:
    """People without a name who have a picture, those longest on screen first."""
    with index.reading() as connection:
        rows = connection.execute(
            "SELECT name, media, label, image, identity, on_screen_ms FROM seen"
            " JOIN recording ON recording.id = seen.recording WHERE identity != 'known' AND image != ''"
            " ORDER BY on_screen_ms DESC, media, number LIMIT ?",
            (limit,),
        ).fetchall()
    return [Face(name, media, label, image, identity, ms / 1000) for name, media, label, image, identity, ms in rows]
