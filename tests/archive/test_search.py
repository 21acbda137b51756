"""Who said what, and when: moments, in order, page by page."""

from __future__ import annotations

import json

import pytest

from castline.archive.index import Entry
from castline.archive.moments import Answer
from castline.archive.search import search
from castline.errors import SearchError
from tests.archive.conftest import Shelf


def _found(answer: Answer) -> list[tuple[str, float]]:
    return [(hit.media, hit.start_s) for hit in answer.hits]


@pytest.fixture
def filled(shelf: Shelf) -> Shelf:
    make = shelf.make
    shelf.publish(
        "week1/board.mp4",
        ["The budget is too small.", "Let us go on.", "Next year the budget grows."],
        [make.person(1, "Ada King", (0, 12)), make.person(2, "Grace Hopper", (4, 30))],
    )
    shelf.publish(
        "week2/board.mp4",
        ["No budget, no film.", "Das Budget für nächstes Jahr."],
        [make.person(1, "Grace Hopper", (0, 3)), make.person(2, "", (10, 20), identity="unknown")],
    )
    shelf.refresh()
    return shelf


def test_words_are_found_in_any_case(filled: Shelf) -> None:
    answer = search(filled.index, "BUDGET")
    assert sorted(_found(answer)) == [
        ("week1/board.mp4", 0.0),
        ("week1/board.mp4", 20.0),
        ("week2/board.mp4", 0.0),
        ("week2/board.mp4", 10.0),
    ]
    hit = next(hit for hit in answer.hits if hit.text.startswith("The"))
    assert [hit.text[start:end] for start, end in hit.marks] == ["budget"]
    assert [person.name for person in hit.people] == ["Ada King", "Grace Hopper"]
    assert hit.path == "/recordings/week1%2Fboard.mp4/report.html#t=0.000"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"next year"', [("week1/board.mp4", 20.0)]),
        ('"year next"', []),
        ("nachstes", [("week2/board.mp4", 10.0)]),
        ("jah*", [("week2/board.mp4", 10.0)]),
        ("budget person:Ada", [("week1/board.mp4", 0.0)]),
        ('budget person:"ada king" with:grace', [("week1/board.mp4", 0.0)]),
        ("budget person:Grace file:WEEK2", [("week2/board.mp4", 0.0)]),
        ("budget small film", []),
        ("budget after:2300", None),
        ("budget language:de", []),
        ("film language:en", [("week2/board.mp4", 0.0)]),
        ("person:ada with:hopper", [("week1/board.mp4", 4.0)]),
        ("person:Person", []),  # nobody has this name: it is how strangers are shown
        ("file:week2", [("week2/board.mp4", 0.0)]),
    ],
)
def test_all_conditions_must_hold(filled: Shelf, query: str, found: list[tuple[str, float]] | None) -> None:
    if found is None:
        with pytest.raises(SearchError):
            search(filled.index, query)
        return
    assert _found(search(filled.index, query)) == found


def test_an_unknown_name_is_reported(filled: Shelf) -> None:
    (note,) = search(filled.index, "budget person:Babbage").notes
    assert note == "nobody in any recording is called Babbage; known are Ada King, Grace Hopper"


def test_people_are_together_only_at_the_same_instant(shelf: Shelf) -> None:
    make = shelf.make
    line = make.segment(1, "One long line about money.", 0, 20)
    shelf.publish("a.mp4", [line], [make.person(1, "Ada", (0, 5)), make.person(2, "Bob", (15, 20))])
    shelf.refresh()
    assert _found(search(shelf.index, "money person:Ada person:Bob")) == [("a.mp4", 0.0)]
    assert _found(search(shelf.index, "money person:Ada with:Bob")) == []


def test_pages_follow_each_other_and_repeat_nothing(shelf: Shelf) -> None:
    for number in range(7):
        shelf.publish(
            f"{number}.mp4", ["the same line", "the same line"], [shelf.make.person(1, "Ada", (0, 9), (12, 14))]
        )
    shelf.refresh()
    for query in ("same", "same file:mp4", "person:ada", "file:mp4"):
        whole = search(shelf.index, query, limit=200)
        pages, at = [], None
        while True:
            page = search(shelf.index, query, limit=3, after=at)
            pages += _found(page)
            at = page.next
            if at is None:
                break
        assert pages == _found(whole)
        assert len(pages) == len(set(pages)) == (7 if query == "file:mp4" else 14)


