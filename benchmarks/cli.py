"""How long a person waits for the command; and the demo against the same work in one process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import DEMO, median_seconds

_REPEATS = 5
_DEMOS = 3
#: The same work without a stack: one new process that imports, loads the models and analyses.
_WORK = (
    "import sys; from castline import analyse; assert analyse(sys.argv[1], gallery=sys.argv[2]).status == 'complete'"
)


def run(folder: Path) -> dict[str, Any]:
    """Medians in seconds. ``demo_first`` uses a new library each time; the face nets exist already."""
    home = folder / "cli"
    environment = {**os.environ, "CASTLINE_PORT": "0"}
    count = 0

    def takes(*words: str, library: str = "library") -> float:
        nonlocal count
        count += 1
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "castline", *words],
            cwd=folder,
            env={**environment, "CASTLINE_STATE_DIR": str(home / library)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        took = time.perf_counter() - start
        assert done.returncode == 0, words
        return took

    demo = ("run", str(DEMO), "--output", str(home / "results"))
    takes(*demo)  # makes the nets, and tries the model hub
    first, again, work = [], [], []
    for number in range(_DEMOS):
        first.append(takes(*demo, library=f"library-{number}"))
        again.append(takes(*demo, "--again"))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _WORK, DEMO, DEMO.parent / "gallery"], env=environment, check=True)
        work.append(time.perf_counter() - start)
    figures = {
        "demo_first_s": statistics.median(first),
        "demo_again_s": statistics.median(again),
        "work_in_one_process_s": statistics.median(work),
        "demo_first_ratio": statistics.median(one / other for one, other in zip(first, work, strict=True)),
        "demo_again_ratio": statistics.median(one / other for one, other in zip(again, work, strict=True)),
        "run_with_a_result_s": statistics.median(takes(*demo) for _ in range(_DEMOS)),
    }
    for name, words in {
        "help": ("--help",),
        "version": ("--version",),
        "run_help": ("run", "--help"),
        "doctor": ("doctor",),
        "cost": ("cost", "--duration", "1h"),
        "models_list": ("models", "list"),
        "status": ("status",),
        "results": ("results",),
        "people_list": ("people", "list"),
        "up": ("up",),
        "status_when_up": ("status",),
        "down": ("down",),
    }.items():
        repeats = 1 if name in ("up", "down") else _REPEATS
        figures[f"{name}_s"] = statistics.median(takes(*words) for _ in range(repeats))
    figures["python_s"] = median_seconds(
        lambda _: subprocess.run([sys.executable, "-c", "pass"], env=environment, check=True), _REPEATS
    )
    figures["help_over_python"] = figures["help_s"] / figures["python_s"]
    return {name: round(value, 3) for name, value in figures.items()}
