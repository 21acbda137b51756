"""Grade a deployment: ``python grader/grader.py --help``."""

from __future__ import annotations

import sys
from pathlib import Path

# A script finds only what lies beside it; this and workload_generator lie beside its folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grader.cli import app

if __name__ == "__main__":
    app()
