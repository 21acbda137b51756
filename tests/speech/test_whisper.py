"""What the Whisper engines share, by itself: prompts, suspicion, sentences, and speech without its pauses."""

from __future__ import annotations

import numpy as np
import pytest

from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions, Word
from castline.speech import packing, whisper
from castline.speech.packing import Pack, packs


def _words(*spoken: tuple[str, float, float]) -> list[tuple[str, Word]]:
    return [(text, whisper.word(text, start, end, 1.0)) for text, start, end in spoken]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SpeechOptions(), None),
        (SpeechOptions(prompt="A lecture."), "A lecture."),
        (SpeechOptions(hotwords=("Castline", "Ada")), "Castline, Ada."),
        (SpeechOptions(prompt="A lecture.", hotwords=("Castline", "Ada")), "Castline, Ada. A lecture."),
    ],
)
def test_hot_words_come_before_the_prompt(options: SpeechOptions, said: str | None) -> None:
    assert whisper.prompt(options) == said


@pytest.mark.parametrize(
    ("avg_logprob", "no_speech_prob", "ratio", "suspect"),
    [
        (-0.2, 0.01, 1.2, False),
        (-1.2, 0.7, 1.2, True),
        (-1.2, 0.5, 1.2, False),  # unlikely words, but somebody speaks
        (-0.8, 0.7, 1.2, False),
        (-0.2, 0.01, 2.5, True),
        (-1.2, None, 1.2, True),
        (-0.2, None, 1.2, False),
        (None, None, None, False),
    ],
)
def test_what_is_likely_invented(avg_logprob, no_speech_prob, ratio, suspect) -> None:
    assert whisper.is_suspect(avg_logprob, no_speech_prob, ratio) is suspect


def test_repetition_compresses() -> None:
    assert whisper.compression_ratio("and so on " * 30) > 10
    assert whisper.compression_ratio("The quick brown fox jumps over the lazy dog.") < 1
    assert whisper.compression_ratio("") == 0


def test_words_are_split_at_sentences_pauses_and_length() -> None:
    spoken = _words(
        (" One", 0.0, 0.4), (" two.", 0.4, 0.8), (" Three", 0.9, 1.2), (" four", 2.1, 2.5),
        *((f" {number}", 3.0 + number, 3.9 + number) for number in range(20)),
    )  # fmt: skip
    found = list(whisper.sentences(spoken))
    assert [text for text, _ in found[:2]] == [" One two.", " Three"]
    assert [word for _, words in found for word in words] == [word for _, word in spoken]
    assert all(words[-1].end_s - words[0].start_s <= 12 for _, words in found)
    assert len(found) == 4
    assert list(whisper.sentences([])) == []


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        (None, " We met Mr. Quilter. “Really?” he asked. “Yes.” At 5 p.m. on Monday.", 4),
        ("en", " No. I won't join the U.S. Navy.", 2),
        ("de", " Im 19. Jahrhundert kam Dr. Müller.", 1),
        ("fr", " Voici M. Dupont. Bien.", 2),
    ],
)
def test_an_abbreviation_ends_no_segment_and_a_quotation_does(language, text, sentences) -> None:
    spoken = _words(*((f" {word}", i / 4, i / 4 + 0.2) for i, word in enumerate(text.split())))
    found = list(whisper.sentences(spoken, language=language))
    assert len(found) == sentences
    assert "".join(text for text, _ in found) == text


def test_a_word_does_not_end_before_it_begins() -> None:
    word = whisper.word(" x ", 1.5, 1.2, 1.0000001)
    assert (word.text, word.start_s, word.end_s, word.probability) == ("x", 1.5, 1.5, 1.0)


def test_times_in_a_pack_are_found_in_the_audio() -> None:
    pack = Pack(np.zeros(0, np.float32), ((0.0, 5.0, 7.0), (2.0, 20.0, 24.0)))
    assert pack.in_audio(0.5, 1.5) == (5.5, 6.5)
    assert pack.in_audio(2.5, 3.0) == (20.5, 21.0)
    assert pack.in_audio(1.5, 2.1) == (6.5, 7.0)  # mostly in the first stretch, and no longer than it
    assert pack.in_audio(1.9, 3.0) == (20.0, 21.0)
    assert pack.in_audio(5.5, 9.0) == (23.5, 24.0)


def test_packs_fill_a_window_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stretches = [(1.0, 13.0), (15.0, 30.0), (40.0, 45.0), (50.0, 80.0)]
    monkeypatch.setattr("castline.speech.voice.windows", lambda samples, *, longest_s: stretches)
    samples = np.arange(90 * SAMPLE_RATE, dtype=np.float32)
    found = list(packs(samples))
    assert [len(pack.samples) / SAMPLE_RATE for pack in found] == [27, 5, 30]
    assert [piece[1:] for pack in found for piece in pack.pieces] == stretches
    for pack in found:
        for at, start, _ in pack.pieces:
            assert pack.samples[int(at * SAMPLE_RATE)] == samples[int(start * SAMPLE_RATE)]
        assert len(pack.samples) <= packing.WINDOW_S * SAMPLE_RATE
