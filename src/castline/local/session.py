"""The users of a stack: commands attach to the running one or start it, and the last one to leave stops it.

A user holds a shared lock on ``<state_dir>/users`` for as long as it lives. The lock ends with the process, however
that ends, so users need not be counted. If nobody else holds the lock, the last one has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import BinaryIO, Self

from castline.gate.private import open_private, private_folder
from castline.local.engine import is_taken
from castline.local.stack import LocalStack, running_stack, settings_environment, start_detached
from castline.local.state import Keep, StackState, keep_for, read_state, write_state
from castline.settings import Settings

#: A user that leaves sends this to the stack's controller, which then checks whether anybody is left.
LOOK = signal.SIGUSR1
#: Settings that say where the stack is, and not what it does.
_OF_THE_PLACE = frozenset({"CASTLINE_STATE_DIR", "CASTLINE_PORT"})


class Session:
    """One user of a stack.

    Attributes:
        started: whether the stack was started for this user.
    """

    def __init__(self, stack: LocalStack, users: BinaryIO, *, started: bool) -> None:
        self.stack = stack
        self.started = started
        self._users = users

    @classmethod
    def join(
        cls,
        settings: Settings,
        slots: int = 2,
        *,
        prewarm: bool = False,
        keep: Keep = "used",
        waiting: Callable[[], Popen[bytes] | None] = lambda: None,
    ) -> Self:
        """Attach to the stack of the settings' state folder, or start it in a process of its own.

        If another stack has the port, a free one is used: commands find their stack by the state folder.

        Args:
            slots: processes per function, if the stack is started.
            keep: how long the stack stays, at least (see ``StackState``).
            waiting: gives a process for ``start_detached``, if the stack is started.

        Raises:
            LocalStackError: the stack did not start.
            SettingsError: the state folder cannot be made.
        """
        folder = private_folder(settings.state_dir)
        users = open_private(folder / "users")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while somebody stops the stack
            with open_private(folder / "starting") as door:
                fcntl.flock(door, fcntl.LOCK_EX)
                running = running_stack(settings)
                stack = running or start_detached(
                    _with_free_port(settings), slots, keep=keep, prewarm=prewarm, waiting=waiting()
                )
                keep_for(keep, folder)
        except BaseException:
            users.close()
            raise
        return cls(stack, users, started=running is None)

    def differences(self) -> list[str]:
        """How this process's settings differ from those that the stack was started with, a few words each."""
        state = read_state(self.stack.settings.state_dir)
        then = dict(state.settings) if state else {}
        now = settings_environment(self.stack.settings)
        names = sorted((then.keys() | now.keys()) - _OF_THE_PLACE)
        return [
            f"{name} {then.get(name) or 'unset'} (here {now.get(name) or 'unset'})"
            for name in names
            if then.get(name) != now.get(name)
        ]

    def leave(self) -> None:
        """Stop using the stack; it ends by itself if nobody else uses it and nobody asked for it to stay.

        This does not wait until it has ended; a user that joins meanwhile does. Safe to call again.
        """
        if self._users.closed:
            return
        self._users.close()
        state = read_state(self.stack.settings.state_dir)
        if state is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.controller.pid, LOOK)


def alone(users: BinaryIO) -> bool:
    """Lock the list of users exclusively; if others hold it, release this process's own lock and return False."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fcntl.flock(users, fcntl.LOCK_UN)
        return False
    return True


def stop_unless_used(settings: Settings) -> bool:
    """Stop the running stack; if commands use it, it stops when the last of them ends.

    Returns:
        Whether it is stopped.

    Raises:
        LocalStackError: no stack is running.
    """
    running = LocalStack.attach(settings)
    with open_private(settings.state_dir / "users") as users:
        if alone(users):
            running.stop()
            return True
    state = read_state(settings.state_dir)
    if state is not None:
        write_state(settings.state_dir, state.model_copy(update={"keep": "used"}))
    return False


class Orphan:
    """Finds out when nobody needs a stack any more; its controller asks at intervals.

    Args:
        idle_looks: how many checks in a row must find no work, if the stack stays to finish its work.
    """

    def __init__(self, state_dir: Path, *, idle_looks: int = 3) -> None:
        self._state_dir = state_dir
        self._idle_looks = idle_looks
        self._idle = 0
        self._users = open_private(state_dir / "users")

    def look(self, *, busy: bool) -> bool:
        """Whether the stack should end. If so, the list of users stays locked, so that nobody can join."""
        self._idle = 0 if busy else self._idle + 1
        state = self._state()
        if state is None or state.keep == "always" or (state.keep == "busy" and self._idle < self._idle_looks):
            return False
        return alone(self._users)

    def _state(self) -> StackState | None:
        state = read_state(self._state_dir)
        return state if state and state.controller.pid == os.getpid() else None


def _with_free_port(settings: Settings) -> Settings:
    return settings.model_copy(update={"port": 0}) if settings.port and is_taken(settings.port) else settings
