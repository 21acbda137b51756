"""Runs the steps of a Dockerfile of ours where there is no container engine, and shows that they work.

    sudo python3 scripts/image_steps.py FOLDER [--recipe functions/transcription_service/Dockerfile]
        [--python python3.13] [--arg WHISPER=embedded] [--run "models list"]

Each stage gets a root of its own: an overlay over this machine's files, in which a fresh virtual environment stands
for the base image's Python. RUN, COPY (through the .dockerignore), WORKDIR, ENV and ARG do what they do in a build.
What the last stage copies is left in FOLDER/image; its size and the time of each step are printed. --run then starts
the image's entry point with these arguments. Needs Linux, root, and the network for pip.

What it cannot show: the base image itself (its glibc, its users), the layers of a registry, and whether Lambda or ECS
accepts the image.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = "/base"  # in each root


@dataclass
class Stage:
    """A root under construction.

    Attributes:
        upper: what its steps wrote, over this machine's files.
        copied: where COPY put something.
    """

    name: str
    folder: Path
    workdir: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    entry: list[str] = field(default_factory=list)

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


@dataclass(frozen=True)
class Context:
    """What a build may read: the checkout, without what the recipe's .dockerignore leaves out."""

    rules: tuple[str, ...]

    @classmethod
    def of(cls, recipe: Path) -> Context:
        own = recipe.with_name(f"{recipe.name}.dockerignore")
        lines = (own if own.exists() else ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        return cls(tuple(line for line in lines if line and not line.startswith("#")))

    def has(self, path: str) -> bool:
        """Whether a file or folder of the checkout is in it; the last rule that is about it decides."""
        parts = Path(path).parts
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        kept = True
        for rule in self.rules:
            pattern = rule.removeprefix("!")
            patterns = [pattern, pattern.removeprefix("**/")]
            if any(fnmatch.fnmatchcase(prefix, each) for prefix in prefixes for each in patterns):
                kept = rule.startswith("!")
        return kept

    def left_out(self, folder: str, names: list[str]) -> set[str]:
        """For ``shutil.copytree``."""
        return {name for name in names if not self.has((Path(folder) / name).relative_to(ROOT).as_posix())}


def build(
    recipe: Path,
    folder: Path,
    python: str,
    given: dict[str, str],
    kind: type[Stage] = Stage,
    tell: Callable[[str, float], object] = lambda _step, _seconds: None,
) -> Stage:
    """Run all steps, and leave the image's files in ``folder/image``.

    Args:
        tell: is told the slow steps, and the seconds that each took.

    Returns:
        The last stage.
    """
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    context = Context.of(recipe)
    for number, (name, rest) in enumerate(instructions(recipe.read_text(encoding="utf-8"))):
        begun = time.monotonic()
        if name == "FROM":
            alias = rest.partition(" AS ")[2] or "final"
            stage = stages[alias] = kind(alias, folder / alias)
            stage.run(f"{shlex.quote(python)} -m venv {VENV}")
        elif stage is None:
            continue  # ARG of the base image
        else:
            _step(name, rest, stage, stages, given, context)
        if name in ("RUN", "FROM"):
            tell(f"{number:02d} {stage.name}: {name} {rest[:70]}", time.monotonic() - begun)
    assert stage is not None  # noqa: S101 - a Dockerfile begins with FROM
    for part in stage.copied:
        shutil.copytree(stage.path(part), folder / "image" / part.lstrip("/"), symlinks=True)
    return stage


def _step(
    name: str, rest: str, stage: Stage, stages: dict[str, Stage], given: dict[str, str], context: Context
) -> None:
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
        _copy(rest, stage, stages, context)
    elif name == "ENTRYPOINT":
        stage.entry = json.loads(rest)


def _copy(rest: str, stage: Stage, stages: dict[str, Stage], context: Context) -> None:
    words = shlex.split(rest)
    origin = ROOT
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).partition("=")[2]].upper
    *sources, target = words
    into = target if target.startswith("/") else f"{stage.workdir}/{target}"
    stage.copied.append(into)
    for source in sources:
        found = origin / source.lstrip("/")
        if origin is ROOT and not (found.exists() and context.has(source)):
            raise FileNotFoundError(f"{source} is not in the context")
        place = stage.path(f"{into}/{found.name}" if target.endswith("/") and found.is_file() else into)
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            ignore = context.left_out if origin is ROOT else None
            shutil.copytree(found, place, dirs_exist_ok=True, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(found, place)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", type=Path, default=ROOT / "functions" / "face_recognition" / "Dockerfile")
    parser.add_argument("--python", default="python3.13")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--run", action="append", default=[], metavar="ARGUMENTS")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    python = shutil.which(asked.python)
    if python is None or folder.exists():
        parser.error(f"{asked.python} is not here" if python is None else f"{folder} is there already")
    real = subprocess.run(
        [python, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    )
    folder.mkdir(parents=True)
    given = dict(pair.split("=", 1) for pair in asked.arg)
    took: list[float] = []

    def tell(step: str, seconds: float) -> None:
        took.append(seconds)
        sys.stdout.write(f"{seconds:6.1f} s  {step}\n")
        sys.stdout.flush()

    stage = build(asked.recipe.resolve(), folder, real.stdout.strip(), given, tell=tell)
    size = sum(
        path.stat().st_size for path in (folder / "image").rglob("*") if path.is_file() and not path.is_symlink()
    )
    sys.stdout.write(f"{sum(took):.0f} s, {size / 1e6:.0f} MB beside the base image\n")
    sys.stdout.flush()
    for arguments in asked.run:
        stage.run(shlex.join([*stage.entry, *shlex.split(arguments)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
