"""The index equals what is published: after changes, deletions, damage, and a writer that is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from castline import keys
from castline.archive.index import Connection, Entry, Index
from castline.archive.place import open_index
from castline.archive.query import Phrase
from castline.archive.refresh import refresh, refresh_one
from castline.archive.search import search
from castline.archive.sqlite import SqliteIndex
from castline.errors import OptionsError, ResourceError, SearchError
from castline.operations import delete_media
from castline.settings import Settings
from tests.archive.conftest import Shelf

_NAMES = ["Ada King", "Grace Hopper", "<b>Zoë</b>"]
_WORDS = "budget film year river stone light paper house money garden".split()


def _dump(index: Index) -> list[tuple[object, ...]]:
    with index.reading() as connection:
        found = []
        for table in ("recording", "seen"):
            found += connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608
    with index.asking(60) as connection:
        for word in _WORDS:
            found += [(word, id_) for id_ in index.matching(connection, [Phrase((word,))], 0, (1 << 63) - 1)]
    return found


def _fill(shelf: Shelf, count: int) -> None:
    chance = random.Random(7)
    for number in range(count):
        lines = [" ".join(chance.choices(_WORDS, k=8)) for _ in range(6)]
        people = [shelf.make.person(1, chance.choice(_NAMES), (0, chance.randint(1, 60)))]
        shelf.publish(f"talk {number}.mp4", lines, people)


def test_only_changed_results_are_read(shelf: Shelf) -> None:
    _fill(shelf, 5)
    assert len(refresh(shelf.index, shelf.store, shelf.settings).written) == 5
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ()
    shelf.publish("talk 3.mp4", ["Something new."])
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ("talk 3.mp4",)
    assert [hit.media for hit in search(shelf.index, '"something new"').hits] == ["talk 3.mp4"]


def test_after_many_changes_it_equals_a_new_index(shelf: Shelf) -> None:
    for round_ in range(3):
        _fill(shelf, 4 + round_)
        shelf.publish("talk 1.mp4", [f"round {round_} of the budget"])
        shelf.remove("talk 2.mp4")
        shelf.refresh()
    rebuilt = shelf.new("rebuilt")
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


def test_no_byte_of_a_deleted_recording_is_left_in_the_file(sqlite_shelf: Shelf) -> None:
    shelf = sqlite_shelf
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


def test_no_byte_of_a_removed_name_is_left_in_the_file(sqlite_shelf: Shelf) -> None:
    shelf = sqlite_shelf
    people = [shelf.make.person(1, "Mallory Quux", (0, 9))]
    shelf.publish("a.mp4", ["Hello."], people)
    shelf.refresh()
    shelf.publish("a.mp4", ["Hello."], [shelf.make.person(1, "", (0, 9), identity="unknown")])
    shelf.refresh()
    assert search(shelf.index, "person:quux").notes
    assert [hit.people[0].name for hit in search(shelf.index, "hello").hits] == ["Person 1"]
    assert not _holds(shelf.index, b"Mallory Quux")


def _holds(index: Index, text: bytes) -> bool:
    assert isinstance(index, SqliteIndex)
    files = index.path.parent.glob(f"{index.path.name}*")
    return any(text in path.read_bytes() for path in files)


def test_an_unreadable_result_is_named_and_the_others_are_indexed(shelf: Shelf) -> None:
    shelf.store.put(shelf.settings.output_bucket, keys.result_key("bad.mp4"), b"{")
    shelf.publish("good.mp4", ["Hello."])
    shelf.refresh()
    assert [hit.media for hit in search(shelf.index, "hello").hits] == ["good.mp4"]
    assert refresh(shelf.index, shelf.store, shelf.settings).written == ()
    with shelf.index.reading() as connection:
        (error,) = connection.execute("SELECT error FROM recording WHERE media = 'bad.mp4'").fetchone()
    assert "cannot be read" in error


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be taken for one" * 40])
def test_a_damaged_file_is_rebuilt(sqlite_shelf: Shelf, damage: bytes) -> None:
    shelf = sqlite_shelf
    _fill(shelf, 2)
    shelf.refresh()
    before = _dump(shelf.index)
    assert isinstance(shelf.index, SqliteIndex)
    shelf.index.path.write_bytes(damage)
    shelf.index = shelf.new("index")
    shelf.refresh()
    assert _dump(shelf.index) == before


def test_damage_that_a_search_finds_is_reported(sqlite_shelf: Shelf) -> None:
    shelf = sqlite_shelf
    shelf.publish("a.mp4", ["a budget"])
    shelf.refresh()
    with shelf.index.writing() as connection:
        connection.execute("DELETE FROM said_data WHERE id > 10")
    with pytest.raises(SearchError, match="is damaged; remove"):
        search(shelf.index, "budget")


def test_an_index_of_another_version_is_rebuilt(shelf: Shelf) -> None:
    _fill(shelf, 2)
    shelf.refresh()
    with shelf.index.reading() as connection:
        if isinstance(shelf.index, SqliteIndex):
            connection.execute("PRAGMA user_version = 999")
        else:
            connection.execute("COMMENT ON SCHEMA index IS 'castline index 999'")
    shelf.index = shelf.new("index")
    assert shelf.index.etags() == {}


def test_ids_are_unique_although_all_times_are_equal(shelf: Shelf) -> None:
    _fill(shelf, 40)  # the store has no times: all results are from second 0
    shelf.refresh()
    assert len(search(shelf.index, "file:talk", limit=200).hits) == 40


def _write_slowly(shelf: Shelf, pipe: int) -> None:
    """Report each recording through the pipe before its transaction ends, and stop at the sixth."""
    index = shelf.new("killed")
    insert, written = index.insert, 0

    def slow(connection: Connection, entry: Entry) -> None:
        nonlocal written
        insert(connection, entry)
        written += 1
        os.write(pipe, b".")
        if written == 6:
            signal.pause()

    index.insert = slow  # type: ignore[method-assign]
    refresh(index, shelf.store, shelf.settings)


def test_a_killed_writer_is_resumed_with_the_same_index(shelf: Shelf) -> None:
    _fill(shelf, 12)
    ours, theirs = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_write_slowly, args=(shelf, theirs))
    process.start()
    os.close(theirs)
    for _ in range(6):  # the sixth has been written but not committed
        assert os.read(ours, 1) == b"."
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.close(ours)
    killed = shelf.new("killed")
    assert len(killed.etags()) == 5
    refresh(killed, shelf.store, shelf.settings)
    shelf.refresh()
    assert _dump(killed) == _dump(shelf.index)


def test_a_search_sees_the_index_as_it_is_at_one_moment(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that was removed between finding its lines and reading it ended the search in an error."""
    monkeypatch.setattr(
        "castline.archive.sqlite._BUSY_S", 0.2
    )  # emptying the journal waits for the search, which does not end here
    shelf.publish("talk.mp4", ["A budget."])
    shelf.refresh()
    with shelf.index.asking(60) as connection:
        before = connection.execute("SELECT id FROM recording").fetchall()
        shelf.remove("talk.mp4")
        shelf.refresh()
        assert len(before) == 1
        assert connection.execute("SELECT id FROM recording").fetchall() == before
    with shelf.index.asking(60) as connection:
        assert not connection.execute("SELECT id FROM recording").fetchall()


