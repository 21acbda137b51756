"""What the engines of the Whisper family share: languages, limits, words, and what is suspicious.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022; the limits
are those of its reference implementation, https://github.com/openai/whisper (MIT).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from castline.engines import EngineInfo, language_code
from castline.records import Segment, SpeechOptions, Word
from castline.sentences import ends
from castline.speech.declared import Family

#: Whisper hears this much at a time.
WINDOW_S = 30.0

# Whisper invents text where nothing is said: such segments have a high no-speech probability and a low mean
# log probability. Text that compresses well repeats itself.
_NO_SPEECH, _LOGPROB, _COMPRESSION = 0.6, -1.0, 2.4

#: Tags whose language goes by another code in Whisper.
_CODES = {"jv": "jw", "nb": "no", "iw": "he", "fil": "tl", "cmn": "zh"}
#: Languages that are written without spaces: a word is what has times of its own.
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})

_PAUSE_S = 0.8
_LONGEST_S = 12.0


def code(options: SpeechOptions) -> str | None:
    """Whisper's code of the language asked for, or None to find out."""
    asked = language_code(options.language)
    return _CODES.get(asked, asked) if asked else None


def describe(family: Family, info: EngineInfo, path: Path, *, multilingual: bool, codes: Iterable[str]) -> EngineInfo:
    """What an engine can do with the model it has loaded.

    English-only models know one language and cannot translate. The distilled models were trained on English
    speech alone, although their vocabulary has all languages, and the turbo was trained without translations
    and answers in the language it hears (both as their model cards say).

    Args:
        info: the declaration, with the reason of the choice.
        path: the model's file or folder, whose name tells those kinds.
        codes: the languages of the engine's vocabulary.
    """
    model = family.model(path.name)
    english = not multilingual or model.startswith("distil-")
    known = {"en"} if english else set(codes)
    also = {tag for tag, meant in _CODES.items() if meant in known}
    return replace(
        info,
        id=f"{family.id}:{model}",
        source=str(path),
        languages=tuple(sorted(known | also)),
        translates=not english and "turbo" not in model,
    )


def prompt(options: SpeechOptions) -> str | None:
    """The prompt of engines without hot words: these come first, because the end weighs more."""
    parts = [f"{hotwords(options)}." if options.hotwords else "", options.prompt or ""]
    return " ".join(part for part in parts if part) or None


def hotwords(options: SpeechOptions) -> str | None:
    return ", ".join(options.hotwords) or None


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of it compressed: above 2.4 it repeats itself."""
    body = text.encode()
    return len(body) / len(zlib.compress(body))


def is_suspect(avg_logprob: float | None, no_speech_prob: float | None, ratio: float | None) -> bool:
    """Whether a segment is likely invented. It is marked and kept.

    Where the engine does not tell the no-speech probability, a low mean log probability is enough.
    """
    unlikely = avg_logprob is not None and avg_logprob < _LOGPROB
    silent = unlikely and (no_speech_prob is None or no_speech_prob > _NO_SPEECH)
    return silent or (ratio is not None and ratio > _COMPRESSION)


def segment(
    text: str,
    start_s: float,
    end_s: float,
    words: Sequence[Word],
    *,
    avg_logprob: float,
    no_speech_prob: float | None,
    ratio: float | None = None,
) -> Segment:
    """A segment with its numbers, rounded.

    Args:
        ratio: compression ratio; None takes that of the text.
    """
    text = text.strip()
    ratio = compression_ratio(text) if ratio is None else ratio
    return Segment(
        start_s=round(float(start_s), 3),
        end_s=round(float(end_s), 3),
        text=text,
        words=tuple(words),
        avg_logprob=round(float(avg_logprob), 4),
        no_speech_prob=None if no_speech_prob is None else round(float(no_speech_prob), 4),
        compression_ratio=round(float(ratio), 4),
        suspect=is_suspect(avg_logprob, no_speech_prob, ratio),
    )


def word(text: str, start_s: float, end_s: float, probability: float) -> Word:
    start = round(float(start_s), 3)
    return Word(
        start_s=start,
        end_s=max(start, round(float(end_s), 3)),
        text=text.strip(),
        probability=round(min(1.0, float(probability)), 4),
    )


def sentences(spoken: Iterable[tuple[str, Word]], *, language: str | None = None) -> Iterator[tuple[str, list[Word]]]:
    """Split the words of a window where a sentence ends, the speaker pauses, or it gets too long to read.

    Args:
        spoken: words in order of time, each with its text as written, spaces included.
        language: Whisper's code of what they are in, whose abbreviations end no sentence; None takes English's.
    """
    heard = list(spoken)
    text, current, ended = "", list[Word](), False
    for (written, each), ends_here in zip(heard, ends([written for written, _ in heard], language), strict=True):
        if current and (
            ended or each.start_s - current[-1].end_s > _PAUSE_S or each.end_s - current[0].start_s > _LONGEST_S
        ):
            yield text, current
            text, current = "", []
        text += written
        current.append(each)
        ended = ends_here
    if current:
        yield text, current
