"""``castline doctor``: what is missing on this machine, and what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from rich.console import Console

from castline.cli.shown import beside, escape
from castline.engines.choose import named_engine
from castline.engines.plugins import ROLES
from castline.engines.report import engine_lines, language_line
from castline.errors import CastlineError
from castline.media.confine import refuses_sockets
from castline.settings import Settings, settings

_MIN_FREE_GB = 2.0


def examine(console: Console) -> bool:
    """Print one line per check.

    Returns:
        Whether nothing is broken.
    """
    healthy = True
    for good, text in checks():
        healthy = healthy and good
        beside(console, "[green]ok[/]  " if good else "[red]bad[/] ", escape(text))
    return healthy


def checks() -> Iterator[tuple[bool, str]]:
    """Each check: whether it passes, and a line about it."""
    config = settings()
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"
    yield _ffmpeg()
    if refuses_sockets():
        yield True, "ffmpeg has no network: a seccomp filter refuses it sockets"
    else:
        yield True, "ffmpeg is kept to local files by its protocols alone: no seccomp filter here (SECURITY.md)"
    yield from _engines(config)
    if line := language_line(config):
        yield True, line
    folder = config.state_dir.absolute()
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield False, f"{config.state_dir} cannot be made: {place} is not a folder that can be written to"
    free = shutil.disk_usage(place).free / 1e9
    yield free > _MIN_FREE_GB, f"{free:.1f} GB free for {config.state_dir}"
    yield _stack()


def _engines(config: Settings) -> Iterator[tuple[bool, str]]:
    """A line per role; it fails if an engine that the settings name is not available."""
    for role, line in zip(ROLES, engine_lines(config), strict=True):
        try:
            named = named_engine(role, config)
            missing = f"; {named.reason}" if named and not named.source and ":" not in getattr(config, role) else ""
            yield not missing, f"{line}{missing}"
        except CastlineError as error:
            yield False, error.message


def _ffmpeg() -> tuple[bool, str]:
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
    except (ModuleNotFoundError, RuntimeError):
        program = shutil.which("ffmpeg")
    if not program:
        return False, "ffmpeg is missing: install imageio-ffmpeg, or ffmpeg itself"
    answer = subprocess.run(
        [program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
    )
    return answer.returncode == 0, answer.stdout.decode(errors="replace").splitlines()[0]


def _stack() -> tuple[bool, str]:
    try:
        from castline.local.stack import LocalStack
        from castline.local.wiring import assert_wiring
    except ModuleNotFoundError as error:
        return True, f"local stack: {error.name} is not installed (pip install 'castline[local]')"
    try:
        stack = LocalStack.attach(settings())
    except CastlineError:
        return True, "local stack: not running"
    try:
        assert_wiring(stack.deployment.resolver, stack.client)
    except CastlineError as error:
        return False, f"local stack at {stack.endpoint_url}: {error.message}"
    return True, f"local stack at {stack.endpoint_url}: wired as the template says"
