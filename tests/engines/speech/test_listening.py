"""Listening with an engine that is a table: what it omits, repeats or mistakes is known, and so is the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from castline.engines.speech import voice, whisper
from castline.engines.speech.listening import Hearing, listen
from castline.engines.speech.packing import Pack
from castline.errors import ModelError, ResourceError, UnitError
from castline.media.chunks import SAMPLE_RATE
from castline.records import Word

Spoken = tuple[str, float, float]
_SENTENCE: list[Spoken] = [(" Here", 1.0, 1.3), (" it", 1.3, 1.6), (" begins.", 1.6, 2.2)]
_NEXT: list[Spoken] = [(" Then", 4.0, 4.4), (" it", 4.4, 4.7), (" goes", 4.7, 5.1), (" on.", 5.1, 5.5)]
_LAST: list[Spoken] = [(" And", 8.0, 8.3), (" ends.", 8.3, 9.0)]
_ALL = [*_SENTENCE, *_NEXT, *_LAST]
_STRETCHES = [(1.0, 2.2), (4.0, 5.5), (8.0, 9.0)]


def _word(text: str, start: float, end: float, probability: float = 0.9) -> Word:
    return whisper.word(text, start, end, probability)


def _heard(each: Pack, words: Sequence[Spoken], language: str = "en", sure: float | None = None) -> Hearing:
    """The words of the audio that lie in a pack, in the pack's time."""
    spoken = [
        _word(text, start - first + at, end - first + at)
        for at, first, last in each.pieces
        for text, start, end in words
        if first <= (start + end) / 2 < last
    ]
    return Hearing(tuple(spoken), language, sure, 0.01)


@pytest.fixture
def speaks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[float, float]]], np.ndarray]:
    """Audio in which somebody speaks at the given times."""

    def build(stretches: list[tuple[float, float]]) -> np.ndarray:
        monkeypatch.setattr(voice, "stretches", lambda _: stretches)
        return np.zeros(int((max((end for _, end in stretches), default=0) + 2) * SAMPLE_RATE), np.float32)

    return build


def _text(found: object) -> str:
    return " ".join(segment.text for segment in found.segments)  # type: ignore[attr-defined]


def test_speech_that_a_window_leaves_out_is_transcribed_again_alone(speaks) -> None:
    calls: list[list[tuple[float, float]]] = []

    def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        calls.append([each.span for each in wanted])
        return [_heard(each, _ALL if len(calls) > 1 else [*_SENTENCE, *_LAST], language) for each in wanted]

    found = listen(speaks(_STRETCHES), hear, "en")
    assert _text(found) == "Here it begins. Then it goes on. And ends."
    assert found.warnings == ()
    [[(start, end)]] = calls[1:]
    assert 2.2 <= start < 4.0
    assert 5.5 < end <= 8.0
    moments = [moment for segment in found.segments for word in segment.words for moment in (word.start_s, word.end_s)]
    assert moments == sorted(moments)


def test_speech_that_stays_unread_is_reported_with_its_times(speaks) -> None:
    found = listen(speaks(_STRETCHES), lambda wanted, _: [_heard(each, _SENTENCE) for each in wanted], "en")
    assert _text(found) == "Here it begins."
    assert [(notice.code, notice.start_s, notice.end_s) for notice in found.warnings] == [("speech_not_read", 4.0, 9.0)]
    assert "5.0 s" in found.warnings[0].message


def test_unread_stretches_far_apart_are_reported_separately(speaks) -> None:
    stretches = [*_STRETCHES, (30.0, 31.0)]
    found = listen(speaks(stretches), lambda wanted, _: [_heard(each, _ALL) for each in wanted], "en")
    assert [(notice.start_s, notice.end_s) for notice in found.warnings] == [(30.0, 31.0)]


def test_without_speech_the_engine_is_not_called(speaks) -> None:
    def refuse(*_: object) -> list[Hearing]:
        raise AssertionError("asked")

    found = listen(speaks([]), refuse, None)
    assert (found.segments, found.language, found.languages, found.warnings) == ((), None, (), ())


def _count(until: int, per_s: float = 2.0) -> list[Spoken]:
    return [(" no,", 1 + number / per_s, 1 + (number + 1) / per_s) for number in range(until)]


def test_spoken_repetitions_are_kept(speaks) -> None:
    words = _count(50)
    stretches = [(1.0 + number, 1.9 + number) for number in range(25)]
    found = listen(speaks(stretches), lambda wanted, _: [_heard(each, words) for each in wanted], "en")
    assert sum(len(segment.words) for segment in found.segments) == 50
    assert any(segment.compression_ratio > 2.4 for segment in found.segments)
    assert not any(segment.suspect for segment in found.segments)


def test_a_window_that_repeats_itself_is_transcribed_in_halves(speaks) -> None:
    babble = [(" so", 1 + number / 8, 1 + (number + 1) / 8) for number in range(64)]
    longest = 6.0

    def hear(wanted: Sequence[Pack], _: str | None) -> list[Hearing]:
        return [_heard(each, babble if each.span[1] - each.span[0] > longest else _ALL) for each in wanted]

    found = listen(speaks(_STRETCHES), hear, "en")
    assert _text(found) == "Here it begins. Then it goes on. And ends."
    assert not any(segment.suspect for segment in found.segments)


def test_repetition_faster_than_speech_is_suspected_and_kept(speaks) -> None:
    babble = [(" so", 1 + number / 20, 1 + (number + 1) / 20) for number in range(60)]
    found = listen(speaks([(1.0, 4.0)]), lambda wanted, _: [_heard(each, babble) for each in wanted], "en")
    assert sum(len(segment.words) for segment in found.segments) == 60
    assert all(segment.suspect for segment in found.segments)


