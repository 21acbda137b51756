"""The Lambda host with real ``awslambdaric`` processes."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from castline.local.lambda_host import LambdaHost

NAME = "probe"
StartHost = Callable[..., LambdaHost]


def invoke(host: LambdaHost, **event: Any) -> Any:
    answer, error = host.invoke(NAME, event)
    assert not error, answer
    return answer


def post(host: LambdaHost, body: bytes, function: str = NAME) -> tuple[int, Any]:
    """An invocation as the emulator sends it."""
    request = urllib.request.Request(host.url(function), data=body, headers={"X-Amzn-Lambda-Request-Id": "id-1"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(test: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_the_answer_is_passed_on_unchanged(start_host: StartHost) -> None:
    event = {"do": "echo", "text": "ünï ✓", "nested": [1, {"a": None}]}
    assert post(start_host(), json.dumps(event).encode()) == (200, event)


def test_the_process_stays_warm_and_sees_lambda_s_environment(start_host: StartHost, tmp_path: Path) -> None:
    host = start_host(environment={"CASTLINE_SAMPLING": "keyframes"})
    first, second = invoke(host, do="describe"), invoke(host, do="describe")
    assert first["pid"] == second["pid"]
    assert second["calls"] == 2
    assert 0 < first["left_ms"] <= 20_000
    assert first["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:probe"
    assert first["cwd"] == str(tmp_path / "code")
    environment = first["environment"]
    assert environment["CASTLINE_SAMPLING"] == "keyframes"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == NAME
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert environment["LAMBDA_TASK_ROOT"] == str(tmp_path / "code")
    assert environment["PATH"].split(os.pathsep)[0] == str(tmp_path / "layer" / "bin")


def test_real_credentials_do_not_reach_a_function(start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    environment = invoke(start_host(), do="describe")["environment"]
    assert "AWS_SESSION_TOKEN" not in environment
    assert environment["AWS_SECRET_ACCESS_KEY"] == "secret"


def test_a_raised_error_is_a_function_error_and_the_process_survives(start_host: StartHost) -> None:
    host = start_host()
    pid = invoke(host, do="describe")["pid"]
    status, answer = post(host, b'{"do": "raise", "message": "no such thing"}')
    assert status == 500
    assert answer == {"errorType": "ValueError", "errorMessage": "no such thing"}
    assert invoke(host, do="describe")["pid"] == pid


def test_a_long_error_is_cut_to_what_the_emulator_keeps(start_host: StartHost) -> None:
    host = start_host()
    with pytest.raises(urllib.error.HTTPError) as caught:
        body = json.dumps({"do": "raise", "message": "ü" * 5000}).encode()
        urllib.request.urlopen(urllib.request.Request(host.url(NAME), data=body), timeout=300)
    with caught.value as error:
        raw = error.read()
    assert len(raw) <= 512
    assert json.loads(raw)["errorType"] == "ValueError"


@pytest.mark.parametrize(("do", "reason"), [("die", "signal: SIGKILL"), ("exit", "exit status 3")])
def test_a_process_that_dies_is_a_function_error_and_is_replaced(start_host: StartHost, do: str, reason: str) -> None:
    host = start_host()
    pid = invoke(host, do="describe")["pid"]
    answer, error = host.invoke(NAME, {"do": do})
    assert error
    # The runtime itself reports sys.exit inside a handler; only we can report a signal.
    assert answer["errorType"] in ("Runtime.ExitError", "SystemExit")
    assert reason in answer["errorMessage"] or do == "exit"
    assert invoke(host, do="describe")["pid"] != pid


def test_a_process_killed_from_outside_during_an_invocation(start_host: StartHost) -> None:
    host = start_host()
    pid = invoke(host, do="describe")["pid"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(host.invoke, NAME, {"do": "sleep", "seconds": 30})
        time.sleep(0.2)
        os.kill(pid, 9)
        body, error = answer.result(timeout=300)
    assert error
    assert body["errorType"] == "Runtime.ExitError"


def test_a_process_that_dies_while_idle_costs_no_event(start_host: StartHost) -> None:
    host = start_host()
    pid = invoke(host, do="leave")["pid"]
    assert wait_until(lambda: not running(pid))
    assert invoke(host, do="describe")["pid"] != pid


def test_a_timeout_kills_the_whole_process_group(start_host: StartHost, tmp_path: Path) -> None:
    host = start_host(timeout_s=1.0)
    pid = invoke(host, do="describe")["pid"]
    started = time.monotonic()
    answer, error = host.invoke(NAME, {"do": "hang with child", "file": str(tmp_path / "child")})
    assert error
    assert answer["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in answer["errorMessage"]
    assert time.monotonic() - started < 120
    grandchild = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not running(pid) and not running(grandchild))
    assert invoke(host, do="describe")["pid"] != pid


def test_children_of_a_crashed_process_are_killed_with_it(start_host: StartHost, tmp_path: Path) -> None:
    host = start_host()
    host.invoke(NAME, {"do": "die with child", "file": str(tmp_path / "child")})
    grandchild = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not running(grandchild))


def test_waiting_for_a_slot_is_not_part_of_the_timeout(start_host: StartHost) -> None:
    host = start_host(timeout_s=1.0, slots=1, prewarm=True)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: host.invoke(NAME, {"do": "sleep", "seconds": 0.4}), range(5)))
    assert not any(error for _, error in answers)


def test_twenty_invocations_share_two_slots(start_host: StartHost) -> None:
    host = start_host(slots=2)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: invoke(host, do="sleep", seconds=0.05), range(20)))
    assert len({answer["pid"] for answer in answers}) == 2
    spans = [(answer["started"], 1) for answer in answers] + [(answer["ended"], -1) for answer in answers]
    level = peak = 0
    for _, step in sorted(spans):
        level += step
        peak = max(peak, level)
    assert peak == 2


def test_each_process_has_its_own_temporary_folder(start_host: StartHost) -> None:
    host = start_host(slots=2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: invoke(host, do="sleep", seconds=0.3), range(2)))
        answers = list(pool.map(lambda _: invoke(host, do="describe"), range(20)))
    folder_of = {answer["pid"]: answer["tmp"] for answer in answers}
    assert len(set(folder_of.values())) == len(folder_of)


def test_the_temporary_folder_is_kept_while_warm_and_emptied_with_a_new_process(start_host: StartHost) -> None:
    host = start_host()
    mark = Path(host.invoke(NAME, {"do": "leave a file"})[0])
    invoke(host, do="describe")
    assert mark.exists()
    host.invoke(NAME, {"do": "die"})
    invoke(host, do="describe")
    assert not mark.exists()


def test_an_error_at_import_is_answered_to_every_invocation(start_host: StartHost) -> None:
    host = start_host(code="import nothing_of_this_name\n")
    for _ in range(2):
        answer, error = host.invoke(NAME, {})
        assert error
        assert answer["errorType"] == "Runtime.ImportModuleError"
        assert "nothing_of_this_name" in answer["errorMessage"]


def test_a_process_that_exits_at_import_is_an_exit_error(start_host: StartHost) -> None:
    answer, error = start_host(code="import os\nos._exit(7)\n").invoke(NAME, {})
    assert error
    assert answer["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in answer["errorMessage"]


def test_the_log_has_start_and_report(start_host: StartHost, tmp_path: Path) -> None:
    post(start_host(), b"{}")
    log = (tmp_path / "state" / "logs" / "probe-0.log").read_text()
    assert "START RequestId: id-1" in log
    assert "REPORT RequestId: id-1\tDuration: " in log


def test_configuration_events_of_s3_do_not_reach_a_function(start_host: StartHost) -> None:
    host = start_host()
    assert post(host, b'{"Service": "Amazon S3", "Event": "s3:TestEvent"}') == (200, None)
    assert host.pids(NAME) == []


def test_unknown_function(start_host: StartHost) -> None:
    status, answer = post(start_host(), b"{}", "other")
    assert status == 500
    assert answer["errorType"] == "Host.UnknownFunction"


def test_stop_answers_running_invocations_and_ends_all_processes(start_host: StartHost) -> None:
    host = start_host(slots=2, prewarm=True)
    assert wait_until(lambda: len(host.pids(NAME)) == 2)
    pids = host.pids(NAME)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(host.invoke, NAME, {"do": "sleep", "seconds": 30}) for _ in range(3)]
        time.sleep(0.3)
        host.stop()
        assert all(answer.result(timeout=300)[1] for answer in answers)
    assert not any(running(pid) for pid in pids)


@pytest.mark.parametrize("do", ["take memory", "child takes memory"])
def test_a_function_that_exceeds_its_memory_is_killed(do: str, start_host: StartHost, tmp_path: Path) -> None:
    host = start_host(timeout_s=600)
    answer, error = host.invoke(NAME, {"do": do, "mb": 400, "seconds": 60})
    assert error
    assert (answer["errorType"], "signal: SIGKILL" in answer["errorMessage"]) == ("Runtime.ExitError", True)
    assert "MB of memory, of 256" in (tmp_path / "state" / "logs" / f"{NAME}-0.log").read_text()
    assert invoke(host, do="take memory", mb=64) == 64, "the next one has all of the memory"


def test_a_function_that_exceeds_its_disk_is_killed(start_host: StartHost, tmp_path: Path) -> None:
    host = start_host(timeout_s=600)
    answer, error = host.invoke(NAME, {"do": "fill the disk", "files": 3, "mb": 30, "seconds": 60})
    assert error
    assert answer["errorType"] == "Runtime.ExitError"
    assert "MB in /tmp, of 64" in (tmp_path / "state" / "logs" / f"{NAME}-0.log").read_text()
    assert invoke(host, do="fill the disk", files=1, mb=30) == "written", "it begins with an empty disk"


def test_a_single_file_that_is_too_large_is_the_function_s_error(start_host: StartHost) -> None:
    answer, error = start_host().invoke(NAME, {"do": "fill the disk", "files": 1, "mb": 65})
    assert error
    assert "File too large" in answer["errorMessage"]
