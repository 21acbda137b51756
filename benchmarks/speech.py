"""Speech: what the pipeline adds to the engine, what a second process gains, whether memory grows.

The engine is Whisper's tiny.en, because a package contains it; the voice is the demo's.
"""

from __future__ import annotations

import multiprocessing
import statistics
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import DEMO, FFMPEG, ffmpeg, interleaved
from castline.engines.base import Speech
from castline.engines.process import Engines
from castline.keys import UnitId, options_key
from castline.media import AudioPiece, SplitSummary, probe, split
from castline.media.ffmpeg import Limits
from castline.media.flac import decode_flac
from castline.settings import Settings
from castline.stages.analyse import analyse_unit
from castline.storage import MemoryStore

MINUTES = 10
GROWTH_CHUNKS = 100
GROWTH_CHUNK_S = 20.0
_WARM_UP = 10  # chunks until allocators and the engine's tables have reached their size

_settings = Settings(transcriber="faster-whisper:tiny.en", threads=1)
_engines: Engines | None = None


def run(folder: Path, repeats: int = 3) -> dict[str, Any]:
    """Median ratios, seconds, and MB."""
    units = chunks(folder, MINUTES * 60, _settings.chunk_s)
    return {
        "media_minutes": MINUTES,
        "chunks": len(units),
        "path": path(units, repeats),
        "processes": processes(units, repeats),
        # A cut falls on the longest silence near the target length, so chunks come out longer.
        "memory": memory(chunks(folder, 1.5 * GROWTH_CHUNKS * GROWTH_CHUNK_S, GROWTH_CHUNK_S)[:GROWTH_CHUNKS]),
    }


def chunks(folder: Path, seconds: float, chunk_s: float) -> list[bytes]:
    """FLAC units of the demo's sound, looped to the length, as the splitter cuts them."""
    sound = folder / "speech.flac"
    ffmpeg("-stream_loop", -1, "-i", DEMO, "-vn", "-ac", 1, "-ar", 16000, "-t", seconds, sound)
    limits = Limits(program=FFMPEG)
    options = _settings.options().model_copy(update={"chunk_s": chunk_s})
    pieces = split(sound, probe(sound, limits), options, limits, SplitSummary(), max_duration_s=2 * seconds)
    return [piece.body for piece in pieces if isinstance(piece, AudioPiece)]


def path(units: list[bytes], repeats: int) -> dict[str, float]:
    """Unit to part (download, FLAC, words, JSON, upload; the store is a dict), over the engine on decoded samples.

    Both take turns chunk by chunk, so that both see the same noise; the ratio is that of the sums of the medians of
    the chunks.
    """
    load()
    assert _engines is not None
    transcriber = _engines.transcriber
    samples = [decode_flac(body) for body in units]
    transcriber.transcribe(Speech(samples[0]))
    ours = bare = 0.0
    for index, body in enumerate(units):

        def whole(repeat: int, body: bytes = body, index: int = index) -> None:
            _analyse(index, body)

        def engine(repeat: int, index: int = index) -> None:
            transcriber.transcribe(Speech(samples[index], _settings.options()))

        mine, its, _ = interleaved(whole, engine, repeats)
        ours, bare = ours + mine, bare + its
    return {"castline_s": ours, "engine_s": bare, "ratio": ours / bare}


def processes(units: list[bytes], repeats: int) -> dict[str, float]:
    """One process over two processes on the same chunks; models are loaded before the clock starts."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, load) as one, context.Pool(2, load) as two:
        for pool, count in ((one, 1), (two, 2)):
            pool.starmap(_analyse, [(index, units[0]) for index in range(2 * count)], chunksize=1)

        def all_chunks(pool: Pool) -> None:
            pool.starmap(_analyse, list(enumerate(units)), chunksize=1)

        one_s, two_s, ratio = interleaved(lambda _: all_chunks(one), lambda _: all_chunks(two), repeats)
    return {"one_s": one_s, "two_s": two_s, "speed_up": ratio}


def memory(units: list[bytes]) -> dict[str, Any]:
    """Resident memory of a new process after every chunk in MiB, and its slope after warming up."""
    with multiprocessing.get_context("spawn").Pool(1, load) as pool:
        resident = [pool.apply(_resident_after, (index, body)) for index, body in enumerate(units)]
    steady = resident[_WARM_UP:]
    slope = np.polyfit(np.arange(len(steady)), steady, 1)[0]
    return {
        "chunks": len(units),
        "chunk_s": GROWTH_CHUNK_S,
        "first_mb": resident[0],
        "warm_mb": resident[_WARM_UP],
        "median_mb": statistics.median(steady),
        "last_mb": resident[-1],
        "every_tenth_mb": [round(each, 1) for each in resident[::10]],
        "slope_mb_per_chunk": float(slope),
    }


def load() -> None:
    """Give this process its engine."""
    global _engines
    _engines = Engines(_settings)
    assert _engines.transcriber


def _analyse(index: int, body: bytes) -> None:
    assert _engines is not None
    store, unit = MemoryStore(), UnitId("talk.mp4", "0123456789abcdef", "audio", index)
    store.put(_settings.stage1_bucket, unit.stage1_key, body)
    store.put(_settings.stage1_bucket, options_key(unit.media, unit.run), _settings.options().to_json())
    analyse_unit(unit, store, _settings, _engines)
    assert store.head(_settings.output_bucket, unit.part_key), "the part is an error"


def _resident_after(index: int, body: bytes) -> float:
    _analyse(index, body)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
