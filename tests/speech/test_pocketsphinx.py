"""The bundled recogniser: it hears words, hears nothing in silence, and forgets what it heard before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from castline.engines import Speech
from castline.media.chunks import SAMPLE_RATE
from castline.records import Segment
from castline.speech import pocketsphinx_engine
from castline.speech.pocketsphinx_engine import PocketSphinxTranscriber
from tests.speech import sounds


@pytest.fixture(scope="module")
def sphinx() -> PocketSphinxTranscriber:
    return PocketSphinxTranscriber()


@pytest.fixture(scope="module")
def heard(sphinx: PocketSphinxTranscriber, speech) -> tuple[Segment, ...]:
    return sphinx.transcribe(Speech(speech)).segments


def test_it_hears_what_is_said(heard: tuple[Segment, ...]) -> None:
    assert "hello and welcome to this short film" in " ".join(segment.text for segment in heard)


def test_words_lie_inside_the_audio_and_in_order(heard: tuple[Segment, ...], speech) -> None:
    length = len(speech) / SAMPLE_RATE
    for segment in heard:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)
        assert segment.avg_logprob is not None
        assert segment.avg_logprob <= 0
    words = [word for segment in heard for word in segment.words]
    assert all(0 <= word.start_s < word.end_s <= length + 0.02 for word in words)
    assert all(one.end_s <= other.start_s + 0.011 for one, other in pairwise(words))
    assert all(word.probability is not None and 0 <= word.probability <= 1 for word in words)
    assert not any(set(word.text) & set("<>[]()") for word in words)


def test_what_was_heard_before_makes_no_difference(sphinx: PocketSphinxTranscriber, speech, heard) -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, 2 * SAMPLE_RATE).astype(np.float32)
    for before in (speech[SAMPLE_RATE:] * 0.1, noise):
        sphinx.transcribe(Speech(before))
        assert sphinx.transcribe(Speech(speech)).segments == heard
    assert PocketSphinxTranscriber().transcribe(Speech(speech)).segments == heard


def test_a_delay_moves_the_words_and_nothing_else(sphinx: PocketSphinxTranscriber, speech, heard) -> None:
    delayed = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.float32), speech])
    again = sphinx.transcribe(Speech(delayed)).segments
    text = " ".join(segment.text for segment in again)
    assert "welcome to this short film" in text
    welcome = next(word for segment in heard for word in segment.words if word.text == "welcome")
    moved = next(word for segment in again for word in segment.words if word.text == "welcome")
    assert moved.start_s == pytest.approx(welcome.start_s + 3, abs=0.1)


@pytest.mark.parametrize("samples", [1, 37, 80, 159, 511, 8123])
def test_where_a_chunk_begins_makes_no_difference(samples: int, sphinx: PocketSphinxTranscriber, speech, heard) -> None:
    """Frames are counted from the speech: cut anywhere in the silence before it, it reads the same."""
    room = np.random.default_rng(samples).normal(0, 1e-4, samples).astype(np.float32)
    again = sphinx.transcribe(Speech(np.concatenate([room, speech]))).segments
    assert [segment.text for segment in again] == [segment.text for segment in heard]
    moved = samples / SAMPLE_RATE
    for one, other in zip(heard, again, strict=True):
        assert other.start_s == pytest.approx(one.start_s + moved, abs=0.011)


@pytest.mark.parametrize("name", ["silence.wav", "white.wav", "hum.wav", "faint.wav"])
def test_silence_and_noise_say_nothing(
    name: str, sphinx: PocketSphinxTranscriber, quiet_media: dict[str, Path]
) -> None:
    samples = soundfile.read(quiet_media[name], 4 * SAMPLE_RATE, dtype="float32", always_2d=True)[0][:, 0]
    found = sphinx.transcribe(Speech(samples))
    assert found.segments == ()
    assert found.language == "en"


@pytest.mark.parametrize("name", sounds.NAMES)
def test_it_invents_no_words(name: str, sphinx: PocketSphinxTranscriber) -> None:
    assert sphinx.transcribe(Speech(sounds.sound(name))).segments == ()


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["malformed-join.mp3", "no-initial-keyframe.ts", "rotate-buck-bunny.mp4", "edts.mp4", "audio_only_test_07.mp4"],
)
def test_it_invents_no_words_in_real_sound(
    name: str, sphinx: PocketSphinxTranscriber, shared_data: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    ffmpeg("-i", shared_data / "badmedia" / name, "-vn", "-ac", 1, "-ar", SAMPLE_RATE, tmp_path / "sound.wav")
    samples = soundfile.read(tmp_path / "sound.wav", dtype="float32")[0]
    assert len(samples) > SAMPLE_RATE
    assert sphinx.transcribe(Speech(samples)).segments == ()


@pytest.mark.parametrize("name", ["hum", "arpeggio", "drums", "bass"])
def test_speech_over_sound_is_heard(name: str, sphinx: PocketSphinxTranscriber, speech) -> None:
    text = [
        segment.text for segment in sphinx.transcribe(Speech(sounds.mixed(speech, sounds.sound(name), 20))).segments
    ]
    assert "welcome to this short film" in " ".join(text)


def test_of_speech_between_music_only_the_speech_is_heard(sphinx: PocketSphinxTranscriber, speech) -> None:
    sentence = speech[: 3 * SAMPLE_RATE]
    shown = np.concatenate([sounds.sound("chords"), sentence, sounds.sound("arpeggio")])
    found = sphinx.transcribe(Speech(shown)).segments
    assert "welcome to this short film" in " ".join(segment.text for segment in found)
    assert found[0].start_s > sounds.SECONDS
    assert found[-1].end_s < sounds.SECONDS + 3.5


@pytest.mark.parametrize("length", [0, 1, 100, 479, 480, 481])
def test_a_moment_of_sound_says_nothing(length: int, sphinx: PocketSphinxTranscriber) -> None:
    assert sphinx.transcribe(Speech(np.full(length, 0.5, np.float32))).segments == ()


def test_samples_out_of_range_are_clipped_and_not_wrapped(sphinx: PocketSphinxTranscriber, speech) -> None:
    loud = sphinx.transcribe(Speech(speech * np.float32(4)))
    assert "welcome" in " ".join(segment.text for segment in loud.segments)


def test_a_long_utterance_is_split_where_it_can_be_read(make_words) -> None:
    steady = list(pocketsphinx_engine._segments(make_words([0.0] * 60)))
    assert all(segment.end_s - segment.start_s <= 12 for segment in steady)
    assert sum(len(segment.words) for segment in steady) == 60
    paused = list(pocketsphinx_engine._segments(make_words([0, 0, 0.6, 0, 0.4])))
    assert [len(segment.words) for segment in paused] == [2, 3]
    assert list(pocketsphinx_engine._segments([])) == []


@pytest.fixture
def make_words():
    from castline.records import Word

    def build(pauses: list[float]) -> list[Word]:
        words, at = [], 0.0
        for number, pause in enumerate(pauses):
            at += pause
            words.append(Word(start_s=at, end_s=at + 0.5, text=f"w{number}", probability=0.5))
            at += 0.5
        return words

    return build