def test_two_writers_at_once_lose_nothing(shelf: Shelf) -> None:
    """As two services do that share an index: all recordings are from the same second, so they want the same ids."""
    _fill(shelf, 16)
    with ThreadPoolExecutor(2) as pool:
        for found in [pool.submit(refresh, shelf.new("index"), shelf.store, shelf.settings) for _ in range(2)]:
            found.result()
    assert len(shelf.index.etags()) == 16
    assert len(search(shelf.index, "file:talk", limit=200).hits) == 16


def test_no_row_of_a_removed_recording_is_left_in_postgresql(postgresql_shelf: Shelf) -> None:
    shelf = postgresql_shelf
    shelf.publish("secret.mp4", ["The word is xylophonist."], [shelf.make.person(1, "Mallory Quux", (0, 9))])
    shelf.refresh()
    assert search(shelf.index, "xylophonist person:quux").hits
    shelf.remove("secret.mp4")
    shelf.refresh()
    with shelf.index.reading() as connection:
        for table in ("recording", "seen", "said"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []  # noqa: S608


def test_a_missing_database_is_reported(postgresql_shelf: Shelf, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, archive="postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(ResourceError, match="cannot be reached"):
        open_index("here", settings)
    for wrong in ("mysql://here", "postgresql://[", "x"):
        with pytest.raises(OptionsError, match="CASTLINE_ARCHIVE"):
            open_index("here", settings.model_copy(update={"archive": wrong}))


def test_words_of_any_length_and_lines_of_any_size_are_indexed(shelf: Shelf) -> None:
    shelf.publish("a.mp4", ["x" * 60_000, "ha " * 40_000 + "end", "nul \x00 here", "budget " * 300 + "year"])
    shelf.refresh()
    assert [hit.start_s for hit in search(shelf.index, '"budget year"').hits] == [30.0]
    assert [hit.start_s for hit in search(shelf.index, "end ha").hits] == [10.0]
    assert [hit.start_s for hit in search(shelf.index, "nul here").hits] == [20.0]
