"""Every word of long recordings: the pipeline against plain faster-whisper with the same weights.

The files are built from the recordings beside the checkout (skipped without them), in an order and with pauses drawn
from a fixed seed, so it is known what is said and when:

- sparse: pauses of 0.2 to 6 s; dense: almost none.
- noisy: 12 dB over pink noise, chunks of 15 s, so most cuts fall into speech.
- repeated: each sentence seven times in a row.
- languages: the same paragraph in English and in German; needs a multilingual model in a folder (CTranslate2) that
  CASTLINE_BENCH_MULTILINGUAL names. The reference is what plain faster-whisper hears in each half alone.

The variable CASTLINE_BENCH_SEEDS (``11,12,13``) names seeds on which nothing was tuned.

Plain means ``WhisperModel.transcribe`` on the whole file with its defaults and word times. The pipeline is everything:
decoding, cutting, FLAC, the engine, stitching. CPU time is this process's, with two threads each; ffmpeg's is not
included. ``pooled`` sums the errors of several seeds, because one sentence is half a percentage point of one file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from benchmarks.common import FFMPEG, ROOT, ffmpeg
from castline.engines.choose import load_transcriber
from castline.evaluation.normalise import normalise
from castline.evaluation.speech import hear, read_transcripts
from castline.media.chunks import SAMPLE_RATE
from castline.records import Segment, Word
from castline.settings import Settings

TABLE = (ROOT / "../shared/data/speech/transcripts.tsv").resolve()
TWO_LANGUAGES = TABLE.parent / "multilingual" / "multilingual.mp3"
SEEDS = (1, 2, 3)
MANY_SEEDS = tuple(range(1, 11))
MULTILINGUAL = "CASTLINE_BENCH_MULTILINGUAL"
OTHER_SEEDS = "CASTLINE_BENCH_SEEDS"
_HISS = 1e-4  # noise in pauses, full scale = 1: -80 dBFS, a quiet room
_OFF_S = 0.3
_THREADS = 2

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono 16 kHz, float32, shape (n,), and what is said in it."""

    name: str
    samples: Samples
    reference: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording was placed, in seconds of the file."""

    recording: Recording
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Kind:
    """How a file is composed, and cut."""

    seconds: float
    pause_s: tuple[float, float]
    chunk_s: float = 60.0
    noise_db: float | None = None
    times: int = 1
    seeds: tuple[int, ...] = SEEDS


KINDS = {
    "sparse": Kind(720, (0.2, 6.0)),
    "dense": Kind(300, (0.0, 0.15)),
    "noisy": Kind(200, (0.2, 2.0), chunk_s=15, noise_db=12, seeds=MANY_SEEDS),
    "noisy, in chunks as usual": Kind(200, (0.2, 2.0), noise_db=12, seeds=MANY_SEEDS),
    "repeated": Kind(300, (0.5, 1.5), times=7),
}


def run(folder: Path) -> dict[str, Any]:
    """By kind: both error rates in per cent and their difference, lost utterances, words in time, CPU ratio."""
    if not TABLE.is_file():
        return {"skipped": "the shared recordings are not beside the checkout"}
    recordings = read_recordings(TABLE, folder)
    both = Both()
    others = tuple(int(each) for each in os.environ.get(OTHER_SEEDS, "").split(",") if each)
    found: dict[str, Any] = {
        name: pooled(both, recordings, kind, others or kind.seeds, folder) for name, kind in KINDS.items()
    }
    model = os.environ.get(MULTILINGUAL)
    found["languages"] = languages(Path(model), folder) if model else {"skipped": f"{MULTILINGUAL} is not set"}
    return found


def read_recordings(table: Path, folder: Path) -> list[Recording]:
    """The recordings of a transcript table; temporary files go to ``folder``."""
    return [Recording(item.name, decoded(item.path, folder), item.reference) for item in read_transcripts(table)]


def decoded(path: Path, folder: Path) -> Samples:
    wave = folder / "decoded.wav"
    ffmpeg("-i", path, "-ac", 1, "-ar", SAMPLE_RATE, wave)
    samples: Samples = soundfile.read(wave, dtype="float32")[0]
    return samples


def compose(recordings: Sequence[Recording], kind: Kind, seed: int) -> tuple[Samples, list[Place]]:
    """At least ``kind.seconds`` of recordings; each is used once before any is repeated."""
    random = np.random.default_rng(seed)

    def pause() -> Samples:
        return random.normal(0, _HISS, int(random.uniform(*kind.pause_s) * SAMPLE_RATE)).astype(np.float32)

    portions = [pause()]
    placed: list[Place] = []
    at = len(portions[0])
    while at < kind.seconds * SAMPLE_RATE:
        for index in random.permutation(len(recordings)):
            for _ in range(kind.times):
                recording, after = recordings[index], pause()
                length = len(recording.samples)
                placed.append(Place(recording, at / SAMPLE_RATE, (at + length) / SAMPLE_RATE))
                portions += [recording.samples, after]
                at += length + len(after)
            if at >= kind.seconds * SAMPLE_RATE:
                break
    samples = np.concatenate(portions)
    if kind.noise_db is not None:
        spoken = np.concatenate([place.recording.samples for place in placed])
        samples = samples + _pink(len(samples), random, float(np.mean(spoken**2)) / 10 ** (kind.noise_db / 10))
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32), placed


def _pink(length: int, random: np.random.Generator, power: float) -> Samples:
    """Noise whose power falls by 3 dB per octave."""
    spectrum = np.fft.rfft(random.normal(size=length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, length)
    scaled: Samples = (noise * np.sqrt(power / np.mean(noise**2))).astype(np.float32)
    return scaled


class Both:
    """The pipeline's engine and plain faster-whisper, on the same weights."""

    def __init__(self, model: str = "tiny.en", language: str | None = "en") -> None:
        self.settings = Settings(
            transcriber=f"faster-whisper:{model}", language=language, threads=_THREADS, ffmpeg=FFMPEG
        )
        self.transcriber = load_transcriber(self.settings)
        folder = self.transcriber.info.source
        self._bare = WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=_THREADS, local_files_only=True
        )

    def pipeline(self, samples: Samples, folder: Path, chunk_s: float = 60.0) -> tuple[list[Segment], float]:
        """All segments, including suspected hallucinations, and CPU seconds."""
        path = folder / "file.flac"
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
        begin = time.process_time()
        heard = hear(path, self.transcriber, self.settings.model_copy(update={"chunk_s": chunk_s}))
        return list(heard.segments), time.process_time() - begin

    def bare(self, samples: Samples) -> tuple[list[Word], float]:
        begin = time.process_time()
        segments, _ = self._bare.transcribe(samples, language=self.settings.language, word_timestamps=True)
        words = [
            Word(start_s=word.start, end_s=word.end, text=word.word) for item in segments for word in item.words or ()
        ]
        return words, time.process_time() - begin


