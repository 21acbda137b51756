"""``python -m benchmarks [name ...]``: run all benchmarks, or those named; write ``results.json``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import (
    browsing,
    bursts,
    cli,
    every_word,
    faces,
    gate,
    host,
    mouths,
    naming,
    pieces,
    pipeline,
    same_weights,
    scale,
    service_load,
    speech,
    splitting,
    tracks,
    voices,
    whisper_engines,
)
from benchmarks.common import ROOT, machine

BENCHMARKS = {
    "splitting": splitting.run,
    "pipeline": pipeline.run,
    "host": host.run,
    "gate": gate.run,
    "faces": faces.run,
    "tracks": tracks.run,
    "voices": voices.run,
    "mouths": mouths.run,
    "naming": naming.run,
    "speech": speech.run,
    "every_word": every_word.run,
    "same_weights": same_weights.run,
    "pieces": pieces.run,
    "scale": scale.run,
    "bursts": bursts.run,
    "service": service_load.run,
    "browsing": browsing.run,
    "whisper": whisper_engines.run,
    "cli": cli.run,
}


def main(names: list[str]) -> None:
    target = ROOT / "benchmarks" / "results.json"
    results = json.loads(target.read_text()) if target.exists() else {}
    results["machine"] = machine()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for name in names or list(BENCHMARKS):
            print(f"\n{name}: {(BENCHMARKS[name].__module__)}", flush=True)
            results[name] = BENCHMARKS[name](Path(folder))
            print(json.dumps(results[name], indent=2))
    target.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
