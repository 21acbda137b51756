"""What the benchmarks share: inputs, medians, and the machine's name."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[1]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
DEMO = ROOT / "examples" / "demo.mp4"


def ffmpeg(*arguments: object) -> None:
    """Run the pinned ffmpeg and wait for it."""
    argv = [FFMPEG, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, env={"GCONV_PATH": "/nonexistent"})


def median_seconds(work: Callable[[int], object], repeats: int) -> float:
    """Median wall-clock time of ``work(repeat)``."""
    times = []
    for repeat in range(repeats):
        start = time.perf_counter()
        work(repeat)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(a: Callable[[int], object], b: Callable[[int], object], repeats: int) -> tuple[float, float, float]:
    """Medians of two alternatives measured in turn, so that both see the same noise.

    Returns:
        Median seconds of a, of b, and the median of the ratios a/b of each turn.
    """
    first, second, ratios = [], [], []
    for repeat in range(repeats):
        took_a = median_seconds(lambda _, r=repeat: a(r), 1)
        took_b = median_seconds(lambda _, r=repeat: b(r), 1)
        first.append(took_a)
        second.append(took_b)
        ratios.append(took_a / took_b)
    return statistics.median(first), statistics.median(second), statistics.median(ratios)


def machine() -> str:
    """Processor, cores and system, in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = lines[0] if lines else model
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}"


def film(path: Path, minutes: float, size: str = "1280x720") -> Path:
    """The demo scaled to another size at 30 fps with film grain, looped: faces, speech, cuts, a realistic bit rate."""
    if not path.exists():
        once = path.with_name(f"once-{path.name}")
        grain = f"scale={size.replace('x', ':')},fps=30,noise=alls=6:allf=t"
        ffmpeg("-i", DEMO, "-vf", grain, "-c:v", "libx264", "-preset", "veryfast", "-crf", 23, "-c:a", "aac", once)
        ffmpeg("-stream_loop", -1, "-i", once, "-t", minutes * 60, "-c", "copy", path)
    return path


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process in MiB, from the kernel."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
