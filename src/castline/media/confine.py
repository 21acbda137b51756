"""What a process that reads hostile input may do: no new privileges, so much memory, time and disk, and no more."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

_FILE_BYTES = 64 * 1024 * 1024  # of one file it writes: a JPEG of the largest frame is far below
_PIPE_BYTES = 1 << 18
_TASKS = 512  # threads and processes it may add to those the user has
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def spawn(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that can gain no privileges, with pipes for its output and nothing to read.

    A child inherits that from the thread that starts it, so it is started by a thread of its own:
    ``preexec_fn`` is not safe where there are threads.
    """

    def start() -> subprocess.Popen[bytes]:
        with contextlib.suppress(OSError, AttributeError):  # not on Linux
            ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=_PIPE_BYTES,
        )

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(start).result()


def confine(pid: int, memory_mb: int, seconds: float) -> None:
    """Limit a process that has just started.

    Args:
        memory_mb: address space, MiB.
        seconds: wall clock it is given; all cores together may compute for that long each.
    """
    memory = memory_mb * 1024 * 1024
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_CPU: int(seconds * (os.cpu_count() or 1)) + 2,
        resource.RLIMIT_NPROC: _tasks() + _TASKS,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(ProcessLookupError):  # it already ended; its exit status will tell
        for kind, most in limits.items():
            _, hard = resource.prlimit(pid, kind)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (bound, bound))


@lru_cache(maxsize=1)
def _tasks() -> int:
    """Threads of all processes of this user, which the limit counts too."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == os.getuid():
                count += len(list((process / "task").iterdir()))
    return count
