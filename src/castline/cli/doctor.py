"""``castline doctor``: what is missing on this machine, and what to do about it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

from rich.console import Console

from castline.cli.shown import escape
from castline.engines.report import engine_lines, language_line
from castline.errors import CastlineError
from castline.settings import settings

_MIN_FREE_GB = 2.0


def examine(console: Console) -> bool:
    """Print one line per check.

    Returns:
        Whether nothing is broken.
    """
    healthy = True
    for good, text in _checks():
        healthy = healthy and good
        console.print(f"{'[green]ok[/]  ' if good else '[red]bad[/] '}{escape(text)}", soft_wrap=True)
    return healthy


def _checks() -> Iterator[tuple[bool, str]]:
    config = settings()
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"
    yield _ffmpeg()
    yield from ((True, line) for line in (*engine_lines(config), language_line(config)) if line)
    config.state_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(config.state_dir).free / 1e9
    yield free > _MIN_FREE_GB, f"{free:.1f} GB free for {config.state_dir}"
    yield _stack()


def _ffmpeg() -> tuple[bool, str]:
    try:
        from castline.local.stack import ffmpeg_layer

        layer = ffmpeg_layer(settings().state_dir)
    except ModuleNotFoundError:
        layer = None
    program = str(layer / "ffmpeg") if layer else shutil.which("ffmpeg")
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
