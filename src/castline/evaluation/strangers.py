"""Measures whether strangers' voices get names: impostor and genuine trials, also on degraded sound.

People are divided into two halves. Thresholds are chosen on the one, and results are reported for the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import soundfile
from numpy.typing import NDArray

from castline.assembly.known_voices import Enrolled, whose
from castline.engines.base import VoiceEncoder
from castline.engines.speech.voice import stretches
from castline.engines.thresholds import VoiceThresholds
from castline.errors import EvaluationError
from castline.media.chunks import SAMPLE_RATE
from castline.recognition.voices import windows_of
from castline.records import Embedding, EnrolledVoice, KnownVoice, Record

Samples = NDArray[np.float32]
Vectors = NDArray[np.float32]

_LEAST_ENROLLED, _LEAST_ASKED, _MOST_ASKED = 4, 2, 8  # windows
_ANY_LENGTH = 1e6  # nominal length of a stretch: the question is what the numbers are worth


def _noise(samples: Samples, chance: np.random.Generator) -> Samples:
    """White noise 10 dB below."""
    level = float(np.sqrt(np.mean(np.square(samples))))
    return np.asarray(samples + chance.normal(0, level * 10 ** (-10 / 20), len(samples)), np.float32)


def _opus(samples: Samples, chance: np.random.Generator) -> Samples:
    """Through Opus at about 8 kb/s."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=0.992)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def _telephone(samples: Samples, chance: np.random.Generator) -> Samples:
    """300 to 3400 Hz, and mu-law."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    band = np.fft.irfft(spectrum, len(samples))
    loud = np.log1p(255 * np.minimum(np.abs(band), 1)) / np.log(256)
    return np.asarray(np.sign(band) * np.expm1(np.round(loud * 127) / 127 * np.log(256)) / 255, np.float32)


def _room(samples: Samples, chance: np.random.Generator) -> Samples:
    """0.6 s of reverberation: decaying noise after the direct sound."""
    size = int(0.6 * SAMPLE_RATE)
    tail = chance.normal(size=size) * np.exp(-6.9 * np.arange(size) / size)
    tail[0] = 6.0
    long = np.fft.rfft(samples, len(samples) + size) * np.fft.rfft(tail, len(samples) + size)
    return np.asarray(np.fft.irfft(long, len(samples) + size)[: len(samples)] / np.linalg.norm(tail), np.float32)


WAYS: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "clean": lambda samples, chance: samples,
    "noise, 10 dB": _noise,
    "Opus, 8 kb/s": _opus,
    "telephone": _telephone,
    "room, 0.6 s": _room,
}


class Trials(Record):
    """Trials with one kind of sound.

    Attributes:
        strangers: impostor trials; ``named``, ``maybe``: how many got a name, or a ``maybe``.
        highest: the highest similarity of a stranger.
        own: trials with the right person; ``missed``: how many of them got no name.
    """

    way: str
    strangers: int
    named: int
    maybe: int
    highest: float
    own: int
    missed: int

    @property
    def frr(self) -> float | None:
        return self.missed / self.own if self.own else None


def parted(people: Mapping[str, Sequence[Samples]]) -> tuple[list[str], list[str]]:
    """Every second person by name: those to choose thresholds on, and those to report."""
    names = sorted(people)
    return names[::2], names[1::2]


def looks_of(
    people: Mapping[str, Sequence[Samples]], encoder: VoiceEncoder, done: Callable[[], None] = lambda: None
) -> dict[str, dict[str, Vectors]]:
    """Embeddings of everybody's windows in order, by person and kind of sound."""
    chance = np.random.default_rng(0)
    found: dict[str, dict[str, Vectors]] = {}
    for name, recordings in people.items():
        rows: dict[str, list[Vectors]] = {way: [] for way in WAYS}
        for samples in recordings:
            windows = windows_of(stretches(samples))
            for way, spoil in WAYS.items():
                rows[way].append(encoder.embed_voices(spoil(samples, chance), windows))
            done()
        found[name] = {way: np.concatenate(each) for way, each in rows.items()}
    return found


def trials(
    looks: Mapping[str, Mapping[str, Vectors]],
    names: Sequence[str],
    limits: VoiceThresholds,
    *,
    count: int = 10_000,
    seed: int = 0,
) -> tuple[Trials, ...]:
    """Compare random stretches of strangers, and of the right people, with somebody enrolled from clean sound.

    An impostor trial enrols a random stretch of at least four windows, and queries with two to eight windows of
    somebody else. A genuine trial enrols the first half of the windows and queries with a stretch of the other.
    Stretches of the same people overlap, so the trials are not independent.

    Args:
        count: how many impostor trials over all kinds of sound, at least.

    Raises:
        EvaluationError: fewer than two people, or nobody speaks enough to be enrolled.
    """
    able = [name for name in names if len(looks[name]["clean"]) > _LEAST_ENROLLED]
    pairs = [(one, other) for one in able for other in names if one != other and len(looks[other]["clean"])]
    if not pairs:
        raise EvaluationError("trials need two people, and ten seconds of speech of one of them")
    chance = np.random.default_rng(seed)
    each = -(-count // (len(pairs) * len(WAYS)))
    found = []
    for way in WAYS:
        outcomes = [
            _asked(_stretch(looks[one]["clean"], chance, _LEAST_ENROLLED, None),
                   _stretch(looks[other][way], chance, _LEAST_ASKED, _MOST_ASKED), limits)
            for one, other in pairs for _ in range(each)
        ]  # fmt: skip
        own = []
        for name in able:
            half = len(looks[name]["clean"]) // 2
            first, rest = looks[name]["clean"][:half], looks[name][way][half:]
            own += [_asked(first, _stretch(rest, chance, _LEAST_ASKED, _MOST_ASKED), limits) for _ in range(each)]
        found.append(
            Trials(
                way=way,
                strangers=len(outcomes),
                named=sum(identity == "known" for identity, _ in outcomes),
                maybe=sum(identity == "ambiguous" for identity, _ in outcomes),
                highest=round(max(alike for _, alike in outcomes), 3),
                own=len(own),
                missed=sum(identity != "known" for identity, _ in own),
            )
        )
    return tuple(found)


def _stretch(vectors: Vectors, chance: np.random.Generator, least: int, most: int | None) -> Vectors:
    size = min(int(chance.integers(least, max(least, most or len(vectors)) + 1)), len(vectors))
    start = int(chance.integers(len(vectors) - size + 1))
    return vectors[start : start + size]


def _asked(enrolled: Vectors, asked: Vectors, limits: VoiceThresholds) -> tuple[str, float]:
    mean = enrolled.mean(axis=0)
    mean = np.asarray(mean / np.linalg.norm(mean), np.float32)
    known = KnownVoice(name="somebody", key="", voice=EnrolledVoice(embedding=Embedding.of("", mean), voice_s=9.0))
    look = np.asarray(asked.mean(axis=0), np.float32)
    heard = whose(look, _ANY_LENGTH, Enrolled([known], "", len(mean)), limits)
    return heard.identity, float(mean @ look) / (float(np.linalg.norm(look)) or 1.0)
