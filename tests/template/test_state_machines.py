"""The state machines according to Step Functions' rules: their language, their histories, their permissions.

The number of events per state is from Step Functions' documentation: three per attempt of a task (scheduled, started,
ended), two per state (entered, exited), two per item of an inline Map (started, succeeded).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfnlint.api import lint

from castline import keys
from castline.cost.model import work
from castline.records import Options
from castline.settings import Settings
from tests.template.conftest import ROOT, resolver

_MACHINES = ("start", "run", "batch")
_MOST_EVENTS = 25_000
_MOST_BYTES = 256 * 1024
_RUN = "0123456789abcdef"


def _machine(name: str) -> dict[str, Any]:
    machine: dict[str, Any] = json.loads((ROOT / "statemachine" / f"{name}.asl.json").read_text())
    return machine


@pytest.mark.parametrize("name", _MACHINES)
def test_the_definition_is_valid_states_language(name: str) -> None:
    """cfn-lint has the language's schema, but does not check files that a template only names."""
    found = _lint(_machine(name))
    assert found == []
    broken = _machine(name)
    del broken["StartAt"]
    assert any("StartAt" in line for line in _lint(broken)), "the schema is used"


def _lint(definition: dict[str, Any]) -> list[str]:
    properties = {"Definition": definition, "RoleArn": "arn:aws:iam::123456789012:role/any"}
    resources = {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    text = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})
    found = lint(text.replace("${Partition}", "aws"))
    return [match.message for match in found if match.rule.id == "E3601"]


def _tries(state: dict[str, Any]) -> int:
    """At most: with every retrier exhausted."""
    return 1 + sum(int(retrier["MaxAttempts"]) for retrier in state.get("Retry", ()))


def _events(machine: dict[str, Any], items: int) -> int:
    """The maximum that one execution writes if every state is entered and none succeeds before its last attempt."""
    total = 2
    for state in machine["States"].values():
        if state["Type"] == "Task":
            total += 2 + 3 * _tries(state)
        elif state["Type"] != "Map":
            total += 2
        elif state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED":
            total += 2 + 4 * _tries(state)
        else:
            total += 3 + items * _events(state["ItemProcessor"], 0)
    return total


def _maps(name: str) -> dict[str, dict[str, Any]]:
    return {title: state for title, state in _machine(name)["States"].items() if state["Type"] == "Map"}


def _mode(state: dict[str, Any]) -> str:
    return str(state["ItemProcessor"]["ProcessorConfig"]["Mode"])


def _inline_units() -> int:
    """Units of the largest run with an inline Map: the choice asks whether there is one more."""
    (choice,) = _machine("run")["States"]["Are they many?"]["Choices"]
    return int(choice["Variable"].removeprefix("$.split.units[").removesuffix("]"))


def test_no_history_can_become_too_long() -> None:
    """Whatever is throttled, for however long, and however long the recording is."""
    for name in _MACHINES:
        assert _events(_machine(name), _inline_units()) < _MOST_EVENTS, name
        for title, state in _maps(name).items():
            if _mode(state) == "DISTRIBUTED":
                assert _events(state["ItemProcessor"], 0) < _MOST_EVENTS, title


def test_only_a_run_of_few_units_has_a_map_in_its_own_history() -> None:
    assert {title: _mode(state) for title, state in _maps("run").items()} == {
        "Split every range": "DISTRIBUTED",
        "Analyse every unit": "INLINE",
        "Analyse many units": "DISTRIBUTED",
    }
    assert _inline_units() <= 40
    states = _machine("run")["States"]
    choice = states["Are they many?"]
    assert (choice["Choices"][0]["Next"], choice["Default"]) == ("Analyse many units", "Analyse every unit")


def test_twelve_hours_on_two_analysers_finish_before_a_unit_is_given_up() -> None:
    """The mean of a wait with full jitter is half of the maximum; no unit waits for more than all the others."""
    options, length_s = Options(), Settings().max_duration_s
    _, frames_s, chunk_s = work(length_s, options)
    units_s = length_s / options.interval_s / options.frames_per_unit * frames_s + length_s / options.chunk_s * chunk_s
    unit = _maps("run")["Analyse many units"]["ItemProcessor"]["States"]["Analyse one of many"]
    waiting = next(retrier for retrier in unit["Retry"] if "Lambda.TooManyRequestsException" in retrier["ErrorEquals"])
    patience_s = waiting["MaxAttempts"] * waiting["MaxDelaySeconds"] / 2
    assert units_s / 2 < patience_s / 10


