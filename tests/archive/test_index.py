"""The index is what is published: after changes, deletions, damage, and the death of who writes it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from castline import keys
from castline.archive.index import Index
from castline.archive.refresh import refresh, refresh_one
from castline.archive.search import search
from castline.errors import SearchError
from castline.operations import delete_media
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.archive.conftest import Shelf

_NAMES = ["Ada King", "Grace Hopper", "<b>Zoë</b>"]
_WORDS = "budget film year river stone light paper house money garden".split()


def _dump(index: Index) -> list[tuple[object, ...]]:
    with index.reading() as connection:
        tables = ("recording", "seen", "presence")
        found = [row for table in tables for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]  # noqa: S608
        for word in _WORDS:
            found += connection.execute("SELECT ?, rowid FROM said WHERE said MATCH ? ORDER BY rowid", (word, word))
    return found


def _fill(shelf: Shelf, count: int) -> None:
    chance = random.Random(7)
    for number in range(count):
        lines = [" ".join(chance.choices(_WORDS, k=8)) for _ in range(6)]
        people = [shelf.make.person(1, chance.choice(_NAMES), (0, chance.randint(1, 60)))]
        shelf.publish(f"talk {number}.mp4", lines, people)


def test_only_what_changed_is_read(shelf: Shelf) -> None:
    _fill(shelf, 5)
    assert len(refresh(shelf.index, shelf.store, shelf.settings).written) == 5
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ()
    shelf.publish("talk 3.mp4", ["Something new."])
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ("talk 3.mp4",)
    assert [hit.media for hit in search(shelf.index, '"something new"').hits] == ["talk 3.mp4"]


def test_changed_again_and_again_it_is_as_if_built_at_once(shelf: Shelf, tmp_path: Path) -> None:
    for round_ in range(3):
        _fill(shelf, 4 + round_)
        shelf.publish("talk 1.mp4", [f"round {round_} of the budget"])
        shelf.remove("talk 2.mp4")
        shelf.refresh()
    rebuilt = Index(tmp_path / "rebuilt.db")
    refresh(rebuilt, shelf.store, shelf.settings)
    assert _dump(rebuilt) == _dump(shelf.index)


def test_an_event_only_says_where_to_look(shelf: Shelf) -> None:
    _fill(shelf, 2)
    assert refresh_one("talk 1.mp4", shelf.index, shelf.store, shelf.settings)
    assert list(shelf.index.etags()) == ["talk 1.mp4"]
    shelf.remove("talk 1.mp4")
    assert not refresh_one("talk 1.mp4", shelf.index, shelf.store, shelf.settings)
    assert not refresh_one("nothing.mp4", shelf.index, shelf.store, shelf.settings)
    assert shelf.index.etags() == {}


def test_what_is_deleted_is_in_no_byte_of_the_file(shelf: Shelf) -> None:
    _fill(shelf, 3)
    shelf.publish("secret.mp4", ["The word is xylophonist."], [shelf.make.person(1, "Mallory Quux", (0, 9))])
    shelf.refresh()
    assert search(shelf.index, "xylophonist person:quux").hits
    assert _holds(shelf.index, b"lophonist") and _holds(shelf.index, b"Mallory Quux")
    delete_media("secret.mp4", shelf.store, shelf.settings)
    shelf.refresh()
    assert not search(shelf.index, "xylophonist").hits
    for gone in (b"lophonist", b"Mallory Quux", b"secret.mp4"):
        assert not _holds(shelf.index, gone)


def test_a_name_that_left_its_results_is_in_no_byte_of_the_file(shelf: Shelf) -> None:
    people = [shelf.make.person(1, "Mallory Quux", (0, 9))]
    shelf.publish("a.mp4", ["Hello."], people)
    shelf.refresh()
    shelf.publish("a.mp4", ["Hello."], [shelf.make.person(1, "", (0, 9), identity="unknown")])
    shelf.refresh()
    assert search(shelf.index, "person:quux").notes
    assert [hit.people[0].name for hit in search(shelf.index, "hello").hits] == ["Person 1"]
    assert not _holds(shelf.index, b"Mallory Quux")


def _holds(index: Index, text: bytes) -> bool:
    files = index.path.parent.glob(f"{index.path.name}*")
    return any(text in path.read_bytes() for path in files)


def test_a_result_that_cannot_be_read_is_named_and_keeps_nobody_from_the_others(shelf: Shelf) -> None:
    shelf.store.put(shelf.settings.output_bucket, keys.result_key("bad.mp4"), b"{")
    shelf.publish("good.mp4", ["Hello."])
    shelf.refresh()
    assert [hit.media for hit in search(shelf.index, "hello").hits] == ["good.mp4"]
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ()
    with shelf.index.reading() as connection:
        (error,) = connection.execute("SELECT error FROM recording WHERE media = 'bad.mp4'").fetchone()
    assert "cannot be read" in error


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be taken for one" * 40])
def test_a_damaged_file_is_built_anew(shelf: Shelf, damage: bytes) -> None:
    _fill(shelf, 2)
    shelf.refresh()
    before = _dump(shelf.index)
    shelf.index.path.write_bytes(damage)
    shelf.index = Index(shelf.index.path)
    shelf.refresh()
    assert _dump(shelf.index) == before


def test_damage_that_is_met_while_searching_is_said(shelf: Shelf) -> None:
    shelf.publish("a.mp4", ["a budget"])
    shelf.refresh()
    with shelf.index.writing() as connection:
        connection.execute("DELETE FROM said_data WHERE id > 10")
    with pytest.raises(SearchError, match="is damaged; remove"):
        search(shelf.index, "budget")


def test_an_index_of_another_version_is_built_anew(shelf: Shelf) -> None:
    _fill(shelf, 2)
    shelf.refresh()
    connection = sqlite3.connect(shelf.index.path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    shelf.index = Index(shelf.index.path)
    assert shelf.index.etags() == {}


def test_ids_are_unique_where_everything_came_at_once(shelf: Shelf) -> None:
    _fill(shelf, 40)  # the store has no times: all are of second 0
    shelf.refresh()
    assert len(search(shelf.index, "file:talk", limit=200).hits) == 40


def _write_slowly(store: MemoryStore, settings: Settings, path: Path, pipe: int) -> None:
    """Tells of each recording through the pipe, before its transaction ends; and stands still at the fifth."""

    class Slow(Index):
        def put(self, entry):  # type: ignore[no-untyped-def]
            from castline.archive.index import _insert, _remove

            with self.writing() as connection:
                _remove(connection, entry.media)
                _insert(connection, entry)
                os.write(pipe, b".")
                if len(self.etags()) == 5:
                    signal.pause()

    refresh(Slow(path), store, settings)


def test_killed_while_writing_and_gone_on_it_is_the_same(shelf: Shelf, tmp_path: Path) -> None:
    _fill(shelf, 12)
    path = tmp_path / "killed.db"
    ours, theirs = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_write_slowly, args=(shelf.store, shelf.settings, path, theirs)
    )
    process.start()
    os.close(theirs)
    for _ in range(6):  # the sixth has been written, and is not committed
        assert os.read(ours, 1) == b"."
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.close(ours)
    killed = Index(path)
    assert len(killed.etags()) == 5
    refresh(killed, shelf.store, shelf.settings)
    shelf.refresh()
    assert _dump(killed) == _dump(shelf.index)
