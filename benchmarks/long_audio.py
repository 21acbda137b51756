"""An hour of speech, cut into chunks, transcribed in two processes and stitched, against its pieces alone.

The hour is made of the recordings of ``../shared/data/speech`` (beside the checkout; skipped where they are
not), in random order with pauses between them. The same engine hears every piece alone, a recording with half
of the pause on either side; what it hears there, moved to where the piece was put, is what the hour should
say: word for word, and in time. The pauses are long enough that no engine takes two pieces for one utterance;
with shorter ones (``TIGHT_S``, ten minutes of them) the engine hears several voices in one utterance, and reads
them otherwise, cut or not: there, compare with ``uncut``.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.common import FFMPEG, ROOT, ffmpeg
from castline.assembly.stitch import stitch
from castline.engines import Speech, Transcriber
from castline.evaluation.normalise import normalise
from castline.evaluation.speech import count_errors, read_transcripts
from castline.media import AudioPiece, SplitSummary, probe, split
from castline.media.chunks import SAMPLE_RATE
from castline.media.ffmpeg import Limits
from castline.records import AudioPart, AudioUnit, Options, Segment, Usage, Word
from castline.settings import Settings
from castline.speech import load_transcriber
from castline.speech.audio import decode_flac

TABLE = (ROOT / "../shared/data/speech/transcripts.tsv").resolve()
MINUTES = 60
PROCESSES = 2
UNCUT_S = 900.0
PAUSE_S = (1.5, 3.0)
TIGHT_S, TIGHT_MINUTES = (0.3, 2.0), 10
_NOISE = 3.0  # standard deviation of the pauses' noise, int16 steps: -81 dBFS, a quiet room
_NEAR_S = 3.0  # what is this near to a cut may be the cut's fault

_transcriber: Transcriber | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording was put, in samples of the file: it begins, it ends, the pause after it ends."""

    index: int
    begin: int
    end: int
    until: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One of the pieces: int16 samples, shape (n,), mono 16 kHz, and what is said in it."""

    samples: NDArray[np.int16]
    reference: str


def run(folder: Path) -> dict[str, Any]:
    """WER both ways and their difference, words lost and doubled, and how far words are from their true time."""
    if not TABLE.is_file():
        return {"skipped": "the shared recordings are not beside the checkout"}
    recordings = read_recordings(TABLE, folder)
    return {
        "hour": measure(recordings, MINUTES, folder),
        "tight": measure(recordings, TIGHT_MINUTES, folder, pause_s=TIGHT_S),
    }


def read_recordings(table: Path, folder: Path) -> list[Recording]:
    """The recordings of a table of transcripts; temporary files go to ``folder``."""
    found = []
    for item in read_transcripts(table):
        wave = folder / "recording.wav"
        ffmpeg("-i", item.path, "-ac", 1, "-ar", SAMPLE_RATE, wave)
        found.append(Recording(soundfile.read(wave, dtype="int16")[0], item.reference))
    return found


def measure(
    recordings: Sequence[Recording],
    minutes: float,
    folder: Path,
    *,
    chunk_s: float = 60.0,
    pause_s: tuple[float, float] = PAUSE_S,
    seed: int = 1,
) -> dict[str, Any]:
    """The same for any recordings and length. Times are seconds, WER shares of 1.

    Three hearings: ``alone``, piece by piece; ``uncut``, a quarter of an hour in one call; ``chunked``, the
    pipeline's. From the first to the second only the engine sees more around every word; from the second to the
    third only cutting and stitching are added.
    """
    path = folder / "long.flac"
    samples, placed = compose(recordings, minutes * 60, pause_s, seed)
    edges = [0, *((place.end + place.until) // 2 for place in placed[:-1]), len(samples)]
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    borders = [0, *_long_borders(placed), len(samples)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES, load) as pool:
        uncut = pool.map_async(_hear, [samples[begin:end] for begin, end in pairwise(borders)], chunksize=1)
        alone = pool.map(_hear, [samples[begin:end] for begin, end in pairwise(edges)], chunksize=4)
        uncut.wait()
        began = time.perf_counter()
        units, segments = transcribe(path, pool, chunk_s)
        seconds = time.perf_counter() - began
    heard = {
        "alone": [word for begin, found in zip(edges, alone, strict=False) for word in _words(found, begin)],
        "uncut": [word for begin, found in zip(borders, uncut.get(), strict=False) for word in _words(found, begin)],
        "chunked": _words(segments, 0),
    }
    reference = normalise(" ".join(recordings[place.index].reference for place in placed))
    wer = {name: count_errors(reference, normalise(_text(words))).wer or 0.0 for name, words in heard.items()}
    cuts = [(one.end_s + other.start_s) / 2 for one, other in pairwise(units)]
    return {
        "minutes": round(units[-1].end_s / 60, 2),
        "recordings": len(placed),
        "chunks": len(units),
        "hard_cuts": sum(unit.hard_cut for unit in units),
        "processes": PROCESSES,
        "seconds": seconds,
        "wer": wer,
        "difference_points": {name: 100 * (wer["chunked"] - wer[name]) for name in ("alone", "uncut")},
        "chunked_to_alone": compare(heard["alone"], heard["chunked"], cuts),
        "chunked_to_uncut": compare(heard["uncut"], heard["chunked"], cuts),
    }


def _long_borders(placed: Sequence[Place]) -> list[int]:
    """Samples at which the file is divided for the uncut hearing: in the first pause after each quarter of an hour."""
    borders: list[int] = []
    for place in placed[:-1]:
        if place.end > (len(borders) + 1) * UNCUT_S * SAMPLE_RATE:
            borders.append((place.end + place.until) // 2)
    return borders


def compose(
    recordings: Sequence[Recording], length_s: float, pause_s: tuple[float, float], seed: int
) -> tuple[NDArray[np.int16], list[Place]]:
    """At least ``length_s`` of recordings with pauses between them: int16, shape (n,)."""
    random = np.random.default_rng(seed)

    def pause() -> NDArray[np.int16]:
        return random.normal(0, _NOISE, int(random.uniform(*pause_s) * SAMPLE_RATE)).astype(np.int16)

    portions = [pause()]
    placed: list[Place] = []
    at = len(portions[0])
    while at < length_s * SAMPLE_RATE:
        for index in random.permutation(len(recordings)):
            samples, after = recordings[index].samples, pause()
            placed.append(Place(int(index), at, at + len(samples), at + len(samples) + len(after)))
            portions += [samples, after]
            at = placed[-1].until
            if at >= length_s * SAMPLE_RATE:
                break
    return np.concatenate(portions), placed


def transcribe(path: Path, pool: Pool, chunk_s: float) -> tuple[list[AudioUnit], list[Segment]]:
    """The pipeline's way: decoded and cut by the splitter, chunks heard by the pool's processes, stitched."""
    limits = Limits(program=FFMPEG)
    summary = SplitSummary()
    pieces = split(path, probe(path, limits), Options(chunk_s=chunk_s), limits, summary, max_duration_s=2 * 3600)
    found = [(piece.unit, piece.body) for piece in pieces if isinstance(piece, AudioPiece)]
    assert not summary.warnings
    parts = pool.map(_hear_unit, found, chunksize=1)
    return [unit for unit, _ in found], stitch(list(zip([unit for unit, _ in found], parts, strict=True)))


def compare(expected: Sequence[Word], heard: Sequence[Word], cuts: Sequence[float]) -> dict[str, Any]:
    """Align what was heard to what should have been: what differs, where, and how far apart the rest is."""
    aligned = jiwer.process_words(_text(expected), _text(heard))
    assert len(aligned.references[0]) == len(expected)  # one token per word, so indices are those of the words
    assert len(aligned.hypotheses[0]) == len(heard)
    apart: list[float] = []
    differing: list[float] = []
    for chunk in aligned.alignments[0]:
        mine = expected[chunk.ref_start_idx : chunk.ref_end_idx]
        found = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            apart += [abs(one.start_s - other.start_s) for one, other in zip(mine, found, strict=True)]
        else:
            differing += [word.start_s for word in (mine or found)]
    near = sum(any(abs(at - cut) < _NEAR_S for cut in cuts) for at in differing)
    return {
        "words": len(expected),
        "lost": aligned.deletions,
        "added": aligned.insertions,
        "other": aligned.substitutions,
        "differing_near_a_cut": near,
        "time_median_s": float(np.median(apart)),
        "time_p99_s": float(np.percentile(apart, 99)),
        "time_max_s": float(np.max(apart)),
        "time_within_0.2_s": float(np.mean(np.array(apart) <= 0.2)),
    }


def _words(segments: Sequence[Segment], at: int) -> list[Word]:
    """Words of segments whose time 0 is sample ``at`` of the file, in the file's time."""
    by_s = at / SAMPLE_RATE
    return [
        word.model_copy(update={"start_s": word.start_s + by_s, "end_s": word.end_s + by_s})
        for segment in segments
        for word in segment.words
    ]


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def load() -> None:
    global _transcriber
    _transcriber = load_transcriber(Settings(transcriber="faster-whisper:tiny.en"))


def _hear(samples: NDArray[np.int16]) -> tuple[Segment, ...]:
    assert _transcriber is not None
    return _transcriber.transcribe(Speech(samples.astype(np.float32) / 32768)).segments


def _hear_unit(piece: tuple[AudioUnit, bytes]) -> AudioPart:
    assert _transcriber is not None
    unit, body = piece
    heard = _transcriber.transcribe(Speech(decode_flac(body)))
    return AudioPart(
        unit=unit.name,
        transcriber=_transcriber.info.id,
        language=heard.language,
        segments=heard.segments,
        usage=Usage(stage="speech", seconds=0, memory_mb=0),
    )
