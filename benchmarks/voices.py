"""Voices told apart in 20 conversations with known turns, for several thresholds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.common import ROOT
from castline.engines.choose import load_voice_encoder
from castline.engines.speech.voice import stretches
from castline.evaluation.voices import Mix, answer, mix, rates
from castline.media.chunks import SAMPLE_RATE
from castline.recognition.voices import Window, windows_of
from castline.settings import Settings

_SPEECH = (ROOT / "../shared/data/speech").resolve()
_PEOPLE = {
    "jfk": "jfk/*.wav",
    "1272": "librispeech/1272*.wav",
    "2412": "librispeech/2412*.flac",
    "1088": "librispeech/1088*.wav",
    "lj": "ljspeech/*.wav",
    "s1": "speechbrain_ASR/spk1*.wav",
    "s2": "speechbrain_ASR/spk2*.wav",
}
_LIMITS = (0.58, 0.60, 0.62, 0.64, 0.66, 0.68, 0.70)


class _Remembered:
    """An encoder that gives what it gave before: the threshold changes nothing about it."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self.info = Any

    def embed_voices(self, samples: NDArray[np.float32], windows: Sequence[Window]) -> NDArray[np.float32]:
        return self._vectors


def run(folder: Path) -> dict[str, Any]:
    mixes = list(_mixes())
    encoder = load_voice_encoder(Settings(models_dir=folder))
    seconds = sum(len(each.samples) for each in mixes) / SAMPLE_RATE
    start = time.process_time()
    vectors = [encoder.embed_voices(each.samples, windows_of(stretches(each.samples))) for each in mixes]
    share = (time.process_time() - start) / seconds
    found: dict[str, Any] = {"seconds": round(seconds), "cpu_seconds_per_second": round(share, 4)}
    for limit in _LIMITS:
        all_rates = [
            rates(each, answer(each.samples, _Remembered(known), limit))  # type: ignore[arg-type]
            for each, known in zip(mixes, vectors, strict=True)
        ]
        found[f"{limit:.2f}"] = {
            "der": round(float(np.mean([each.der for each in all_rates])), 3),
            "jer": round(float(np.mean([each.jer for each in all_rates])), 3),
            "worst_der": round(max(each.der for each in all_rates), 3),
            "voices_too_many": [each.voices - each.people for each in all_rates],
        }
    return found


def _mixes() -> list[Mix]:
    people = {name: [_read(path) for path in sorted(_SPEECH.glob(what))] for name, what in _PEOPLE.items()}
    chance = np.random.default_rng(1)
    found = []
    for count in (2, 3, 4, 5, 6):
        for number, (noise_db, overlap) in enumerate(((25.0, 0.1), (None, 0.0), (15.0, 0.1), (25.0, 0.3))):
            names = [str(name) for name in chance.permutation(sorted(people))[:count]]
            turns = (4 if count < 5 else 3) * count
            chosen = {name: people[name] for name in names}
            found.append(mix(chosen, turns=turns, seed=100 * count + number, noise_db=noise_db, overlap=overlap))
    return found


def _read(path: Path) -> NDArray[np.float32]:
    """Mono 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    if rate == SAMPLE_RATE:
        return np.asarray(samples)
    size = len(samples) * SAMPLE_RATE // rate
    low = np.fft.irfft(np.fft.rfft(samples)[: size // 2 + 1], size)
    return (low * (size / len(samples))).astype(np.float32)
