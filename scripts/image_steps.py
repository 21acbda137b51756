"""Runs the steps of the analyser's Dockerfile where there is no container engine, and shows that they work.

    sudo python3 scripts/image_steps.py FOLDER [--python python3.13] [--arg WHISPER=embedded]

Each stage gets a root of its own: an overlay over this machine's files, in which a fresh virtual environment stands
for the base image's Python. RUN, COPY, WORKDIR, ENV and ARG do what they do in a build. What the last stage copies is
left in FOLDER/image; its size and the time of each step are printed. Needs Linux, root, and the network for pip.

What it cannot show: the base image itself (its glibc, its users), the layers of a registry, and whether Lambda accepts
the image.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "functions" / "face_recognition" / "Dockerfile"
VENV = "/base"  # in each root
#: What the last stage's COPY lines bring into the image.
KEPT = ("var/task", "opt/models")


@dataclass
class Stage:
    """A root under construction.

    Attributes:
        upper: what its steps wrote, over this machine's files.
    """

    name: str
    folder: Path
    workdir: str = "/"
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    def run(self, command: str) -> None:
        """Run a shell command in the root.

        Raises:
            CalledProcessError: it failed.
        """
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        root = shlex.quote(str(self.folder / "root"))
        options = f"lowerdir=/,upperdir={self.upper},workdir={self.folder / 'work'}"
        variables = {"PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/root", **self.variables}
        assigned = [f"{name}={value}" for name, value in variables.items()]
        inside = f"mkdir -p {self.workdir} && cd {self.workdir} && {command}"
        script = (
            f"mount -t overlay overlay -o {shlex.quote(options)} {root} && mount --rbind /proc {root}/proc"
            f" && mount --rbind /dev {root}/dev && exec chroot {root} /usr/bin/env -i"
            f" {shlex.join(assigned)} /bin/sh -ec {shlex.quote(inside)}"
        )
        subprocess.run(["unshare", "--mount", "/bin/sh", "-ec", script], check=True)  # noqa: S607

    def path(self, inside: str) -> Path:
        return self.upper / inside.lstrip("/")


def instructions(text: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, the rest) of a Dockerfile, with continued lines joined and without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def build(folder: Path, python: str, given: dict[str, str]) -> dict[str, float]:
    """Run all steps; returns the seconds that each took."""
    stages: dict[str, Stage] = {}
    took: dict[str, float] = {}
    stage: Stage | None = None
    for number, (name, rest) in enumerate(instructions(DOCKERFILE.read_text(encoding="utf-8"))):
        begun = time.monotonic()
        if name == "FROM":
            stage = _from(rest, folder, python)
            stages[stage.name] = stage
        elif stage is None:
            continue  # ARG of the base image
        else:
            _step(name, rest, stage, stages, given)
        if name in ("RUN", "FROM"):
            label = f"{number:02d} {stage.name}: {name} {rest[:70]}"
            took[label] = time.monotonic() - begun
            sys.stdout.write(f"{took[label]:6.1f} s  {label}\n")
            sys.stdout.flush()
    assert stage is not None  # noqa: S101 - a Dockerfile begins with FROM
    image = folder / "image"
    for part in KEPT:
        shutil.copytree(stage.path(part), image / part, symlinks=True)
    return took


def _from(rest: str, folder: Path, python: str) -> Stage:
    alias = rest.partition(" AS ")[2] or "final"
    stage = Stage(alias, folder / alias)
    stage.run(f"{shlex.quote(python)} -m venv {VENV}")
    return stage


def _step(name: str, rest: str, stage: Stage, stages: dict[str, Stage], given: dict[str, str]) -> None:
    if name == "ARG":
        key, _, default = rest.partition("=")
        stage.variables[key] = given.get(key, default)
    elif name == "WORKDIR":
        stage.workdir = rest
    elif name == "ENV":
        for pair in shlex.split(rest):
            key, _, value = pair.partition("=")
            stage.variables[key] = value
    elif name == "RUN":
        stage.run(rest)
    elif name == "COPY":
        _copy(rest, stage, stages)


def _copy(rest: str, stage: Stage, stages: dict[str, Stage]) -> None:
    words = shlex.split(rest)
    origin = ROOT
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).partition("=")[2]].upper
    *sources, target = words
    into = target if target.startswith("/") else f"{stage.workdir}/{target}"
    for source in sources:
        found = origin / source.lstrip("/")
        place = stage.path(f"{into}/{found.name}" if target.endswith("/") and found.is_file() else into)
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, place, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy2(found, place)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="python3.13")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    python = shutil.which(asked.python)
    if python is None or folder.exists():
        parser.error(f"{asked.python} is not here" if python is None else f"{folder} is there already")
    real = subprocess.run(
        [python, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    )
    folder.mkdir(parents=True)
    took = build(folder, real.stdout.strip(), dict(pair.split("=", 1) for pair in asked.arg))
    size = sum(
        path.stat().st_size for path in (folder / "image").rglob("*") if path.is_file() and not path.is_symlink()
    )
    sys.stdout.write(f"{sum(took.values()):.0f} s, {size / 1e6:.0f} MB beside the base image\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
