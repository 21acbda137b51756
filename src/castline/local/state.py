"""The record of a running stack, by which other commands find it: ``<state_dir>/stack.json``."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from castline.errors import LocalStackError, UnreadableObject
from castline.gate.private import open_private, private_folder
from castline.records import Record

Keep = Literal["used", "busy", "always"]


class ProcessId(Record):
    """A process, distinguished from a later one with the same number by its start time.

    Attributes:
        started: the start time as the system records it; empty if there is no ``/proc``.
    """

    pid: int
    started: str = ""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid=pid, started=_start_mark(pid))

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not count."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return _start_mark(self.pid) == self.started


class StackState(Record):
    """A running stack.

    Attributes:
        controller: the process that holds the Lambda host and ends everything when told to.
        engine: the AWS emulator.
        keep: how long it stays: as long as commands use it, or also until its functions have nothing to do, or until it
            is told to end.
        settings: variables of the settings it was started with that differ from the defaults.
    """

    controller: ProcessId
    engine: ProcessId
    port: int
    keep: Keep = "always"
    settings: dict[str, str] = Field(default_factory=dict)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def state_path(state_dir: Path) -> Path:
    return state_dir / "stack.json"


def read_state(state_dir: Path) -> StackState | None:
    """The state of a live stack; None if there is none, or if its controller is gone."""
    try:
        state = StackState.from_json(state_path(state_dir).read_bytes())
    except (OSError, UnreadableObject):
        return None
    return state if state.controller.alive else None


def write_state(state_dir: Path, state: StackState) -> None:
    path = state_path(state_dir)
    draft = path.with_suffix(".tmp")
    with open_private(draft, os.O_TRUNC) as file:
        file.write(state.to_json())
    draft.replace(path)


def keep_for(keep: Keep, state_dir: Path) -> None:
    """Extend how long the running stack stays; this never shortens it."""
    state = read_state(state_dir)
    order = get_args(Keep)
    if state is not None and order.index(keep) > order.index(state.keep):
        write_state(state_dir, state.model_copy(update={"keep": keep}))


@contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Lock a state folder, with access for its owner only. The lock ends with the process, however that ends.

    Raises:
        LocalStackError: another process holds it.
    """
    private_folder(state_dir)
    with open_private(state_dir / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalStackError(f"a stack is already running in {state_dir}") from error
        yield


def _start_mark(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # Fields after the name: state is the first, start time the twentieth.
    return "" if fields[0] == "Z" else fields[19]
