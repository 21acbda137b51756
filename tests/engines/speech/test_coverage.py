"""Recognised words against the stretches in which somebody speaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.engines.speech.coverage import bounded, in_speech, joined, uncovered, within_speech
from castline.records import Word


@pytest.mark.parametrize(
    ("spoken", "words", "expected"),
    [
        ([], [], []),
        ([(1, 3)], [], [(1, 3)]),
        ([(1, 1.7)], [], []),  # too short to be sure
        ([(1, 1.5), (2, 2.5)], [], [(1, 2.5)]),
        ([(1, 5)], [(1, 2), (4, 5)], [(1.9, 4)]),  # a word lasts 0.9 s at most
        ([(1, 5)], [(1, 4.9)], [(1.9, 5)]),
        ([(1, 5)], [(1, 1.8), (2, 2.8), (3, 3.8), (4, 4.8)], []),
        ([(1, 2), (10, 12)], [(1, 1.9)], [(10, 12)]),
    ],
)
def test_speech_that_no_word_covers(spoken, words, expected) -> None:
    assert uncovered(spoken, [Word(start_s=start, end_s=end, text="x") for start, end in words]) == expected


def test_short_pauses_lie_inside_words() -> None:
    assert joined([(0, 1), (1.2, 2), (3, 4)]) == [(0, 2), (3, 4)]
    assert list(bounded([(0, 10), (20, 95)], 30)) == [(0, 10), (20, 45), (45, 70), (70, 95)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [([(1, 2)], 1), ([(0, 2)], 0.5), ([(3, 4)], 0), ([(3, 3), (3, 3)], 0), ([(1, 1.5), (9, 9.5)], 0.5)],
)
def test_the_share_of_words_in_speech(words, expected) -> None:
    assert in_speech([Word(start_s=start, end_s=end, text="x") for start, end in words], [(1, 2)]) == expected


_TIMES = st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5)), max_size=30)


@given(_TIMES, _TIMES)
def test_words_stay_in_order_and_in_the_audio(words, pauses) -> None:
    spoken, end = [], 0.0
    for pause, length in pauses:
        spoken.append((end + pause / 6 + 0.1, end + pause / 6 + 0.2 + length))
        end = spoken[-1][1]
    heard = sorted((start, start + length) for start, length in words)
    found = within_speech([Word(start_s=a, end_s=b, text="x") for a, b in heard], spoken, 65.0)
    assert len(found) == len(heard)
    assert all(0 <= word.start_s <= word.end_s <= 65 for word in found)
