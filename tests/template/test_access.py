"""Permissions, however the pipeline is deployed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from castline.local.template import load_template
from tests.template.conftest import DOORS, KEY, NETWORK, ROOT, TEMPLATE, WAYS, as_list, of_type, resolver

#: Statements about things without an ARN: log delivery of state machines, tracing, and a function's network interfaces.
NAMELESS = {"DeliverLogs", "Trace", "JoinNetwork"}

#: What is deployed, and what users are told to add to their account.
SHIPPED = sorted(
    [TEMPLATE, *(path for folder in ("stacks", "statemachine", "docs/policies") for path in (ROOT / folder).iterdir())]
)

DOOR_ROLES = {"ResultAnnouncerRole", "ResultWebhookRole", "BatchMarkerRole", "BatchMachineRole", "WhatsAppIngestRole"}


def _chosen(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement itself, also if a condition decides whether it exists."""
    chosen: dict[str, Any] = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return chosen


def statements(transformed: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, properties in of_type(transformed, "AWS::IAM::Role").items():
        for policy in properties.get("Policies", []):
            for statement in map(_chosen, policy["PolicyDocument"]["Statement"]):
                yield f"{name}.{statement['Sid']}", statement
    for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"):
        for name, properties in of_type(transformed, kind).items():
            for statement in map(_chosen, properties["PolicyDocument"]["Statement"]):
                yield f"{name}.{statement['Sid']}", statement


def _is_named(arn: str) -> bool:
    """The bucket, or machine, is always named; a star may stand only for keys, and for executions of a machine."""
    return "*" not in (arn.removesuffix(":*") if ":execution:" in arn else arn).partition("/")[0]


def test_nothing_is_allowed_by_wildcard(transformed: dict[str, Any]) -> None:
    found = dict(statements(transformed))
    assert len(found) > 15
    for name, statement in found.items():
        if statement["Effect"] == "Deny":
            continue
        for action in as_list(statement["Action"]):
            assert "*" not in action, name
        for resource in as_list(statement.get("Resource", [])):
            if resource == "*" and name.partition(".")[2] in NAMELESS:
                continue
            assert resource != "*", name
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            text = text[0] if isinstance(text, list) else text
            assert _is_named(text), name
        assert statement.get("Principal") != "*", name
    assert {name.partition(".")[2] for name, item in found.items() if item.get("Resource") == "*"} == NAMELESS


@pytest.mark.parametrize("kind", ["queue", "stepfunctions"])
def test_traced_functions_may_write_traces_and_read_sampling_rules(source: dict[str, Any], kind: str) -> None:
    """docs.aws.amazon.com/xray, "Sampling rules": without the two that read them, default rules sample every trace."""
    known = resolver(source, Orchestration=kind, ModelStorage="efs", **NETWORK, **DOORS)
    assert source["Globals"]["Function"]["Tracing"] == "Active"
    traced = [*known.resources("AWS::Serverless::Function").values()]
    machines = known.resources("AWS::Serverless::StateMachine").values()
    assert all(machine["Tracing"] == {"Enabled": True} for machine in machines)
    roles = known.resources("AWS::IAM::Role")
    names = {item["Role"] for item in (*traced, *machines)}
    assert len(names) == (9 if kind == "queue" else 11)
    for name in names:
        (policy,) = roles[name]["Policies"]
        (trace,) = [item for item in policy["PolicyDocument"]["Statement"] if item["Sid"] == "Trace"]
        assert (trace["Effect"], trace["Resource"]) == ("Allow", "*")
        assert set(trace["Action"]) == {
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        }, name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_arn_names_a_partition(path: Path) -> None:
    """China and GovCloud are separate partitions; patterns of parameters contain ``arn:aws[a-z-]*``."""
    assert re.findall(r"arn:aws(?!\[a-z-\]\*:).*", path.read_text()) == []


@pytest.mark.parametrize("path", [TEMPLATE, *sorted((ROOT / "stacks").glob("*.yaml"))], ids=lambda path: path.name)
def test_every_topic_and_queue_accepts_messages_over_tls_only(path: Path) -> None:
    template = load_template(path)
    for kind, policies, prop, actions in (
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics", {"sns:Publish", "sns:*"}),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues", {"sqs:*"}),
    ):
        found = [item for item in template["Resources"].values() if item["Type"] == policies]
        for name, resource in template["Resources"].items():
            if resource["Type"] != kind:
                continue
            (policy,) = [item for item in found if {"Ref": name} in item["Properties"][prop]]
            assert policy.get("Condition") == resource.get("Condition"), name
            (deny,) = [
                item for item in policy["Properties"]["PolicyDocument"]["Statement"] if item.get("Effect") == "Deny"
            ]
            assert (deny["Principal"], deny["Condition"]) == ("*", {"Bool": {"aws:SecureTransport": "false"}}), name
            assert set(as_list(deny["Action"])) & actions, name
            assert deny["Resource"] in ({"Ref": name}, {"Fn::GetAtt": [name, "Arn"]}), name