def test_the_output_of_items_fits_a_state() -> None:
    """A Map passes on its items' outputs; there may be thousands, and nobody reads them."""
    for title, state in _maps("run").items():
        for name, one in state["ItemProcessor"]["States"].items():
            assert not one.get("End") or one["OutputPath"] is None, f"{title}: {name}"
    length_s = int(Settings().max_duration_s)
    names = [keys.UnitId("k" * 900, _RUN, "frames", at).stage1_key for at in range(length_s // 20)]
    names = [name.rpartition(f"{_RUN}/")[2] for name in names]
    assert len(json.dumps(names)) < _MOST_BYTES - 2048


def test_one_failed_item_harms_no_other() -> None:
    for name in ("run", "batch"):
        for title, state in _maps(name).items():
            if _mode(state) == "DISTRIBUTED":
                assert state["ToleratedFailurePercentage"] == 100, title
                assert len(state["Label"]) <= 40
                assert state["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] == "STANDARD", "waiting takes hours"


def _states(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All states by title, including those inside Maps."""
    found: dict[str, dict[str, Any]] = dict(machine["States"])
    for state in machine["States"].values():
        found |= _states(state["ItemProcessor"]) if state["Type"] == "Map" else {}
    return found


@pytest.mark.parametrize("name", _MACHINES)
def test_states_that_invoke_a_function_wait_for_hours_and_then_catch(name: str) -> None:
    """Throttling means waiting; every other error ends where failures go, and is never ignored."""
    assert _careless(_machine(name)) == []


@pytest.mark.parametrize(
    ("name", "title"), [("start", "Identify"), ("run", "Split"), ("run", "Analyse one of many"), ("batch", "Look")]
)
@pytest.mark.parametrize("without", ["Catch", "Retry"])
def test_a_state_that_does_not_is_found(name: str, title: str, without: str) -> None:
    machine = _machine(name)
    del _states(machine)[title][without]
    assert _careless(machine) == [title]


def test_no_state_of_the_start_machine_loses_an_upload(source: dict[str, Any]) -> None:
    states = _machine("start")["States"]
    assert states["Identify"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Give up"}
    ]
    assert states["Give up"]["Parameters"]["Message"]["requestPayload.$"] == "$", "the upload's event itself"
    known = [item for item in states["Start"]["Catch"] if item["Next"] == "Nothing to do"]
    assert [set(item["ErrorEquals"]) for item in known] == [
        {"StepFunctions.ExecutionAlreadyExistsException", "ExecutionAlreadyExists"}
    ]
    assert states["Start"]["Catch"][-1]["Next"] == "Give up"
    machines = resolver(source, Orchestration="stepfunctions").resources("AWS::Serverless::StateMachine")
    assert {machine["Type"] for machine in machines.values()} == {"STANDARD"}, "an express one ends after five minutes"


def _careless(machine: dict[str, Any]) -> list[str]:
    """Titles of states that invoke a function and do not wait for hours, or do not catch everything."""
    states = _states(machine)
    found = []
    for title, state in states.items():
        if ":lambda:invoke" not in state.get("Resource", ""):
            continue
        retriers = [each for each in state.get("Retry", ()) if "Lambda.TooManyRequestsException" in each["ErrorEquals"]]
        # The mean of a wait with full jitter is half of the maximum.
        patience_s = sum(each["MaxAttempts"] * each["MaxDelaySeconds"] / 2 for each in retriers)
        caught = [each["Next"] for each in state.get("Catch", ()) if "States.ALL" in each["ErrorEquals"]]
        if patience_s < 3 * 3600 or not any(states[each]["Type"] in ("Task", "Pass") for each in caught):
            found.append(title)
    return found


@pytest.mark.parametrize("name", _MACHINES)
def test_a_failure_is_published_with_retries(name: str) -> None:
    machine = _machine(name)
    told = [state for state in _states(machine).values() if state.get("Resource", "").endswith("sns:publish")]
    assert told
    assert all(_tries(state) > 10 for state in told)


@pytest.mark.parametrize("name", ["run", "batch"])
def test_a_machine_with_a_distributed_map_may_start_itself(source: dict[str, Any], name: str) -> None:
    known = resolver(source, Orchestration="stepfunctions", BatchMarker="done.txt")
    role = {"run": "RunMachineRole", "batch": "BatchMachineRole"}[name]
    (policy,) = known.resources("AWS::IAM::Role")[role]["Policies"]
    granted = {
        action: resource
        for statement in policy["PolicyDocument"]["Statement"]
        for action in _list(statement["Action"])
        for resource in [_list(statement["Resource"])]
    }
    machine = f"castline-{name}"
    assert [arn.rpartition(":stateMachine:")[2] for arn in granted["states:StartExecution"]] == [machine]
    for action in ("states:DescribeExecution", "states:StopExecution"):
        assert {arn.rpartition(":execution:")[2] for arn in granted[action]} == {f"{machine}:*", f"{machine}/*"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
