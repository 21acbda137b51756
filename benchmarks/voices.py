"""Telling voices apart in 20 conversations with known turns, for several thresholds; and strangers' voices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common import ROOT
from castline.engines.choose import load_voice_encoder
from castline.engines.plugins import find_engine
from castline.evaluation.strangers import looks_of, parted, trials
from castline.evaluation.voices import conversations, read_mono, told_apart
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
    "austen": "whatsapp_style_opus/*austen*.opus",
}
_LIMITS = (0.58, 0.60, 0.62, 0.64, 0.66, 0.68, 0.70)


def run(folder: Path) -> dict[str, Any]:
    people = {name: [read_mono(path) for path in sorted(_SPEECH.glob(what))] for name, what in _PEOPLE.items()}
    encoder = load_voice_encoder(Settings(models_dir=folder))
    found: dict[str, Any] = {}
    choose, report = parted(people)
    for half, names in (("all", list(people)), ("choose", choose), ("report", report)):
        mixes = conversations({name: people[name] for name in names})
        found[half] = [row.model_dump() for row in told_apart(mixes, encoder, _LIMITS)]
    limits = find_engine(encoder.info.id).voice_thresholds
    if limits:
        looks = looks_of(people, encoder)
        found["strangers"] = [each.model_dump() for each in trials(looks, report, limits)]
        found["strangers_all"] = [each.model_dump() for each in trials(looks, list(people), limits)]
    return found
