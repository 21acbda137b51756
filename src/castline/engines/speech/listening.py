"""Makes sure that all speech is transcribed: what every engine of the Whisper family does around its model.

Whisper ends a window when it considers everything said, and is sometimes wrong: whole sentences go missing silently. So
its words are compared with where somebody speaks. Speech that no word covers is transcribed once more, alone; if it
still has no words, the result says so. Likewise, a window that repeats itself is transcribed again in halves, and the
repetition stays only if it was said.

Measured on real recordings in docs/SPEECH.md ("Not a word lost").
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import Transcription
from castline.engines.speech import voice, whisper
from castline.engines.speech.coverage import LONGEST_WORD_S, bounded, in_speech, joined, moved, uncovered, within_speech
from castline.engines.speech.packing import Pack, halves, pack, packs
from castline.engines.speech.voice import Stretch
from castline.errors import CastlineError, ModelError, ResourceError
from castline.media.chunks import SAMPLE_RATE
from castline.records import Notice, Segment, SpokenLanguage, Word, spell

_MARGIN_S = 0.3
#: Above this probability a window keeps its own language; below it, the recording's is used.
_SURE, _VERY_SURE = 0.5, 0.9
_HEAP = 12  # words
_APART_S = 5.0  # stretches without words that are further apart get separate warnings


@dataclass(frozen=True, slots=True)
class Hearing:
    """What an engine transcribed in a pack.

    Attributes:
        spoken: words in order of time; times in the pack.
        language: Whisper's code.
        language_probability: 0..1 if the engine detected the language; None if it was given.
    """

    spoken: tuple[Word, ...]
    language: str
    language_probability: float | None = None
    no_speech_prob: float | None = None

    @property
    def text(self) -> str:
        return spell(self.spoken)


#: Packs and a language (None to detect it in each pack) -> what is transcribed in each.
Hear = Callable[[Sequence[Pack], str | None], list[Hearing]]


@dataclass(frozen=True, slots=True)
class _Heard:
    pack: Pack
    hearing: Hearing


@dataclass(frozen=True, slots=True)
class _Said:
    """A word in the audio."""

    word: Word
    hearing: Hearing


def listen(
    samples: NDArray[np.float32], hear: Hear, language: str | None, warnings: Iterable[Notice] = ()
) -> Transcription:
    """Transcribe everything that is said, with one engine.

    Args:
        samples: mono 16 kHz, shape (n,), float32 in -1..1.
        language: Whisper's code of the spoken language, or None to detect it.
        warnings: those that exist already.

    Raises:
        ModelError: the engine failed.
        ResourceError: it ran out of memory.
    """
    samples = voice.audible(samples)
    spoken = voice.stretches(samples)
    safely = _typed(hear)
    heard = _first(samples, spoken, safely, language)
    said = _in_time(heard)
    unread = uncovered(spoken, [item.word for item in said])
    if unread:
        again = [
            pack(samples, [_with_margin(stretch, said, samples)])
            for stretch in bounded(unread, whisper.WINDOW_S - 2 * _MARGIN_S)
        ]
        heard += _without_heaps(samples, _again(again, safely, language, said), safely)
        said = _in_time(heard)
        unread = uncovered(spoken, [item.word for item in said])
    words = within_speech([item.word for item in said], spoken, len(samples) / SAMPLE_RATE)
    said = [_Said(word, item.hearing) for item, word in zip(said, words, strict=True)]
    runs = joined(spoken)
    segments = tuple(
        chain.from_iterable(
            _segments(group, runs, language is None) for _, group in groupby(said, lambda item: item.hearing.language)
        )
    )
    return Transcription(
        language=_main_language(heard) if segments else language,
        languages=_languages(heard) if language is None and segments else (),
        segments=segments,
        warnings=(*warnings, *_not_read(unread, said)),
    )


def _typed(hear: Hear) -> Hear:
    def typed(wanted: Sequence[Pack], language: str | None) -> list[Hearing]:
        try:
            return hear(wanted, language) if wanted else []
        except CastlineError:
            raise
        except MemoryError as error:
            raise ResourceError("not enough memory to transcribe") from error
        except Exception as error:  # engines raise whatever their libraries raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(f"the speech engine failed: {reason}", detail=traceback.format_exc()) from error

    return typed


def _both(wanted: Sequence[Pack], hearings: Sequence[Hearing]) -> list[_Heard]:
    return [_Heard(each, hearing) for each, hearing in zip(wanted, hearings, strict=True)]


def _first(samples: NDArray[np.float32], spoken: Sequence[Stretch], hear: Hear, language: str | None) -> list[_Heard]:
    """Transcribe all windows; those that repeat themselves or may mix languages in halves, if that is better."""
    wanted = packs(samples, spoken)
    heard = _both(wanted, hear(wanted, language))
    heard = [part for each in heard for part in _unrepeated(samples, spoken, hear, language, each)]
    if language is None:
        heard = _by_language(samples, spoken, hear, heard)
    return heard


def _again(wanted: Sequence[Pack], hear: Hear, language: str | None, said: Sequence[_Said]) -> list[_Heard]:
    """Transcribe uncovered speech alone; if its language is uncertain, in that of the word before it."""
    heard = _both(wanted, hear(wanted, language))
    for number, each in enumerate(heard):
        sure = each.hearing.language_probability
        before = [item.hearing.language for item in said if item.word.start_s < each.pack.span[1]][-1:]
        if sure is not None and sure < _SURE and before and before[0] != each.hearing.language:
            heard[number] = _Heard(each.pack, hear([each.pack], before[0])[0])
    return heard


def _without_heaps(samples: NDArray[np.float32], heard: Iterable[_Heard], hear: Hear) -> Iterator[_Heard]:
    """Second transcriptions; one with many words in no time is tried without its margins, and then discarded.

    Words crowded into no time would hide that the speech was not transcribed.
    """
    for each in heard:
        if _heaped(each):
            begin, end = each.pack.span
            closer = pack(samples, [(min(begin + _MARGIN_S, end), max(end - _MARGIN_S, begin))])
            each = _Heard(closer, hear([closer], each.hearing.language)[0])
        if not _heaped(each):
            yield each


def _unrepeated(
    samples: NDArray[np.float32], spoken: Sequence[Stretch], hear: Hear, language: str | None, whole: _Heard
) -> list[_Heard]:
    """A window, replaced by its halves if it repeats what nobody says.

    That is the case if its words are crowded into no time, or if the halves have fewer words and leave no more speech
    uncovered.
    """
    heaped = _heaped(whole)
    if not heaped and not whisper.repeats(whole.hearing.text):
        return [whole]
    parts = halves(samples, whole.pack, spoken)
    if parts is None:
        return [whole]
    heard = _both(parts, hear(parts, language))
    inside = [stretch for stretch in spoken if whole.pack.span[0] <= stretch[0] < whole.pack.span[1]]
    fewer = sum(len(part.hearing.spoken) for part in heard) < len(whole.hearing.spoken)
    if not fewer or (not heaped and _unread_s(inside, heard) > _unread_s(inside, [whole])):
        return [whole]
    return [piece for part in heard for piece in _unrepeated(samples, spoken, hear, language, part)]


def _heaped(heard: _Heard) -> bool:
    """Whether many words of a window are crowded into no time."""
    words = heard.hearing.spoken
    return any(whisper.too_fast(words[at : at + _HEAP], heard.hearing.language) for at in range(len(words) - _HEAP + 1))


def _unread_s(spoken: Sequence[Stretch], heard: Sequence[_Heard]) -> float:
    return sum(end - start for start, end in uncovered(spoken, [item.word for item in _in_time(heard)]))


def _by_language(
    samples: NDArray[np.float32], spoken: Sequence[Stretch], hear: Hear, heard: Sequence[_Heard]
) -> list[_Heard]:
    """Windows in their own language if it is certain, otherwise in that of the recording.

    A window in which the language changes is probably uncertain, or beside one in another language: it is transcribed
    in halves, and these are used if they disagree.
    """
    main = _main_language(heard)
    found: list[_Heard] = []
    for number, each in enumerate(heard):
        sure = each.hearing.language_probability
        if sure is None or not each.hearing.spoken:
            found.append(each)
            continue
        beside = {other.hearing.language for other in heard[max(0, number - 1) : number + 2]}
        parts = halves(samples, each.pack, spoken) if sure < _VERY_SURE or len(beside) > 1 else None
        if parts is not None:
            in_halves = _both(parts, hear(parts, None))
            if _disagree(in_halves):
                found += [piece for part in in_halves for piece in _refined(samples, spoken, hear, part)]
                continue
        if sure < _SURE and each.hearing.language != main:
            each = _Heard(each.pack, hear([each.pack], main)[0])
        found.append(each)
    return found


def _refined(
    samples: NDArray[np.float32], spoken: Sequence[Stretch], hear: Hear, part: _Heard, depth: int = 2
) -> list[_Heard]:
    """A part of a window in which the language changes, divided again while its halves disagree."""
    parts = halves(samples, part.pack, spoken) if depth else None
    if parts is not None:
        heard = _both(parts, hear(parts, None))
        if _disagree(heard):
            return [piece for each in heard for piece in _refined(samples, spoken, hear, each, depth - 1)]
    return [part]


def _disagree(heard: Sequence[_Heard]) -> bool:
    """Whether parts are in different languages, each with certainty."""
    sure = all((part.hearing.language_probability or 0.0) >= _SURE and part.hearing.spoken for part in heard)
    return sure and len({part.hearing.language for part in heard}) > 1


def _main_language(heard: Iterable[_Heard]) -> str | None:
    """The language spoken most, each window's speech weighted by the certainty of its language."""
    weights: dict[str, float] = {}
    for each in heard:
        seconds = sum(word.end_s - word.start_s for word in each.hearing.spoken)
        sure = 1.0 if each.hearing.language_probability is None else each.hearing.language_probability
        weights[each.hearing.language] = weights.get(each.hearing.language, 0.0) + seconds * sure
    return min(weights, key=lambda code: (-weights[code], code), default=None)


