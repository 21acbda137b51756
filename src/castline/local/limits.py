"""Lambda's limits on memory and on ``/tmp``, enforced on a process group.

Lambda's sandbox refuses allocations over the limit. Here the group is checked ten times a second and killed if it
exceeds a limit, with the same effect for its event (``Runtime.ExitError``, signal: killed); the size of a single file
is limited by the kernel. Excesses of less than a tenth of a second go unnoticed. Needs Linux; elsewhere nothing is
enforced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
from pathlib import Path

logger = logging.getLogger(__name__)

_EVERY_S = 0.1
_MB = 1024 * 1024
_PROC = Path("/proc")


class GroupLimits:
    """Watches one process group until it is cancelled.

    Args:
        group: process id of its leader.
        memory_mb: limit for all its processes together; file pages do not count, because they can be dropped.
        disk_mb: limit for all files below ``folder``.
    """

    def __init__(self, group: int, memory_mb: int, disk_mb: int, folder: Path) -> None:
        self.peak_mb = 0
        self.exceeded = ""
        self._group = group
        self._memory_mb = memory_mb
        self._disk_mb = disk_mb
        self._folder = folder

    async def watch(self) -> None:
        """Kill the group once it exceeds a limit."""
        if not _PROC.is_dir():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            size = self._disk_mb * _MB
            resource.prlimit(self._group, resource.RLIMIT_FSIZE, (size, size))
        while not self._too_much():
            await asyncio.sleep(_EVERY_S)
        logger.warning("process group %d is killed: %s", self._group, self.exceeded)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, signal.SIGKILL)

    def _too_much(self) -> bool:
        memory = sum(map(_memory_mb, _tree(self._group)))
        self.peak_mb = max(self.peak_mb, round(memory))
        if memory > self._memory_mb:
            self.exceeded = f"{memory:.0f} MB of memory, of {self._memory_mb}"
        elif (disk := _disk_mb(self._folder)) > self._disk_mb:
            self.exceeded = f"{disk:.0f} MB in /tmp, of {self._disk_mb}"
        return bool(self.exceeded)


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError, ValueError):
            for task in (_PROC / str(parent) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _memory_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) / 1024
    return 0.0


def _disk_mb(folder: Path) -> float:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(where) / name).lstat().st_blocks * 512
    return total / _MB
