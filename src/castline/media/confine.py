"""Restricts processes that read hostile input: no new privileges, no sockets, limited memory, time and disk."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import platform
import resource
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

_FILE_BYTES = 64 * 1024 * 1024  # size of one file it writes: a JPEG of the largest frame is far smaller
_PIPE_BYTES = 1 << 18
_TASKS = 512  # threads and processes it may add to the user's
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22  # linux/prctl.h
_SECCOMP_MODE_FILTER = 2  # linux/seccomp.h

#: From linux/audit.h and the architecture's table of system calls: its identifier, and the number of ``socket``.
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP = 425  # io_uring opens sockets without that call
_X32 = 0x40000000  # on x86_64, the same calls have other numbers from here on

logger = logging.getLogger(__name__)


def spawn(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that can gain no privileges and open no sockets, with piped output and no input.

    A child inherits these restrictions from the thread that starts it, so it is started by a thread of its own:
    ``preexec_fn`` is not safe with threads.
    """

    def start() -> subprocess.Popen[bytes]:
        if not _restrict():
            logger.debug("no seccomp filter here: a program that is started keeps the network")
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


def refuses_sockets() -> bool:
    """Whether `spawn` can keep a program from opening sockets on this machine."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_restrict).result()


def _restrict() -> bool:
    """Take privileges and sockets from this thread and all that it starts; whether sockets are refused."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # not on Linux
        return False
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _no_sockets(platform.machine())
    return program is not None and not prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


class _Instruction(ctypes.Structure):
    """``struct sock_filter`` of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("otherwise", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def _no_sockets(machine: str) -> _Program | None:
    """A filter of system calls (Linux, Documentation/userspace-api/seccomp_filter.rst) that refuses new sockets.

    Returns:
        None for an architecture whose numbers are not known here.
    """
    if machine not in _SOCKET:
        return None
    mark, socket = _SOCKET[machine]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
    refuse, allow = 0x00050000 | errno.EACCES, 0x7FFF0000  # SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
    code = (
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 0, 5, mark),
        (load, 0, 0, 0),  # seccomp_data.nr
        (at_least, 3, 0, _X32),
        (equal, 2, 0, socket),
        (equal, 1, 0, _IO_URING_SETUP),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
    )
    return _Program(len(code), (_Instruction * len(code))(*(_Instruction(*each) for each in code)))


def confine(pid: int, memory_mb: int, seconds: float) -> None:
    """Limit a process that has just started.

    Args:
        memory_mb: address space, MiB.
        seconds: wall-clock time allowed; each core may compute for that long.
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
