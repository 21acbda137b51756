"""Measures how well voices are told apart, in conversations with known turns, mixed from recordings of single people.

Rates are those of ``pyannote.metrics`` (H. Bredin, 2017), without a collar: DER is the share of speech that is missed,
invented or given to a wrong voice; JER the mean over people of how badly the best voice fits (DIHARD II).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from castline.engines.base import VoiceEncoder
from castline.engines.speech.voice import stretches
from castline.errors import EvaluationError, ModelNotFound
from castline.media.chunks import SAMPLE_RATE
from castline.recognition.voices import Chunk, Window, tell_apart, windows_of
from castline.records import Record

Samples = NDArray[np.float32]
_FRAME_S = 0.05  # interval at which the answer is sampled


_WAYS = ((25.0, 0.1), (None, 0.0), (15.0, 0.1), (25.0, 0.3))  # noise in dB below the speech, share of overlaps
_MOST_PEOPLE = 6
SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".opus", ".mp3"))


@dataclass(frozen=True, slots=True)
class Turn:
    start_s: float
    end_s: float
    who: str


@dataclass(frozen=True, slots=True)
class Mix:
    """Attributes:
    samples: mono 16 kHz, float32.
    turns: who speaks when, without pauses inside a turn.
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
    """A conversation: everybody takes turns at random, but nobody twice in a row if there are two or more.

    Args:
        people: utterances by speaker: mono 16 kHz.
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
    """Who speaks when, as the pipeline would find in one chunk; voices are identified by numbers."""
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
    people, voices: how many there are, and how many were found.
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


# --- many conversations -------------------------------------------------------------------------


class Told(Record):
    """Mean rates of some conversations at a threshold.

    Attributes:
        right: in how many of them the number of voices was right.
    """

    same_voice: float
    der: float
    jer: float
    conversations: int
    right: int


def conversations(people: Mapping[str, Sequence[Samples]], seed: int = 1) -> list[Mix]:
    """Four conversations for each number of people from two to six, with different noise and overlaps."""
    chance = np.random.default_rng(seed)
    found = []
    for count in range(2, min(_MOST_PEOPLE, len(people)) + 1):
        for number, (noise_db, overlap) in enumerate(_WAYS):
            names = [str(name) for name in chance.permutation(sorted(people))[:count]]
            turns = (4 if count < 5 else 3) * count
            chosen = {name: people[name] for name in names}
            found.append(mix(chosen, turns=turns, seed=100 * count + number, noise_db=noise_db, overlap=overlap))
    return found


def told_apart(mixes: Sequence[Mix], encoder: VoiceEncoder, limits: Sequence[float]) -> list[Told]:
    """How well the same conversations are told apart at each of some thresholds."""
    known = [_Remembered(encoder, each.samples) for each in mixes]
    found = []
    for limit in limits:
        scored = [rates(each, answer(each.samples, memory, limit)) for each, memory in zip(mixes, known, strict=True)]
        found.append(
            Told(
                same_voice=round(limit, 3),
                der=round(float(np.mean([each.der for each in scored])), 4),
                jer=round(float(np.mean([each.jer for each in scored])), 4),
                conversations=len(scored),
                right=sum(each.voices == each.people for each in scored),
            )
        )
    return found


class _Remembered:
    """An encoder that caches its embeddings, which do not depend on the threshold."""

    def __init__(self, encoder: VoiceEncoder, samples: Samples) -> None:
        self.info = encoder.info
        self._vectors = encoder.embed_voices(samples, windows_of(stretches(samples)))

    def embed_voices(self, samples: Samples, windows: Sequence[Window]) -> NDArray[np.float32]:
        return self._vectors


def read_people(folder: Path) -> dict[str, list[Samples]]:
    """Recordings by person: a folder for each, with recordings of nobody else.

    Raises:
        EvaluationError: fewer than two people, or a recording that cannot be read.
    """
    found: dict[str, list[Samples]] = {}
    for person in sorted(path for path in folder.glob("*") if path.is_dir()):
        files = sorted(path for path in person.iterdir() if path.suffix.lower() in SUFFIXES)
        if files:
            found[person.name] = [read_mono(path) for path in files]
    if len(found) < 2:
        raise EvaluationError(f"{folder} has no two folders with recordings ({', '.join(sorted(SUFFIXES))}) in them")
    return found


def read_mono(path: Path) -> Samples:
    """A recording as mono 16 kHz, resampled without aliases.

    Raises:
        EvaluationError: it cannot be read.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    mono = np.asarray(samples.mean(axis=1), np.float32)
    if rate == SAMPLE_RATE:
        return mono
    size = len(mono) * SAMPLE_RATE // rate
    spectrum = np.fft.rfft(mono)
    low = np.fft.irfft(spectrum[: size // 2 + 1], size)
    return np.asarray(low * (size / len(mono)), np.float32)