def _languages(heard: Iterable[_Heard]) -> tuple[SpokenLanguage, ...]:
    """The detected languages, the one spoken most first."""
    seconds: dict[str, float] = {}
    weighted: dict[str, float] = {}
    for each in heard:
        code, sure = each.hearing.language, each.hearing.language_probability
        said = sum(word.end_s - word.start_s for word in each.hearing.spoken)
        if said and sure is not None:
            seconds[code] = seconds.get(code, 0.0) + said
            weighted[code] = weighted.get(code, 0.0) + said * sure
    return tuple(
        SpokenLanguage(code=code, probability=round(weighted[code] / said, 4), seconds=round(said, 3))
        for code, said in sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
    )


def _in_time(heard: Iterable[_Heard]) -> list[_Said]:
    """All words, in order of time in the audio."""
    said = [
        _Said(moved(word, *each.pack.in_audio(word.start_s, word.end_s)), each.hearing)
        for each in heard
        for word in each.hearing.spoken
    ]
    return sorted(said, key=lambda item: (item.word.start_s, item.word.end_s))


def _with_margin(stretch: Stretch, said: Sequence[_Said], samples: NDArray[np.float32]) -> Stretch:
    """A stretch with a margin that does not reach into words."""
    start, end = stretch
    before = max((min(item.word.end_s, item.word.start_s + LONGEST_WORD_S) for item in said
                  if item.word.start_s < start), default=0.0)  # fmt: skip
    after = min((item.word.start_s for item in said if item.word.start_s >= end), default=len(samples) / SAMPLE_RATE)
    return max(start - _MARGIN_S, min(before, start)), min(end + _MARGIN_S, max(after, end))


def _segments(group: Iterable[_Said], runs: Sequence[Stretch], found: bool) -> Iterator[Segment]:
    said = list(group)
    at = 0
    for words in whisper.sentences([item.word for item in said], language=said[0].hearing.language):
        hearing = said[at].hearing
        at += len(words)
        yield whisper.segment(
            words,
            no_speech_prob=hearing.no_speech_prob,
            language=hearing.language if found else None,
            code=hearing.language,
            in_speech=in_speech(words, runs),
        )


def _not_read(unread: Sequence[Stretch], said: Sequence[_Said]) -> Iterator[Notice]:
    """A warning for each place where somebody speaks but nothing could be transcribed."""
    places: list[Stretch] = []
    for start, end in unread:
        between = any(places and places[-1][1] <= item.word.start_s < start for item in said)
        if places and start - places[-1][1] < _APART_S and not between:
            places[-1] = (places[-1][0], end)
        else:
            places.append((start, end))
    for start, end in places:
        yield Notice(
            code="speech_not_read",
            message=f"somebody seems to speak for {end - start:.1f} s, and no words could be made out",
            start_s=round(start, 3),
            end_s=round(end, 3),
        )
