"""Where somebody speaks: found in speech, alone and over music; not found in sounds without a voice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile

from castline.engines.speech import voice
from castline.media.chunks import SAMPLE_RATE
from tests.engines.speech import sounds

_WORDS = (0.9, 2.9)  # from "hello" to "film" in the demo, seconds


def _pause(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


@pytest.mark.parametrize("name", sounds.NAMES)
def test_nobody_speaks_in_noise_machines_and_music(name: str) -> None:
    assert voice.windows(sounds.sound(name), longest_s=30) == []


@pytest.mark.parametrize("length", [0, 1, 63, 511, 512, 513, 4000])
def test_a_moment_of_sound_is_not_a_voice(length: int) -> None:
    assert voice.windows(np.full(length, 0.5, np.float32), longest_s=30) == []


@pytest.mark.parametrize("gain", [0.02, 0.3, 1.0])
def test_a_voice_is_found_with_a_margin(speech, gain: float) -> None:
    ((start, end),) = voice.windows(speech[: int(3.5 * SAMPLE_RATE)] * np.float32(gain), longest_s=30)
    assert 0 <= start < _WORDS[0] < _WORDS[1] < end <= 3.5


@pytest.mark.parametrize("name", ["pink noise", "hum", "fan", "chords", "arpeggio", "drums", "band"])
def test_a_voice_is_found_over_other_sound(name: str, speech) -> None:
    found = voice.windows(sounds.mixed(speech, sounds.sound(name), 10), longest_s=30)
    assert found
    assert found[0][0] < _WORDS[0]
    assert found[-1][1] > _WORDS[1]


def test_a_voice_between_music_is_found_without_the_music(speech) -> None:
    music = sounds.sound("chords")
    sentence = speech[: 3 * SAMPLE_RATE]
    ((start, end),) = voice.windows(np.concatenate([music, sentence, music]), longest_s=30)
    assert sounds.SECONDS - 0.1 < start < sounds.SECONDS + _WORDS[0]
    assert sounds.SECONDS + _WORDS[1] < end < sounds.SECONDS + 3.5


@pytest.mark.parametrize("floor_db", [-200, -68, -50, -40])
@pytest.mark.parametrize("seconds", [10.7, 13.0, 29.3, 55.3])
def test_a_short_word_after_a_long_silence_is_found(speech, seconds: float, floor_db: float) -> None:
    """The detector alone misses the word in 9 of these 16 places."""
    dice = np.random.default_rng(1)
    floor = dice.standard_normal(int((seconds + 3) * SAMPLE_RATE)).astype(np.float32) * np.float32(
        10 ** (floor_db / 20)
    )
    hello = speech[int(0.55 * SAMPLE_RATE) : int(1.1 * SAMPLE_RATE)]
    at = int(seconds * SAMPLE_RATE)
    floor[at : at + len(hello)] += hello
    ((start, end),) = voice.windows(floor, longest_s=30)
    assert seconds - 0.6 < start < seconds + 0.2
    assert seconds + 0.4 < end < seconds + 1.2


def test_short_pauses_are_joined_and_long_ones_are_not(speech) -> None:
    sentence = speech[int(0.8 * SAMPLE_RATE) : 3 * SAMPLE_RATE]
    assert len(voice.windows(np.concatenate([sentence, _pause(0.5), sentence]), longest_s=30)) == 1
    assert len(voice.windows(np.concatenate([sentence, _pause(3), sentence]), longest_s=30)) == 2


@pytest.mark.parametrize("longest_s", [1.2, 2, 5, 12])
def test_no_stretch_is_too_long_and_no_word_is_lost(longest_s: float, speech) -> None:
    talk = np.tile(speech[int(0.8 * SAMPLE_RATE) : 3 * SAMPLE_RATE], 8)
    whole = voice.windows(talk, longest_s=100)
    parts = voice.windows(talk, longest_s=longest_s)
    assert len(whole) == 1
    assert len(parts) > 1
    assert all(0 < end - start <= longest_s for start, end in parts)
    assert (parts[0][0], parts[-1][1]) == pytest.approx(whole[0])
    assert all(one[1] <= other[0] for one, other in pairwise(parts))


def test_it_cuts_at_the_longest_pause(speech) -> None:
    sentence = speech[int(0.8 * SAMPLE_RATE) : 3 * SAMPLE_RATE]
    talk = np.concatenate([sentence, _pause(0.2), sentence, _pause(0.7), sentence, _pause(0.2), sentence])
    pause_at = (2 * len(sentence) + len(_pause(0.2))) / SAMPLE_RATE
    (_, before), (after, _) = voice.windows(talk, longest_s=7)
    assert before <= after
    assert before == pytest.approx(pause_at + 0.35, abs=0.4)
    assert after == pytest.approx(pause_at + 0.35, abs=0.4)


def test_without_a_pause_it_cuts_at_the_quietest_moment() -> None:
    samples = sounds.sound("white noise")
    samples[int(3.4 * SAMPLE_RATE) : int(3.5 * SAMPLE_RATE)] *= 0.1
    (_, one), (two, _) = voice._cut([(0.0, 8.0)], samples, 5.0)
    assert one == two
    assert 3.4 < one < 3.5


def test_the_same_sound_gives_the_same_stretches_whatever_was_heard_before(speech) -> None:
    first = voice.windows(speech, longest_s=30)
    before = speech.copy()
    voice.windows(sounds.sound("band"), longest_s=30)
    assert voice.windows(speech, longest_s=30) == first
    assert np.array_equal(speech, before)


@pytest.mark.data
def test_real_recordings_are_found_whole(shared_data) -> None:
    path = shared_data / "speech" / "librispeech" / "1272-128104-0000.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    ((start, end),) = voice.windows(samples, longest_s=30)
    assert start < 0.7
    assert end > 5.2
