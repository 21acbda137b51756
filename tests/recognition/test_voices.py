"""From windows to voices, on vectors with known similarities."""

import numpy as np
import pytest

from castline.recognition.voices import Chunk, tell_apart, windows_of


def test_windows_cover_speech_evenly_and_leave_out_what_is_too_short():
    windows = windows_of([(0.0, 0.3), (1.0, 2.0), (3.0, 6.1)])
    assert windows[0] == (1.0, 2.0)
    assert windows[1][0] == 3.0
    assert windows[-1][1] == pytest.approx(6.1)
    assert all(end - start <= 1.6 + 1e-9 for start, end in windows)
    steps = np.diff([start for start, _ in windows[1:]])
    assert (steps <= 0.8 + 1e-9).all()


def talk(order, seed=0, spread=0.35, windows_each=4):
    """A chunk: voices take turns, with windows a second apart; windows of one voice have a cosine of about 0.89."""
    chance = np.random.default_rng(seed)
    voices = np.eye(64)[:20]
    windows, vectors = [], []
    for turn, who in enumerate(order):
        for step in range(windows_each):
            start = (turn * windows_each + step) * 1.0
            windows.append((start, start + 1.0))
            noise = chance.normal(size=64)
            vector = voices[who] + spread * noise / np.linalg.norm(noise)
            vectors.append(vector / np.linalg.norm(vector))
    return Chunk(windows, np.array(vectors, np.float32))


@pytest.mark.parametrize("people", [1, 2, 3, 6, 12])
def test_as_many_voices_are_found_as_there_are(people):
    order = [turn % people for turn in range(people * 3)]
    heard = tell_apart([talk(order)], 0.6)
    found = [heard.at(turn * 4 + 2.0) for turn in range(len(order))]
    assert len({*found}) == people
    assert None not in found
    assert all(found[turn] == found[turn % people] for turn in range(len(order)))


def test_voices_are_the_same_in_all_chunks():
    first = talk([0, 1], seed=1)
    second = talk([1, 2], seed=2)
    moved = Chunk([(start + 60, end + 60) for start, end in second.windows], second.vectors)
    heard = tell_apart([first, moved], 0.6)
    assert heard.at(6.0) == heard.at(62.0)
    assert len({heard.at(2.0), heard.at(6.0), heard.at(66.0)}) == 3
    assert heard.seconds(heard.at(6.0)) == pytest.approx(8.0)


def test_a_voice_heard_for_a_moment_is_assigned_to_nobody():
    long, brief = talk([0, 1]), talk([5], windows_each=1)
    heard = tell_apart([long, Chunk([(20.0, 21.0)], brief.vectors)], 0.6)
    assert heard.within(20.5)
    assert heard.at(20.5) is None
    assert heard.at(2.0) is not None


def test_moments_without_speech_belong_to_nobody():
    heard = tell_apart([talk([0])], 0.6)
    assert heard.at(30.0) is None
    assert not heard.within(30.0)
    assert tell_apart([], 0.6).at(0.0) is None


def test_many_groups_are_linked_in_blocks():
    chunks = []
    for number in range(70):
        chunk = talk([turn % 7 for turn in range(7)], seed=number, windows_each=1)
        shift = number * 10.0
        chunks.append(Chunk([(start + shift, end + shift) for start, end in chunk.windows], chunk.vectors))
    heard = tell_apart(chunks, 0.6)  # 490 groups
    assert len({heard.at(0.5 + second) for second in range(7)}) == 7
    assert all(heard.at(second + 0.5) == heard.at(690.5 + second) for second in range(7))


def test_windows_across_a_change_of_voice_do_not_agree():
    heard = tell_apart([talk([0, 1, 0, 1])], 0.6)
    assert heard.agreed(2.0)
    assert heard.agreed(6.0)
    assert not heard.agreed(3.8)
    assert not heard.agreed(4.3)
    assert heard.agreed(4.5)


def test_a_time_span_consists_of_the_windows_whose_middle_it_contains():
    heard = tell_apart([talk([0, 1])], 0.6)
    found = heard.between(4.4, 6.4)
    assert found[1] > 0.9 > 0.1 > abs(found[0])
    assert heard.between(4.6, 5.4) is None
