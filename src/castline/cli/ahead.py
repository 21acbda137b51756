"""Starts the process of the local stack while the command itself still imports: each takes about a second.

The process imports and waits. If the command starts a stack, it is told how (``local.stack.start_detached``);
otherwise it is ended, or ends with its input, without having touched anything. Uses only the standard library.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

#: Commands that start a stack unless one runs.
STARTERS = frozenset({"run", "up"})
_begun: list[subprocess.Popen[bytes]] = []


def begin() -> None:
    """Start the process; where that fails, a stack gets one when it is started."""
    with contextlib.suppress(OSError):
        _begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "castline.local", "--when-told"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )


def waiting() -> subprocess.Popen[bytes] | None:
    """The process, if it was begun and nobody took it."""
    return _begun.pop() if _begun else None


def end() -> None:
    """End the process if nobody took it; it holds nothing yet."""
    while process := waiting():
        process.kill()
        process.communicate()
