"""A stack stays up while somebody uses it: not for a command that crashed, and not for one that only passed by."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from castline.errors import LocalStackError
from castline.local.engine import is_taken
from castline.local.session import Session, stop_unless_used
from castline.local.stack import running_stack
from castline.local.state import StackState, keep_for, read_state
from castline.settings import Settings

pytestmark = pytest.mark.e2e

_USER = """
import sys, time
from pathlib import Path
from castline.local.session import Session
from castline.settings import Settings
session = Session.join(Settings(state_dir=Path(sys.argv[1]), port=0, prefix="unit"))
print(session.started, flush=True)
sys.stdin.read()
session.leave()
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(state_dir=tmp_path / "library", port=0, prefix="unit")
    yield settings
    if left := running_stack(settings):
        left.stop()


@contextmanager
def _user(config: Settings) -> Iterator[subprocess.Popen[str]]:
    """A command that uses the stack, in its own process; it ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", _USER, str(config.state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _state(config: Settings) -> StackState:
    state = read_state(config.state_dir)
    assert state is not None
    return state


def _gone(state: StackState) -> bool:
    """Waits for the end of a stack."""
    for process in (state.controller, state.engine):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(process.pid).wait(120)
    return not (state.controller.alive or state.engine.alive)


def test_the_first_starts_it_the_last_stops_it_and_a_crash_does_not_keep_it_up(config: Settings) -> None:
    with _user(config) as first, _user(config) as second:
        assert first.stdout
        assert second.stdout
        assert sorted((first.stdout.readline(), second.stdout.readline())) == ["False\n", "True\n"]
        state = _state(config)
        assert not stop_unless_used(config), "somebody uses it"
        first.communicate("")
        assert state.controller.alive, "the other still uses it"
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        assert _gone(state)
    assert read_state(config.state_dir) is None
    with pytest.raises(LocalStackError, match="no stack is running"):
        stop_unless_used(config)


def test_it_stays_for_its_work_and_on_request_and_differing_settings_are_reported(
    config: Settings,
) -> None:
    session = Session.join(config)
    state = _state(config)
    assert session.started
    assert session.differences() == []
    other = config.model_copy(update={"interval_s": 2.0, "beam": 2})
    joined = Session.join(other)
    assert not joined.started
    assert joined.differences() == ["CASTLINE_BEAM unset (here 2)", "CASTLINE_INTERVAL_S unset (here 2)"]
    joined.leave()
    keep_for("always", config.state_dir)
    keep_for("busy", config.state_dir)
    assert _state(config).keep == "always"
    session.leave()
    session.leave()
    assert state.controller.alive
    assert stop_unless_used(config)
    assert _gone(state)

    session = Session.join(config)
    state = _state(config)
    assert is_taken(state.port)
    elsewhere = Settings(state_dir=config.state_dir.parent / "other", port=state.port, prefix="unit")
    second = Session.join(elsewhere)
    assert _state(elsewhere).port != state.port, "two libraries at once"
    second.leave()
    keep_for("busy", config.state_dir)
    session.leave()
    assert _gone(state), "it ends by itself when it is idle"
