"""How well voices are told apart: conversations with known turns, mixed of recordings of single people.

Rates are those of ``pyannote.metrics`` (H. Bredin, 2017), without a collar: DER is the share of speech that is missed,
invented or given to a wrong voice; JER the mean over people of how badly the best voice fits (DIHARD II).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castline.engines.base import VoiceEncoder
from castline.engines.speech.voice import stretches
from castline.errors import ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.recognition.voices import Chunk, tell_apart, windows_of

Samples = NDArray[np.float32]
_FRAME_S = 0.05  # in which the answer is asked for


@dataclass(frozen=True, slots=True)
class Turn:
    start_s: float
    end_s: float
    who: str


@dataclass(frozen=True, slots=True)
class Mix:
    """Attributes:
    samples: mono 16 kHz, float32.
    turns: who speaks when; pauses inside a turn are none of it.
    """

    samples: Samples
    turns: tuple[Turn, ...]

    @property
    def people(self) -> int:
        return len({turn.who for turn in self.turns})


def mix(
    people: Mapping[str, Sequence[Samples]],
    *,
    turns: int,
    seed: int,
    overlap: float = 0.1,
    noise_db: float | None = 25.0,
) -> Mix:
    """A conversation: everybody in turn, by chance, never twice in a row where there are two.

    Args:
        people: utterances by who says them: mono 16 kHz.
        overlap: share of turns that begin up to half a second before the last has ended; others come 0.1 to 1.2 s
            later.
        noise_db: distance of white noise from the speech; None for silence.
    """
    chance = np.random.default_rng(seed)
    names = sorted(people)
    placed: list[tuple[int, Samples, str]] = []
    at = 0
    for who in _order(names, turns, chance):
        said = people[who][int(chance.integers(len(people[who])))]
        level = float(np.sqrt(np.mean(np.square(said)))) or 1.0
        loud = said * np.float32(10 ** (chance.uniform(-26, -20) / 20) / level)
        gap = -chance.uniform(0.1, 0.5) if placed and chance.random() < overlap else chance.uniform(0.1, 1.2)
        at = max(0, at + int(gap * SAMPLE_RATE))
        placed.append((at, loud, who))
        at += len(loud)
    samples = np.zeros(max(start + len(loud) for start, loud, _ in placed) + SAMPLE_RATE // 2, np.float32)
    spoken: list[Turn] = []
    for start, loud, who in placed:
        samples[start : start + len(loud)] += loud
        first = start / SAMPLE_RATE
        spoken += [Turn(first + begin, first + end, who) for begin, end in stretches(loud)]
    if noise_db is not None:
        samples += chance.normal(0, 10 ** ((-23 - noise_db) / 20), len(samples)).astype(np.float32)
    return Mix(samples, tuple(spoken))


def _order(names: Sequence[str], turns: int, chance: np.random.Generator) -> list[str]:
    """Rounds in which everybody speaks once."""
    found: list[str] = []
    while len(found) < turns:
        row = [str(name) for name in chance.permutation(names)]
        found += [*row[1:], row[0]] if found and row[0] == found[-1] else row
    return found[:turns]


def answer(samples: Samples, encoder: VoiceEncoder, same_voice: float) -> list[Turn]:
    """Who speaks when, as the pipeline would say of one chunk; voices are called by their numbers."""
    spoken = stretches(samples)
    windows = windows_of(spoken)
    heard = tell_apart([Chunk(windows, encoder.embed_voices(samples, windows))], same_voice)
    turns = []
    for start, end in spoken:
        for at in np.arange(start, end, _FRAME_S):
            voice = heard.at(float(at) + _FRAME_S / 2)
            if voice is not None:
                turns.append(Turn(float(at), min(end, float(at) + _FRAME_S), str(voice)))
    return turns


@dataclass(frozen=True, slots=True)
class Rates:
    """Attributes:
    der, jer: 0 is best.
    people, voices: how many there are, and were found.
    """

    der: float
    jer: float
    people: int
    voices: int


def rates(conversation: Mix, turns: Sequence[Turn]) -> Rates:
    """How well an answer fits a conversation.

    Raises:
        ModelNotFound: pyannote.metrics is not installed.
    """
    try:
        from pyannote.core import Segment as Span
        from pyannote.core import Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
    except ImportError as error:
        raise ModelNotFound("measuring voices needs pyannote.metrics: pip install 'castline[eval]'") from error
    truth, said = _annotation(conversation.turns), _annotation(turns)
    whole = Timeline([Span(0.0, len(conversation.samples) / SAMPLE_RATE)])
    return Rates(
        float(DiarizationErrorRate()(truth, said, uem=whole)),
        float(JaccardErrorRate()(truth, said, uem=whole)),
        conversation.people,
        len({turn.who for turn in turns}),
    )


def _annotation(turns: Sequence[Turn]) -> object:
    from pyannote.core import Annotation, Segment

    found = Annotation()
    for number, turn in enumerate(turns):
        found[Segment(turn.start_s, turn.end_s), number] = turn.who
    return found.support()