def test_many_recordings_are_searched_like_few(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits in few recordings are looked up one by one, those in many among all hits; both ways find the same."""
    for number in range(6):
        shelf.publish(f"{number}.mp4", ["a line", "a line", "another"])
    shelf.refresh()
    few = search(shelf.index, "line file:mp4", limit=5)
    monkeypatch.setattr("castline.archive.search._FEW", 1)
    assert search(shelf.index, "line file:mp4", limit=5) == few
    assert search(shelf.index, "line file:mp4", after=few.next).hits == search(shelf.index, "line", after=few.next).hits


@pytest.mark.parametrize("after", ["-1", "x", "9" * 40, "²"])
def test_an_invalid_page_is_refused(filled: Shelf, after: str) -> None:
    with pytest.raises(SearchError, match="said as next"):
        search(filled.index, "budget", after=after)


def test_uploads_of_this_moment_have_pages_too(shelf: Shelf) -> None:
    shelf.index.put(Entry("a.mp4", "e", 1_790_000_000, lines=((0, 9, "one", ""), (10, 19, "one", ""))))
    first = search(shelf.index, "one", limit=1)
    assert _found(search(shelf.index, "one", after=first.next)) == [("a.mp4", 0.01)]


def test_search_by_speaker(shelf: Shelf) -> None:
    make = shelf.make
    lines = [
        make.segment(1, "The budget is small.", 0, 5, speaker="Speaker 1"),
        make.segment(2, "The budget is large.", 10, 15, speaker="Speaker 2"),
        make.segment(3, "Is it?", 20, 25, speaker="Speaker 1"),
        make.segment(4, "No budget is.", 30, 35, speaker="Ada Lovelace"),
        make.segment(5, "Ada Lovelace has a budget.", 40, 45, speaker="Speaker 2"),
    ]
    shelf.publish("a.mp4", lines)
    shelf.publish("b.mp4", ["Nobody is told apart; the budget is."])
    shelf.refresh()
    assert _found(search(shelf.index, 'budget said-by:"speaker 2"')) == [("a.mp4", 10.0), ("a.mp4", 40.0)]
    found = search(shelf.index, 'said-by:"Speaker 1"')
    assert _found(found) == [("a.mp4", 0.0), ("a.mp4", 20.0)]
    assert {hit.speaker for hit in found.hits} == {"Speaker 1"}
    assert _found(search(shelf.index, "said-by:1", after=search(shelf.index, "said-by:1", limit=1).next)) == [
        ("a.mp4", 20.0)
    ]
    assert _found(search(shelf.index, "budget said-by:ada")) == [("a.mp4", 30.0)]
    assert _found(search(shelf.index, 'said-by:"Ada Lovelace"')) == [("a.mp4", 30.0)]
    assert search(shelf.index, "budget said-by:Bob").hits == ()


def test_results_without_voices_are_reported(filled: Shelf) -> None:
    answer = search(filled.index, 'budget said-by:"Speaker 1"')
    assert (answer.hits, answer.notes[0].partition(":")[0]) == ((), "no recording says who speaks")


def test_a_phrase_does_not_cross_lines(shelf: Shelf) -> None:
    shelf.publish("a.mp4", ["about the next", "year and film", "film, and the next year"])
    shelf.refresh()
    assert _found(search(shelf.index, '"next year"')) == [("a.mp4", 20.0)]
    assert _found(search(shelf.index, "next film")) == [("a.mp4", 20.0)]
    assert _found(search(shelf.index, '"the next ye"*')) == [("a.mp4", 20.0)]


def test_suspected_hallucinations_are_not_found(shelf: Shelf) -> None:
    shelf.publish("a.mp4", [shelf.make.segment(1, "Thanks for watching!", 0, 2, suspect=True), "Thanks."])
    shelf.refresh()
    assert _found(search(shelf.index, "thanks")) == [("a.mp4", 10.0)]


def test_the_answer_can_be_read_again(filled: Shelf) -> None:
    answer = search(filled.index, "budget")
    assert json.loads(answer.to_json())["hits"][0]["path"].startswith("/recordings/")
