"""Ends process groups whose owner died without ending them.

It runs as a program: it reads ``+<group>`` and ``-<group>`` lines, and when its input closes (the owner is gone, for
whatever reason) it kills every group still listed. It uses only the standard library, so that it starts in milliseconds
and needs little memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class Watchdog:
    """The owner's side: groups registered here do not outlive this process."""

    def __init__(self) -> None:
        # A session of its own: a Ctrl-C in the terminal must reach the owner, not the watchdog.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Forget a group that has ended; its number may be reused."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the watchdog; groups still registered are killed."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        try:
            # One unbuffered write below PIPE_BUF is atomic, so several threads may write at once.
            os.write(pipe.fileno(), line.encode())
        except BrokenPipeError:
            return  # the watchdog was killed; an orderly shutdown still works


def _main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    _main()
