"""The checks that both profiles begin with, and how a finding becomes points."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from castline.errors import EvaluationError
from castline.grader.base import Check, Context, Finding, perform
from castline.grader.checks import CHECKS
from tests.grader.conftest import NAMES, Deployment, refusal


@pytest.mark.parametrize("profile", ["classic", "full"])
def test_points_add_up_to_a_hundred(profile: str) -> None:
    checks = CHECKS[profile]
    assert sum(check.points for check in checks) == 100
    assert [check.number for check in checks] == list(range(1, len(checks) + 1))


@pytest.mark.parametrize(
    ("share", "status", "points"),
    [(1.0, "passed", 20), (0.5, "partial", 10), (0.9999, "partial", 19.9), (0.0, "failed", 0), (1e-6, "failed", 0)],
)
def test_a_fraction_becomes_points(classic: Deployment, share: float, status: str, points: float) -> None:
    result = perform(Check(1, "x", 20, lambda context: Finding(share)), Context(classic.target))
    assert (result.status, result.points, result.out_of) == (status, points, 20)


def _said(code: str) -> str:
    return f"ClientError: An error occurred ({code}) when calling the GetFunction operation: {code} it is"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (EvaluationError("no table"), "no table"),
        (refusal("AccessDenied"), _said("AccessDenied")),
        (refusal("ThrottlingException"), _said("ThrottlingException")),
        (EndpointConnectionError(endpoint_url="http://x/"), 'EndpointConnectionError: Could not connect to the '
                                                            'endpoint URL: "http://x/"'),
        (KeyError("\x1b[31mx\ny"), r"KeyError: '\x1b[31mx\ny'"),
    ],
)  # fmt: skip
def test_an_impossible_check_is_an_error_in_one_line(classic: Deployment, error: Exception, line: str) -> None:
    def look(context: Context) -> Finding:
        raise error

    result = perform(Check(1, "x", 20, look), Context(classic.target))
    assert (result.status, result.points) == ("error", 0)
    assert result.lines == (line,)


def test_both_functions_are_there(classic: Deployment) -> None:
    result = classic.look(1)
    assert (result.status, result.points) == ("passed", 10)


def test_a_missing_function_loses_points(classic: Deployment) -> None:
    del classic.functions.states["face-recognition"]
    result = classic.look(1)
    assert (result.status, result.points) == ("partial", 5)
    assert "face-recognition: does not exist" in result.lines


@pytest.mark.parametrize("state", ["Failed", "Pending"])
def test_a_function_that_cannot_be_invoked_is_named_with_its_state(classic: Deployment, state: str) -> None:
    classic.functions.states = dict.fromkeys(classic.functions.states, state)
    result = classic.look(1)
    assert (result.status, result.points) == ("failed", 0)
    assert f"video-splitting: is there, but its state is {state}: because" in result.lines


def test_functions_that_may_not_be_read_are_not_called_missing(classic: Deployment) -> None:
    classic.functions.states["video-splitting"] = refusal("AccessDeniedException")
    result = classic.look(1)
    assert (result.status, result.points) == ("error", 0)
    assert "AccessDeniedException" in result.lines[0]


def test_empty_buckets_pass(classic: Deployment) -> None:
    assert (classic.look(2).status, classic.look(2).points) == ("passed", 10)


def test_objects_in_a_bucket_at_the_start_are_named_and_cost_points(classic: Deployment) -> None:
    classic.put(classic.target.output_bucket, "old.txt", "Ada")
    result = classic.look(2)
    assert (result.status, result.points) == ("partial", 8.3)
    assert "grade-output: not empty, it has old.txt" in result.lines


def test_a_missing_bucket_costs_points_everywhere_and_is_not_an_error(classic: Deployment) -> None:
    classic.target.s3.delete_bucket(Bucket="grade-stage-1")
    result = classic.look(2)
    assert (result.status, result.points) == ("partial", 6.6)
    assert "grade-stage-1: does not exist" in result.lines
    classic.upload()
    result = classic.look(4)
    assert (result.status, result.lines) == ("failed", ("the bucket grade-stage-1 does not exist",))


def test_buckets_that_may_not_be_read_are_an_error(classic: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(**_: Any) -> None:
        raise refusal("403", "ListObjectsV2")

    monkeypatch.setattr(classic.target.s3, "list_objects_v2", deny)
    assert classic.look(2).status == "error"


def test_everything_is_answered_in_time(classic: Deployment) -> None:
    answering = classic.answering(classic.name)
    context = answering.context()
    result = answering.look(3, context)
    assert (result.status, result.points) == ("passed", 20), result.lines
    assert result.lines[0].startswith("4 of 4 answered within 300 s")
    assert context.load
    assert context.load[2] == 4


def test_missing_answers_cost_their_share_and_are_named(classic: Deployment) -> None:
    def answer(media: str) -> None:
        if media != "test_02.mp4":
            classic.name(media)

    answering = classic.answering(answer)
    result = answering.look(3, answering.context(time_limit_s=2))
    assert (result.status, result.points) == ("partial", 15)
    assert "1: no answer in time; nothing in grade-stage-1 either: test_02.mp4" in result.lines


def test_a_pipeline_that_never_answers_ends_in_time(classic: Deployment) -> None:
    begin = time.monotonic()
    result = classic.look(3, classic.context(time_limit_s=2))
    assert time.monotonic() - begin < 120
    assert (result.status, result.points) == ("failed", 0)
    assert result.lines[0].startswith("0 of 4 answered within 2 s")


def test_without_uploads_completion_cannot_be_checked(classic: Deployment) -> None:
    result = classic.look(3)
    assert (result.status, result.lines) == ("error", ("nothing to upload: give --testcase_folder",))


def test_a_failed_run_s_result_is_not_a_good_answer(full: Deployment) -> None:
    def answer(media: str) -> None:
        full.publish(media, status="failed" if media == "test_01.mp4" else "complete")

    answering = full.answering(answer)
    result = answering.look(3, answering.context())
    assert (result.status, result.points) == ("partial", 15)
    assert any("test_01.mp4" in line for line in result.lines)


@pytest.mark.parametrize("number", [4, 5, 6])
def test_after_an_upload_every_uploaded_file_is_expected(classic: Deployment, number: int) -> None:
    def swallow(media: str) -> None:
        classic.target.s3.delete_object(Bucket=classic.target.input_bucket, Key=media)

    answering = classic.answering(swallow)
    context = answering.context(time_limit_s=1)
    assert classic.look(number, context).status == "error"  # nothing is there to compare with
    answering.look(3, context)
    assert context.inputs() == sorted(NAMES)


def test_ctrl_c_ends_the_wait(classic: Deployment) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    context: Any = classic.context()
    context.on_progress = stop
    check: Callable[[Context], Finding] = classic.check(3).look
    with pytest.raises(KeyboardInterrupt):
        check(context)
