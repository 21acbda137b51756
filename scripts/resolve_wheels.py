"""Asks pip whether every required package has a wheel for a processor architecture and a Python. Installs nothing.

    python3 scripts/resolve_wheels.py            # x86_64 and arm64 on the template's Python; then on the next one

Exit status: 0 if all wheels exist for the template's Python, 1 if not. Those that the next Python lacks are only
reported.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements import requirements

ROOT = Path(__file__).parents[1]
NEXT = "3.14"
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
SERVICE = (ROOT / "functions" / "transcription_service" / "Dockerfile").read_text(encoding="utf-8")
#: What is installed where; the layer's one wheel has an older tag.
SETS = {
    "zip functions": ["--requirement", "functions/requirements.txt"],
    "image": ["--requirement", "functions/face_recognition/requirements.txt"],
    "service's image": requirements(*re.findall(r"scripts/requirements\.py (.+) >", SERVICE)[0].split()),
    "image, models": ["onnx==1.23.2", "protobuf==7.36.2"],
    "layer": ["--no-deps", "imageio-ffmpeg==0.6.0"],
}


def python_of_the_template() -> str:
    found = set(re.findall(r"Runtime: python(3\.\d+)", (ROOT / "template.yaml").read_text(encoding="utf-8")))
    (version,) = found
    return version


def lacking(what: list[str], machine: str, python: str) -> str:
    """Why pip finds no set of wheels; empty if it does."""
    tags = [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in (17, 26, 27, 28, 31, 34))]
    with tempfile.TemporaryDirectory() as target:
        argv = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"]
        argv += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--target", target]
        argv += [word for tag in tags for word in ("--platform", tag)]
        argv += ["--constraint", "constraints.txt", *what]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode == 0:
        return ""
    errors = [
        line for line in done.stderr.splitlines() if line.startswith(("ERROR: No matching", "ERROR: Cannot install"))
    ]
    return (errors or done.stderr.splitlines() or ["pip does not say why"])[-1][:200]


def main() -> int:
    wanted = python_of_the_template()
    missing = 0
    for python in (wanted, NEXT):
        for name, machine in MACHINES.items():
            for label, what in SETS.items():
                why = lacking(what, machine, python)
                missing += bool(why) and python == wanted
                sys.stdout.write(f"python{python} {name:6} {label}: {why or 'all wheels are there'}\n")
                sys.stdout.flush()
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