def test_roles_use_no_managed_policies(transformed: dict[str, Any]) -> None:
    roles = of_type(transformed, "AWS::IAM::Role")
    assert set(roles) == {
        "VideoSplittingRole",
        "FaceRecognitionRole",
        "FailureRecorderRole",
        "RunMachineRole",
        "StartMachineRole",
        "StartRuleRole",
        "ModelLoaderRole",
        "BudgetRole",
        *DOOR_ROLES,
    }
    assert all("ManagedPolicyArns" not in role for role in roles.values())


@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_deployed_permissions_are_minimal(transformed: dict[str, Any], way: dict[str, str]) -> None:
    roles = resolver(transformed, **way).resources("AWS::IAM::Role")
    for name, role in roles.items():
        assert not role.keys() & {"ManagedPolicyArns", "PermissionsBoundary"}
        (policy,) = role["Policies"]
        found = policy["PolicyDocument"]["Statement"]
        assert len({item["Sid"] for item in found}) == len(found), name
        for item in found:
            assert item["Effect"] == "Allow"
            assert all("*" not in action for action in as_list(item["Action"])), (name, item)
            resources = as_list(item["Resource"])
            if item["Sid"] in NAMELESS:
                assert resources == ["*"]
                continue
            assert all(isinstance(resource, str) and _is_named(resource) for resource in resources)
        using_key = {
            "VideoSplittingRole",
            "FaceRecognitionRole",
            "FailureRecorderRole",
            "ModelLoaderRole",
            "BudgetRole",
            "RunMachineRole",
            "StartMachineRole",
            *DOOR_ROLES,
        }
        keyed = [item for item in found if any(action.startswith("kms:") for action in as_list(item["Action"]))]
        if way["KmsKeyArn"] and name in using_key:
            (item,) = keyed
            assert (item["Action"], item["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], KEY)
        else:
            assert keyed == []
    steps = (
        {"RunMachineRole", "StartMachineRole", "StartRuleRole"} if way["Orchestration"] == "stepfunctions" else set()
    )
    doors = DOOR_ROLES if "WebhookUrl" in way else set()
    loader = {"ModelLoaderRole"} if way["ModelStorage"] == "efs" else set()
    assert set(roles) == {"VideoSplittingRole", "FaceRecognitionRole", "FailureRecorderRole"} | steps | loader | doors


@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_deployed_everything_is_encrypted_and_expires(
    transformed: dict[str, Any], way: dict[str, str]
) -> None:
    known = resolver(transformed, **way)
    key = way["KmsKeyArn"]
    for bucket in known.resources("AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        assert rule["ServerSideEncryptionByDefault"] == (kms if key else {"SSEAlgorithm": "AES256"})
    queues = known.resources("AWS::SQS::Queue")
    dead = known.arn("FailedInvocationsQueue")
    for name, queue in queues.items():
        assert queue.get("KmsMasterKeyId", "") == key
        assert queue.get("SqsManagedSseEnabled") == (None if key else True)
        assert 0 < queue["MessageRetentionPeriod"] <= 14 * 24 * 3600
        after = known.arn("GivenUpQueue") if name in ("UploadsQueue", "RangesQueue", "UnitsQueue") else dead
        if name in ("FailedInvocationsQueue", "ResultsForLibrary"):  # what listing finds again needs no dead letters
            assert "RedrivePolicy" not in queue
        else:
            assert queue["RedrivePolicy"]["deadLetterTargetArn"] == after
    guarded = {each for item in known.resources("AWS::SQS::QueuePolicy").values() for each in item["Queues"]}
    assert guarded == {queue["QueueName"] for queue in queues.values()}
    for secret in known.resources("AWS::SecretsManager::Secret").values():
        assert secret.get("KmsKeyId", "") == key
    topics = known.resources("AWS::SNS::Topic")
    assert topics["FailedInvocations"]["KmsMasterKeyId"] == (key or "alias/aws/sns")
    # CloudWatch cannot publish to a topic that AWS's own key encrypts; see the template.
    assert topics.pop("Alarms").get("KmsMasterKeyId", "") == key
    if whatsapp := topics.pop("WhatsAppEvents", None):
        assert whatsapp.get("KmsMasterKeyId", "") == key
    for topic in topics.values():
        assert topic["KmsMasterKeyId"] == (key or "alias/aws/sns")
    assert "Alarms" not in topics and {"FailedInvocations"} <= set(topics)
    groups = known.resources("AWS::Logs::LogGroup")
    assert len(groups) >= 3
    for name, group in groups.items():
        assert int(group["RetentionInDays"]) > 0, name
        assert group.get("KmsKeyId", "") == key, name
    for system in known.resources("AWS::EFS::FileSystem").values():
        assert system["Encrypted"] is True
        assert system.get("KmsKeyId", "") == key
    functions = known.resources("AWS::Lambda::Function")
    assert ("ModelLoaderFunction" in functions) == (way["ModelStorage"] == "efs")
    for name, function in functions.items():
        assert function["TracingConfig"] == {"Mode": "Active"}, name
        assert function["LoggingConfig"]["LogGroup"] in {group["LogGroupName"] for group in groups.values()}


def test_who_may_write_where(source: dict[str, Any]) -> None:
    writes: dict[str, set[str]] = {}
    for role, properties in resolver(source).resources("AWS::IAM::Role").items():
        for statement in properties["Policies"][0]["PolicyDocument"]["Statement"]:
            if "s3:PutObject" in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    writes.setdefault(role, set()).add(resource.removeprefix("arn:aws:s3:::castline-"))
    assert writes == {
        "VideoSplittingRole": {"stage-1/*"},
        "FaceRecognitionRole": {"output/*", "gallery/.embeddings/*"},
        "FailureRecorderRole": {"stage-1/*/manifest.json", "stage-1/*/ranges/*.json", "output/*"},
    }


def test_only_the_named_source_may_invoke(source: dict[str, Any]) -> None:
    found = {
        (item["FunctionName"], item["Principal"], item["SourceArn"], item["SourceAccount"])
        for item in resolver(source).resources("AWS::Lambda::Permission").values()
    }
    account = "000000000000"
    topic = f"arn:aws:sns:us-east-1:{account}:castline-failed-invocations"
    assert found == {
        ("video-splitting", "s3.amazonaws.com", "arn:aws:s3:::castline-input", account),
        ("video-splitting", "s3.amazonaws.com", "arn:aws:s3:::castline-stage-1", account),
        ("face-recognition", "s3.amazonaws.com", "arn:aws:s3:::castline-stage-1", account),
        ("failure-recorder", "sns.amazonaws.com", topic, account),
    }
