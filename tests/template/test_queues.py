"""Queues of the stages: the template's values, and what the code assumes."""

from __future__ import annotations

from typing import Any

import pytest

from castline.operations.preflight import AT_ONCE, BESIDE_STAGES, NEW_ACCOUNT, shares
from castline.queues import HIDDEN_S, STAGE
from tests.template.conftest import resolver

_LONGEST_S = 900  # a Lambda invocation
_RETAINED_S = 14 * 24 * 3600
#: The queues that buckets write to.
STAGES = {"UploadsQueue": "input", "RangesQueue": "stage-1", "UnitsQueue": "stage-1"}


def test_queues_are_the_default_and_keep_messages_as_long_as_sqs_allows(source: dict[str, Any]) -> None:
    assert source["Parameters"]["Orchestration"]["Default"] == "queue"
    queues = resolver(source).resources("AWS::SQS::Queue")
    assert set(queues) == {*STAGES, "GivenUpQueue", "FailedInvocationsQueue"}
    for name in (*STAGES, "GivenUpQueue"):
        assert queues[name]["MessageRetentionPeriod"] == _RETAINED_S
        assert queues[name]["VisibilityTimeout"] == HIDDEN_S >= 6 * _LONGEST_S
    assert _LONGEST_S < STAGE.held_s < HIDDEN_S


def test_a_message_without_an_answer_is_given_up_before_it_expires(source: dict[str, Any]) -> None:
    queues = resolver(source).resources("AWS::SQS::Queue")
    for name in STAGES:
        policy = queues[name]["RedrivePolicy"]
        assert policy["deadLetterTargetArn"].endswith(":castline-given-up")
        assert STAGE.attempts < policy["maxReceiveCount"]
        assert policy["maxReceiveCount"] * HIDDEN_S < _RETAINED_S - 24 * 3600
    assert queues["GivenUpQueue"]["RedrivePolicy"]["deadLetterTargetArn"].endswith(":castline-failed-invocations")


def test_each_stage_reads_its_own_queue_with_its_own_limit(source: dict[str, Any]) -> None:
    known = resolver(source, SplitterAtOnce="3", RangesAtOnce="20", AnalyserAtOnce="40")
    found = {
        item["EventSourceArn"].rpartition(":")[2]: (item["FunctionName"], item["ScalingConfig"]["MaximumConcurrency"])
        for item in known.resources("AWS::Lambda::EventSourceMapping").values()
    }
    assert found == {
        "castline-uploads": ("video-splitting", "3"),
        "castline-ranges": ("video-splitting", "20"),
        "castline-units": ("face-recognition", "40"),
        "castline-given-up": ("failure-recorder", 2),
    }
    for item in known.resources("AWS::Lambda::EventSourceMapping").values():
        assert (item["BatchSize"], item["FunctionResponseTypes"]) == (1, ["ReportBatchItemFailures"])
    defaults = tuple(source["Parameters"][name]["Default"] for name in AT_ONCE)
    assert defaults[0] < defaults[2], "units are preferred"
    assert defaults == shares(NEW_ACCOUNT)
    assert sum(defaults) + BESIDE_STAGES <= NEW_ACCOUNT


@pytest.mark.parametrize("queue", STAGES)
def test_only_its_bucket_in_this_account_may_send_and_only_by_tls(source: dict[str, Any], queue: str) -> None:
    policies = resolver(source).resources("AWS::SQS::QueuePolicy")
    allow, deny = policies[f"{queue}Policy"]["PolicyDocument"]["Statement"]
    assert (allow["Principal"], allow["Action"]) == ({"Service": "s3.amazonaws.com"}, "sqs:SendMessage")
    assert allow["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::castline-{STAGES[queue]}"},
        "StringEquals": {"aws:SourceAccount": "000000000000"},
    }
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("profile", ["full", "classic"])
def test_queues_are_notified_of_what_functions_would_be(source: dict[str, Any], profile: str) -> None:
    def told(orchestration: str, kind: str) -> list[tuple[str, str, str]]:
        known = resolver(source, Orchestration=orchestration, PipelineProfile=profile)
        return [
            (name, item["Event"], str(item.get("Filter")))
            for name, bucket in known.resources("AWS::S3::Bucket").items()
            for item in bucket.get("NotificationConfiguration", {}).get(kind, [])
        ]

    assert told("queue", "QueueConfigurations") == told("events", "LambdaConfigurations") != []
    buckets = resolver(source).resources("AWS::S3::Bucket")
    for name, policies in (
        ("InputBucket", ["UploadsQueuePolicy"]),
        ("Stage1Bucket", ["UnitsQueuePolicy", "RangesQueuePolicy"]),
    ):
        assert [tag["Value"] for tag in buckets[name]["Tags"]] == policies, "S3 checks whether it may send"


def test_a_queue_s_reader_may_read_only_that_one(source: dict[str, Any]) -> None:
    roles = resolver(source).resources("AWS::IAM::Role")
    found = {}
    for name, role in roles.items():
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
            if statement["Sid"] in ("TakeMessages", "GiveUp"):
                arns = statement["Resource"]
                names = [arn.rpartition(":")[2] for arn in ([arns] if isinstance(arns, str) else arns)]
                found[name, statement["Sid"]] = ", ".join(names)
    assert found == {
        ("VideoSplittingRole", "TakeMessages"): "castline-uploads, castline-ranges",
        ("VideoSplittingRole", "GiveUp"): "castline-given-up",
        ("FaceRecognitionRole", "TakeMessages"): "castline-units",
        ("FaceRecognitionRole", "GiveUp"): "castline-given-up",
        ("FailureRecorderRole", "TakeMessages"): "castline-given-up",
    }