def test_each_window_has_its_own_language(speaks) -> None:
    stretches = [(1.0, 25.0), (27.0, 50.0)]
    words = [(" yes", 1.0 + number, 2.0 + number) for number in range(24)]
    worte = [(" ja", 27.0 + number, 28.0 + number) for number in range(23)]

    def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        assert language is None
        return [
            _heard(each, worte if each.span[0] > 20 else words, "de" if each.span[0] > 20 else "en", 0.97)
            for each in wanted
        ]

    found = listen(speaks(stretches), hear, None)
    assert found.language == "en"
    assert [(item.code, item.probability) for item in found.languages] == [("en", 0.97), ("de", 0.97)]
    assert {segment.language for segment in found.segments} == {"en", "de"}
    for segment in found.segments:
        assert set(segment.text.split()) == ({"yes"} if segment.language == "en" else {"ja"})


def test_a_window_with_two_languages_is_transcribed_in_halves(speaks) -> None:
    english, german = (0.0, 12.0), (14.0, 26.0)
    words = [(" yes", 1.0 + number, 2.0 + number) for number in range(11)]
    worte = [(" ja", 14.0 + number, 15.0 + number) for number in range(12)]

    def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        heard = []
        for each in wanted:
            start, end = each.span
            if end < german[0]:
                heard.append(_heard(each, words, "en", 0.98))
            elif start > english[1]:
                heard.append(_heard(each, worte, "de", 0.98))
            else:
                heard.append(_heard(each, [*words, *[(" yeah", *times) for _, *times in worte]], "en", 0.6))
        return heard

    found = listen(speaks([(1.0, 12.0), german]), hear, None)
    assert {segment.language for segment in found.segments} == {"en", "de"}
    assert "yeah" not in _text(found)
    assert [item.code for item in found.languages] == ["de", "en"]


def test_a_window_without_a_sure_language_follows_the_others(speaks) -> None:
    asked: list[str | None] = []
    words = [(" yes", 1.0 + number, 2.0 + number) for number in range(27)]

    def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        asked.append(language)
        return [
            _heard(each, [*words, (" oui", 40.0, 41.0)], language or ("en" if each.span[0] < 20 else "fr"),
                   None if language else 0.99 if each.span[0] < 20 else 0.3)
            for each in wanted
        ]  # fmt: skip

    found = listen(speaks([(1.0, 28.0), (40.0, 41.0)]), hear, None)
    assert asked == [None, "en"]
    assert found.language == "en"
    assert "fr" not in {segment.language for segment in found.segments}


def test_a_sentence_s_last_word_stays_with_it(speaks) -> None:
    """The attention places it behind the pause, or makes it last until the next sentence."""
    late = [(" Here", 1.0, 1.3), (" it", 1.3, 3.4), (" ends.", 3.4, 3.4), (" Then", 6.0, 6.4), (" more", 6.4, 9.9)]
    found = listen(speaks([(1.0, 2.2), (6.0, 7.0)]), lambda wanted, _: [_heard(each, late) for each in wanted], "en")
    [first, second] = found.segments
    assert first.text == "Here it ends."
    assert first.end_s <= 2.5
    assert all(word.end_s - word.start_s > 0.1 for word in first.words)
    assert second.end_s <= 7.3


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(ValueError("The maximum decoding length must be > 0"), ModelError), (MemoryError(), ResourceError),
     (RuntimeError("bad\nmore"), ModelError), (UnitError("as it is"), UnitError)],
)  # fmt: skip
def test_whatever_an_engine_raises_becomes_a_typed_error(raised: Exception, expected: type[Exception], speaks) -> None:
    def hear(*_: object) -> list[Hearing]:
        raise raised

    with pytest.raises(expected) as caught:
        listen(speaks(_STRETCHES), hear, "en")
    assert "\n" not in str(caught.value)


def test_a_long_unread_stretch_is_transcribed_in_windows(speaks) -> None:
    lengths: list[float] = []

    def hear(wanted: Sequence[Pack], _: str | None) -> list[Hearing]:
        lengths.extend(len(each.samples) / SAMPLE_RATE for each in wanted)
        return [_heard(each, []) for each in wanted]

    found = listen(speaks([(1.0, 100.0)]), hear, "en")
    assert max(lengths) <= whisper.WINDOW_S
    assert [(notice.start_s, notice.end_s) for notice in found.warnings] == [(1.0, 100.0)]


_HEAP: list[Spoken] = [(" to be able", 4.2 + 0.01 * at, 4.2 + 0.01 * (at + 1)) for at in range(60)]


@pytest.mark.parametrize("recovers", [True, False])
def test_a_second_transcription_of_random_words_is_rejected(speaks, recovers: bool) -> None:
    """It was once accepted as speech but suspect, so it was missing from the transcript without a warning."""
    calls: list[tuple[float, float]] = []

    def hear(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        calls.extend(each.span for each in wanted)
        said = [[*_SENTENCE, *_LAST], _HEAP, _NEXT if recovers else _HEAP][min(len(calls), 3) - 1]
        return [_heard(each, said, language or "en") for each in wanted]

    found = listen(speaks(_STRETCHES), hear, "en")
    (begin, end), (closer_begin, closer_end) = calls[1:]
    assert begin < closer_begin < closer_end < end
    assert not any(segment.suspect for segment in found.segments)
    if recovers:
        assert _text(found) == "Here it begins. Then it goes on. And ends."
        assert found.warnings == ()
    else:
        assert _text(found) == "Here it begins. And ends."
        assert [(notice.code, notice.start_s) for notice in found.warnings] == [("speech_not_read", 4.0)]
