"""What the Whisper engines share, tested alone: prompts, suspicion, sentences, and windows."""

from __future__ import annotations

import numpy as np
import pytest

from castline.engines.speech import packing, whisper
from castline.engines.speech.packing import Pack, halves, packs
from castline.media.chunks import SAMPLE_RATE
from castline.records import SpeechOptions, Word, spell


def _words(*spoken: tuple[str, float, float]) -> list[Word]:
    return [whisper.word(text, start, end, 1.0) for text, start, end in spoken]


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


_PLAIN = "The quick brown fox jumps over the lazy dog."
_DRILL = "It is five. " * 7


@pytest.mark.parametrize(
    ("text", "probability", "no_speech_prob", "seconds", "suspect"),
    [
        (_PLAIN, 0.8, 0.01, 3, False),
        (_PLAIN, 0.3, 0.7, 3, True),
        (_PLAIN, 0.3, 0.5, 3, False),  # unlikely words, but somebody speaks
        (_PLAIN, 0.45, 0.7, 3, False),
        (_PLAIN, 0.3, None, 3, True),
        (_PLAIN, 0.8, None, 3, False),
        (_DRILL, 0.94, 0.01, 8, False),  # said again and again
        (_DRILL, 0.5, 0.01, 8, True),
        (_DRILL, 0.94, 0.01, 2, True),  # nobody speaks that fast
    ],
)
def test_what_is_probably_a_hallucination(text, probability, no_speech_prob, seconds, suspect) -> None:
    parts = text.split()
    words = [whisper.word(f" {part}", seconds * at / len(parts), seconds * (at + 1) / len(parts), probability)
             for at, part in enumerate(parts)]  # fmt: skip
    found = whisper.segment(words, no_speech_prob=no_speech_prob)
    assert found.suspect is suspect
    assert found.avg_logprob == pytest.approx(np.log(probability), abs=1e-3)
    assert (found.start_s, found.end_s) == (0, pytest.approx(seconds, abs=1e-3))


def _tokens(text: str) -> int:
    return len(text.split())


def test_a_prompt_that_fits_is_left_as_it_is() -> None:
    options = SpeechOptions(prompt="A lecture about  engines.", hotwords=("Castline", "Ada"))
    assert whisper.fit_prompt(options, _tokens) == (options, ())
    assert whisper.fit_prompt(SpeechOptions(), _tokens) == (SpeechOptions(), ())


@pytest.mark.parametrize("many", [0, 10, 100])
@pytest.mark.parametrize("length", [0, 60, 499])
@pytest.mark.parametrize("factor", [1, 3, 30])
def test_prompt_and_hot_words_leave_room_for_speech(many: int, length: int, factor: int) -> None:
    asked = SpeechOptions(prompt=" ".join(["a"] * length) or None, hotwords=tuple(f"N{at} M" for at in range(many)))
    found, warnings = whisper.fit_prompt(asked, lambda text: factor * _tokens(text))
    assert factor * _tokens(whisper.prompt(found) or "") <= 223
    assert found.hotwords == asked.hotwords[: len(found.hotwords)]
    assert (asked.prompt or "").endswith(found.prompt or "")
    assert {item.code for item in warnings} <= {"words_cut"}
    assert len(warnings) == (found.hotwords != asked.hotwords) + (found.prompt != asked.prompt)
    if many and factor < 30:
        assert found.hotwords


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
    assert [spell(words) for words in found[:2]] == ["One two.", "Three"]
    assert [word for words in found for word in words] == spoken
    assert all(words[-1].end_s - words[0].start_s <= 12 for words in found)
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
def test_an_abbreviation_ends_no_segment_but_a_quotation_does(language, text, sentences) -> None:
    spoken = _words(*((f" {word}", i / 4, i / 4 + 0.2) for i, word in enumerate(text.split())))
    found = list(whisper.sentences(spoken, language=language))
    assert len(found) == sentences
    assert spell(word for words in found for word in words) == text.strip()


def test_a_word_does_not_end_before_it_begins() -> None:
    word = whisper.word(" x ", 1.5, 1.2, 1.0000001)
    assert (word.text, word.start_s, word.end_s, word.probability) == ("x", 1.5, 1.5, 1.0)


def test_times_in_a_pack_are_found_in_the_audio() -> None:
    pack = Pack(np.zeros(0, np.float32), ((0.0, 5.0, 7.0), (2.0, 20.0, 24.0)))
    assert pack.in_audio(0.5, 1.5) == (5.5, 6.5)
    assert pack.in_audio(2.5, 3.0) == (20.5, 21.0)
    assert pack.in_audio(1.5, 2.1) == (6.5, 7.0)  # mostly in the first piece, and no longer than it
    assert pack.in_audio(1.9, 3.0) == (20.0, 21.0)
    assert pack.in_audio(2.0, 2.0) == (7.0, 7.0)
    assert pack.in_audio(5.5, 9.0) == (23.5, 24.0)


def test_packs_fill_a_window_and_no_more() -> None:
    spoken = [(1.3, 12.7), (15.3, 24.7), (40.3, 44.7), (50.3, 79.6)]
    samples = np.arange(90 * SAMPLE_RATE, dtype=np.float32)
    found = packs(samples, spoken)
    pieces = [[tuple(round(time, 3) for time in piece[1:]) for piece in pack.pieces] for pack in found]
    # Short pauses stay as they are, and three seconds are left of a long one.
    assert pieces == [[(1.0, 25.0)], [(40.0, 45.0)], [(50.0, 79.9)]]
    assert [[piece[1:] for piece in pack.pieces] for pack in packs(samples, [(1.3, 4), (30, 32)])] == [
        [(1.0, 5.8), (28.2, 32.3)]
    ]
    for pack in found:
        for at, start, _ in pack.pieces:
            assert pack.samples[int(at * SAMPLE_RATE)] == samples[int(start * SAMPLE_RATE)]
        assert len(pack.samples) <= packing.WINDOW_S * SAMPLE_RATE


def test_a_pack_is_halved_at_its_longest_pause() -> None:
    spoken = [(1.0, 4.0), (4.5, 8.0), (10.0, 12.0)]
    samples = np.zeros(20 * SAMPLE_RATE, np.float32)
    [whole] = packs(samples, spoken)
    first, second = halves(samples, whole, spoken)
    assert (first.span[1], second.span[0]) == (9.0, 9.0)
    assert (first.span[0], second.span[1]) == whole.span
    assert halves(samples, second, spoken) is None
