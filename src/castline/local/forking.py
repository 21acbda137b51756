"""The process from which functions are forked, which has imported what they need; ``nursery`` is the host's side.

It is a separate program: a line of JSON on standard input requests a process, and lines on standard output report its
number and, later, its end. It uses only the standard library and one thread: no thread may be in the middle of
something when it forks.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import tempfile
import time
import traceback
import warnings
from typing import Any


def _main(preload: list[str]) -> None:
    warnings.filterwarnings("ignore", message=".*use of fork")  # threads of libraries that can handle a fork
    told, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    before = set(os.environ)
    gc.disable()  # what is imported stays
    for module in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # a collection in a child would write to, and so copy, every page of it
    gc.enable()
    added = {name: os.environ[name] for name in os.environ.keys() - before}  # by modules that do not run again
    waiting = b""
    with selectors.DefaultSelector() as ready:
        for source in (0, told):
            ready.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == told:
                    os.read(told, 4096)
                    continue
                read = os.read(0, 1 << 20)
                if not read:
                    return
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    wanted = json.loads(line)
                    wanted["environment"] = {**added, **wanted["environment"]}
                    _start(wanted, (told, woken, ready.fileno()))
            _reap()


def _start(wanted: dict[str, Any], ours: tuple[int, ...]) -> None:
    try:
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        in_session, entered = os.pipe()
        pid = os.fork()
    except OSError as error:
        _tell({"refused": str(error)})
        return
    if not pid:
        _run(wanted, log, (*ours, in_session, entered))
    os.close(log)
    os.close(entered)
    os.read(in_session, 1)  # so that its process group can be killed from now on
    os.close(in_session)
    _tell({"started": pid})


def _run(wanted: dict[str, Any], log: int, ours: tuple[int, ...]) -> None:
    """Run the requested module, in the child; does not return."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for number in (log, *ours):
            os.close(number)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        time.tzset()
        tempfile.tempdir = None
        os.chdir(wanted["cwd"])
        module, *arguments = wanted["argv"]
        if sys.platform == "darwin":  # macOS frameworks do not survive a fork without exec
            os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606
        sys.path[:0] = [wanted["cwd"]]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _tell({"ended": found[0], "status": os.waitstatus_to_exitcode(found[1])})


def _tell(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
