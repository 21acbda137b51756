"""What the engines of the Whisper family share: languages, limits, words, and what is suspicious.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022; the limits
are those of its reference implementation, https://github.com/openai/whisper (MIT).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from castline.engines.base import EngineInfo, language_code
from castline.engines.speech.declared import Family
from castline.records import Notice, Segment, SpeechOptions, Word, spell
from castline.sentences import ends

#: Seconds that Whisper processes at a time.
WINDOW_S = 30.0

# Whisper invents text where nothing is said: such segments have a high no-speech probability and a low mean log
# probability. Text that compresses well is repetitive.
_NO_SPEECH, _LOGPROB, _COMPRESSION = 0.6, -1.0, 2.4
_REPEATED_LOGPROB = -0.5
#: More words (in languages without spaces, characters) per second than anybody says for the length of a sentence.
_FASTEST_WORDS, _FASTEST_CHARACTERS = 10.0, 20.0
_HEAP = 4
_IN_SPEECH = 0.2
_PROMPT_TOKENS = 223

#: Tags whose language has another code in Whisper.
_CODES = {"jv": "jw", "nb": "no", "iw": "he", "fil": "tl", "cmn": "zh"}
#: Languages written without spaces: a word is a unit with times of its own.
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})

_PAUSE_S = 0.8
_LONGEST_S = 12.0


def code(options: SpeechOptions) -> str | None:
    """Whisper's code of the requested language, or None to detect it."""
    asked = language_code(options.language)
    return _CODES.get(asked, asked) if asked else None


def describe(family: Family, info: EngineInfo, path: Path, *, multilingual: bool, codes: Iterable[str]) -> EngineInfo:
    """The capabilities of an engine with its loaded model.

    English-only models know one language and cannot translate. The distilled models were trained only on English
    speech, although their vocabulary has all languages, and the turbo model was trained without translations and
    answers in the spoken language (both according to their model cards).

    Args:
        info: the declaration, with the reason of the choice.
        path: the model's file or folder, whose name identifies those kinds.
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


def fit_prompt(options: SpeechOptions, count: Callable[[str], int]) -> tuple[SpeechOptions, tuple[Notice, ...]]:
    """Prompt and hot words as far as they fit into Whisper's context, and a warning about the rest.

    Half of Whisper's 448 tokens are reserved for preceding text. Hot words come first and are left out from the end of
    the list; a prompt keeps half of the room, and is truncated at its beginning, because the end matters more.

    Args:
        count: tokens of a text.
    """
    asked = count(options.prompt) if options.prompt else 0
    room = _PROMPT_TOKENS - min(asked, _PROMPT_TOKENS // 2)
    kept = list(options.hotwords)
    while kept and count(_listed(kept)) > room:
        kept.pop()
    words = (options.prompt or "").split()
    room = _PROMPT_TOKENS - (count(_listed(kept)) if kept else 0)
    first = 0
    while first < len(words) and count(" ".join(words[first:])) > room:
        first += max(1, (len(words) - first) // 16)
    warnings = []
    if left := options.hotwords[len(kept) :]:
        message = f"{len(left)} of {len(options.hotwords)} hot words did not fit and were ignored, from {left[0]!r} on"
        warnings.append(Notice(code="words_cut", message=message))
    if first:
        warnings.append(
            Notice(code="words_cut", message=f"the prompt was too long: its first {first} words were ignored")
        )
    fitting = options.model_copy(
        update={"hotwords": tuple(kept), "prompt": " ".join(words[first:]) or None if first else options.prompt}
    )
    return fitting, tuple(warnings)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) + "."


def prompt(options: SpeechOptions) -> str | None:
    """The text that engines get before the recording: hot words first, because the end matters more."""
    parts = [_listed(options.hotwords) if options.hotwords else "", options.prompt or ""]
    return " ".join(part for part in parts if part) or None


def compression_ratio(text: str) -> float:
    """Bytes of the text over its compressed bytes: above 2.4 it is repetitive."""
    body = text.encode()
    return len(body) / len(zlib.compress(body))


def repeats(text: str) -> bool:
    return compression_ratio(text) > _COMPRESSION


def is_suspect(segment: Segment, code: str | None) -> bool:
    """Whether a segment is probably invented. It is marked and kept.

    Either nobody seems to speak and the words have a low probability; if the engine has no no-speech probability, the
    latter is enough. Or the text is repetitive and has a low probability: real repetition (drills, counting, choruses)
    has a high one. Or nobody could say it in that time.

    Args:
        code: Whisper's code of the segment's language.
    """
    likely = segment.avg_logprob if segment.avg_logprob is not None else 0.0
    if likely < _LOGPROB and (segment.no_speech_prob is None or segment.no_speech_prob > _NO_SPEECH):
        return True
    if likely < _REPEATED_LOGPROB and (segment.compression_ratio or 0.0) > _COMPRESSION:
        return True
    return too_fast(segment.words, code)


def too_fast(words: Sequence[Word], code: str | None) -> bool:
    """Whether nobody can say so many words in their time: a model that repeats itself crowds them together.

    Args:
        code: Whisper's code of the language.
    """
    fastest = _FASTEST_CHARACTERS if code in WITHOUT_SPACES else _FASTEST_WORDS
    return len(words) >= _HEAP and len(words) > fastest * (words[-1].end_s - words[0].start_s)


def segment(
    words: Sequence[Word],
    *,
    no_speech_prob: float | None,
    language: str | None = None,
    code: str | None = None,
    in_speech: float = 1.0,
) -> Segment:
    """A segment of words with its numbers, rounded.

    Args:
        words: at least one.
        in_speech: the share of its time in which somebody speaks; a segment without any is suspect.
        language: set if it was detected.
        code: Whisper's code of the language, detected or requested.
    """
    text = spell(words)
    logs = [math.log(max(each.probability or 0.0, 1e-6)) for each in words]
    found = Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=text,
        words=tuple(words),
        avg_logprob=round(sum(logs) / len(logs), 4),
        no_speech_prob=None if no_speech_prob is None else round(float(no_speech_prob), 4),
        compression_ratio=round(compression_ratio(text), 4),
        language=language,
    )
    return found.model_copy(update={"suspect": in_speech < _IN_SPEECH or is_suspect(found, code)})


def word(text: str, start_s: float, end_s: float, probability: float) -> Word:
    """A word from the decoder, which puts the space before it."""
    start = round(float(start_s), 3)
    return Word(
        start_s=start,
        end_s=max(start, round(float(end_s), 3)),
        text=text,
        probability=round(min(1.0, float(probability)), 4),
        space=text[: len(text) - len(text.lstrip())],
    )


def sentences(spoken: Sequence[Word], *, language: str | None = None) -> Iterator[list[Word]]:
    """Split the words of a window where a sentence ends, the speaker pauses, or the segment gets too long to read.

    Args:
        spoken: in order of time.
        language: Whisper's code of their language, whose abbreviations end no sentence; None means English.
    """
    current, ended = list[Word](), False
    for each, ends_here in zip(spoken, ends([word.written for word in spoken], language), strict=True):
        if current and (
            ended or each.start_s - current[-1].end_s > _PAUSE_S or each.end_s - current[0].start_s > _LONGEST_S
        ):
            yield current
            current = []
        current.append(each)
        ended = ends_here
    if current:
        yield current
