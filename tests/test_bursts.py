"""The simulation of bursts, with few uploads: who gives up, and why."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import bursts
from benchmarks.bursts import MODES, Work, burst, queued
from castline.queues import HIDDEN_S, STAGE

WORK = Work(split_s=20.0, units_s=(10.0, 5.0, 5.0))
#: Forty of them are seven hours for one execution: more than the six for which Lambda keeps an event.
LONG = Work(split_s=200.0, units_s=(400.0,))


def test_only_events_are_given_up_when_work_takes_longer_than_they_wait() -> None:
    assert burst("events", 1, 40, LONG)["given_up"] > 0
    assert burst("stepfunctions", 1, 40, LONG)["given_up"] == 0
    assert queued(2, (1, 1), 40, LONG, failing=0)["given_up"] == 0


def test_a_burst_is_the_same_each_time() -> None:
    assert all(burst(mode, 10, 50, WORK) == burst(mode, 10, 50, WORK) for mode in MODES)


def test_a_state_machine_that_gives_up_identifying_soon_loses_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `Identify` once did: 16 attempts of at most 20 s, and no Catch."""
    ours = bursts._retriers

    def hasty(units: int) -> list[dict[str, Any]]:
        _, *others = ours(units)
        return [{"IntervalSeconds": 2, "MaxAttempts": 16, "BackoffRate": 2, "MaxDelaySeconds": 20}, *others]

    monkeypatch.setattr(bursts, "_retriers", hasty)
    assert burst("stepfunctions", 1, 40, LONG)["given_up"] > 20


def test_failed_messages_come_again_and_none_is_lost() -> None:
    steady, shaky = queued(10, (2, 4), 50, WORK, failing=0), queued(10, (2, 4), 50, WORK, failing=0.1)
    assert (steady["given_up"], steady["most_receives"]) == (0, 1)
    assert (shaky["given_up"], shaky["throttled"]) == (0, 0)
    assert 1 < shaky["most_receives"] <= STAGE.attempts
    never = queued(10, (2, 4), 50, WORK, failing=1)
    assert (never["given_up"], never["most_receives"]) == (50, STAGE.attempts)


def test_limits_above_the_account_s_hide_messages_and_lose_none() -> None:
    """A throttled message is hidden for 90 minutes, which is not an attempt."""
    within, above = queued(6, (2, 4), 50, WORK, failing=0), queued(6, (20, 40), 50, WORK, failing=0)
    assert (within["given_up"], within["throttled"]) == (above["given_up"], 0) == (0, 0)
    assert above["throttled"] > 0
    assert above["hours"] > HIDDEN_S / 3600 > within["hours"]


def test_a_message_without_an_answer_is_given_up_by_the_queue() -> None:
    """The redrive policy's receives are used up before its 14 days are."""
    none = queued(0, (2, 4), 3, WORK)
    assert (none["given_up"], none["most_receives"]) == (3, 200)
