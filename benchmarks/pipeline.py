"""Upload to result on the local stack, against the bare kernels on the same cores.

Bare means: ffmpeg, then the models called directly on the same frames and chunks by a pool of as many warm processes as
the stack has; no S3, no events, no runtime, no records, no assembly. The sum of the two is the time for the necessary
work alone.
"""

from __future__ import annotations

import io
import multiprocessing
import time
import zipfile
from pathlib import Path

import psutil

from benchmarks.common import film, peak_mb
from benchmarks.splitting import bare
from castline.engines.process import Engines
from castline.keys import result_key
from castline.local import LocalStack
from castline.runs.common import read_result
from castline.settings import Settings
from castline.storage import S3Store

MINUTES = 10
SLOTS = 2

_engines: Engines | None = None


def run(folder: Path, repeats: int = 3) -> dict[str, object]:
    """Medians and ratio, and the peak memory of each kind of process."""
    path = film(folder / "film-360p.mp4", MINUTES, "640x360")
    config = Settings(state_dir=folder / "state-pipeline", port=0, threads=1, sampling="interval")
    began = time.perf_counter()
    ratios, pipelines, kernels = [], [], []
    with LocalStack(config, SLOTS, prewarm=True) as stack:
        started_s = time.perf_counter() - began
        store = S3Store(stack.client("s3"))
        _process(path, "warm-up.mp4", store, config)
        units = _units("warm-up.mp4", store, config)
        with multiprocessing.get_context("spawn").Pool(SLOTS, _load, (config,)) as pool:
            pool.map(_kernel, units[:SLOTS] + units[-SLOTS:])
            for repeat in range(repeats):
                pipelines.append(_process(path, f"run-{repeat}.mp4", store, config))
                start = time.perf_counter()
                bare(path, "interval")
                pool.map(_kernel, units, chunksize=1)
                kernels.append(time.perf_counter() - start)
                ratios.append(pipelines[-1] / kernels[-1])
        memory = _peaks(stack)
    middle = len(ratios) // 2
    return {
        "media_minutes": MINUTES,
        "units": len(units),
        "start_s": started_s,
        "pipeline_s": sorted(pipelines)[middle],
        "kernels_s": sorted(kernels)[middle],
        "ratio": sorted(ratios)[middle],
        "peak_mb": memory,
    }


def _process(path: Path, key: str, store: S3Store, config: Settings) -> float:
    start = time.perf_counter()
    store.put(config.input_bucket, key, path)
    while store.head(config.output_bucket, result_key(key)) is None:
        time.sleep(0.05)  # rarely: polling uses the same cores
    seconds = time.perf_counter() - start
    result = read_result(key, store, config)
    if result is None or result.status != "complete":
        raise RuntimeError(f"{key} did not end complete")
    return seconds


def _units(media: str, store: S3Store, config: Settings) -> list[tuple[str, bytes]]:
    made = [info for info in store.find(config.stage1_bucket, media) if not info.key.endswith(".json")]
    # In the order in which the splitter made them, in which the stack also works.
    made.sort(key=lambda info: str(info.last_modified))
    return [(info.key, store.get(config.stage1_bucket, info.key) or b"") for info in made]


def _load(config: Settings) -> None:
    global _engines
    _engines = Engines(config)


def _kernel(unit: tuple[str, bytes]) -> None:
    from castline.engines.base import Speech
    from castline.media.flac import decode_flac
    from castline.media.pictures import decode_jpeg

    assert _engines is not None
    key, body = unit
    if key.endswith(".flac"):
        _engines.transcriber.transcribe(Speech(decode_flac(body)))
        return
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for name in archive.namelist():
            image = decode_jpeg(archive.read(name))
            (faces,) = _engines.detector.detect([image])
            _engines.embedder.embed(image, faces)


def _peaks(stack: LocalStack) -> dict[str, float]:
    """Peak resident memory per process in MiB, from the kernel."""
    peaks = {}
    for name in stack.function_names.values():
        pids = stack.host.pids(name) if stack.host else []
        found = [peak_mb(pid) for pid in pids]
        if found:
            peaks[name] = max(found)
    for child in psutil.Process().children(recursive=True):
        if "castline.gate.emulator" in child.cmdline():
            peaks["S3 emulator"] = max(peaks.get("S3 emulator", 0.0), peak_mb(child.pid))
    return peaks