def pooled(
    both: Both, recordings: Sequence[Recording], kind: Kind, seeds: Sequence[int], folder: Path
) -> dict[str, Any]:
    """The errors of both, over files of several seeds."""
    rows = [measure(both, *compose(recordings, kind, seed), folder, kind.chunk_s) for seed in seeds]
    words = sum(row["words"] for row in rows)
    errors = {name: sum(row["errors"][name] for row in rows) for name in ("pipeline", "bare")}
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "words": words,
        "wer": {name: round(100 * count / words, 2) for name, count in errors.items()},
        "points_apart": round(100 * (errors["pipeline"] - errors["bare"]) / words, 2),
        "lost": {name: [item for row in rows for item in row["lost"][name]] for name in ("pipeline", "bare")},
        "words_in_time": round(sum(row["in_time"] for row in rows) / sum(row["said"] for row in rows), 4),
        "suspects": sum(row["suspects"] for row in rows),
        "cpu_ratio": round(float(np.median([row["cpu_ratio"] for row in rows])), 3),
        "pipeline_cpu_per_s": round(float(np.median([row["cpu_per_s"] for row in rows])), 4),
        "by_seed": [row["errors"] for row in rows],
    }


def measure(
    both: Both, samples: Samples, placed: Sequence[Place], folder: Path, chunk_s: float = 60.0
) -> dict[str, Any]:
    """One file: errors, utterances that were missed entirely, words within 0.3 s of their utterance."""
    segments, ours_s = both.pipeline(samples, folder, chunk_s)
    bare, bare_s = both.bare(samples)
    sure = [segment for segment in segments if not segment.suspect]
    said = [word for segment in sure for word in segment.words]
    ours = _errors(placed, " ".join(segment.text for segment in sure))
    theirs = _errors(placed, "".join(word.text for word in bare))
    return {
        "seconds": len(samples) / SAMPLE_RATE,
        "words": ours[0],
        "errors": {"pipeline": ours[1], "bare": theirs[1]},
        "lost": {"pipeline": ours[2], "bare": theirs[2]},
        "said": len(said),
        "in_time": sum(_off_s(word, placed) <= _OFF_S for word in said),
        "suspects": len(segments) - len(sure),
        "cpu_ratio": ours_s / bare_s,
        "cpu_per_s": ours_s * SAMPLE_RATE / len(samples),
    }


def _errors(placed: Sequence[Place], heard: str) -> tuple[int, int, list[str]]:
    """Number of spoken words, errors, and utterances of which at most a fifth was recognised."""
    reference = [
        (word, number)
        for number, place in enumerate(placed)
        for word in normalise(place.recording.reference, "en").split()
    ]
    found = jiwer.process_words(" ".join(word for word, _ in reference), normalise(heard, "en") or "-")
    all_words = np.bincount([number for _, number in reference], minlength=len(placed))
    right = np.zeros(len(placed))
    for chunk in found.alignments[0]:
        if chunk.type == "equal":
            for _, number in reference[chunk.ref_start_idx : chunk.ref_end_idx]:
                right[number] += 1
    lost = [
        f"{place.recording.name} at {place.start_s:.1f} s"
        for place, count, total in zip(placed, right, all_words, strict=True)
        if count <= 0.2 * total
    ]
    return len(reference), found.substitutions + found.deletions + found.insertions, lost


def _off_s(word: Word, placed: Sequence[Place]) -> float:
    """How far a word lies outside the nearest utterance, in seconds."""
    return min(max(place.start_s - word.start_s, word.end_s - place.end_s, 0.0) for place in placed)


def languages(model: Path, folder: Path) -> dict[str, Any]:
    """Two languages in one file, in chunks of 60 s (the change is inside one) and of 30 s (it is at the cut)."""
    both = Both(str(model), None)
    samples = decoded(TWO_LANGUAGES, folder)
    half = 30 * SAMPLE_RATE
    alone = {"en": both.bare(samples[:half])[0], "de": both.bare(samples[half:])[0]}
    found: dict[str, Any] = {}
    for chunk_s in (60.0, 30.0):
        segments, _ = both.pipeline(samples, folder, chunk_s)
        for code, words in alone.items():
            mine = " ".join(segment.text for segment in segments if segment.language == code)
            aligned = jiwer.process_words(
                normalise("".join(word.text for word in words), code), normalise(mine, code) or "-"
            )
            found[f"{code}_{chunk_s:.0f}s"] = {"apart_per_cent": round(100 * aligned.wer, 2), "text": mine[:90]}
    return found
