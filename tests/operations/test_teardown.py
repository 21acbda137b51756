"""Removing a deployment: a bucket with versions, a queue, a secret, images; and what is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from castline.aws import Account
from castline.errors import OptionsError, ResourceError
from castline.operations.account import require_stack
from castline.operations.teardown import empty, leftovers, staying, teardown
from tests.serving import own_queues

BUCKETS = {"InputBucket": "acme-input", "GalleryBucket": "acme-gallery"}


class CloudFormation:
    """Stacks and their resources; deleting one takes two polls, and leaves the resources that the test made."""

    def __init__(self, stacks: dict[str, list[tuple[str, str, str]]]) -> None:
        self.stacks = stacks
        self.status = dict.fromkeys(stacks, "CREATE_COMPLETE")
        self.refuses = ""
        self.looks = 0

    def describe_stacks(self, StackName: str = "") -> dict[str, Any]:  # noqa: N803 - boto3's
        if StackName and StackName not in self.stacks:
            said = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": said}, "DescribeStacks")
        names = [StackName] if StackName else list(self.stacks)
        found = [{"StackName": name, "StackStatus": self.status[name], "Parameters": []} for name in names]
        if StackName and self.status[StackName] == "DELETE_IN_PROGRESS":
            self.looks += 1
            if self.looks % 2 == 0:
                del self.stacks[StackName]
        return {"Stacks": found}

    def get_paginator(self, operation: str) -> Any:
        cloudformation = self

        class Pages:
            def paginate(self, StackName: str = "") -> list[dict[str, Any]]:  # noqa: N803
                if operation == "describe_stacks":
                    return [cloudformation.describe_stacks()]
                rows = cloudformation.stacks[StackName]
                keys = ("ResourceType", "LogicalResourceId", "PhysicalResourceId")
                listed = [{**dict(zip(keys, row, strict=True)), "ResourceStatus": "CREATE_COMPLETE"} for row in rows]
                return [{"StackResourceSummaries": listed}]

        return Pages()

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        self.status[StackName] = "DELETE_FAILED" if self.refuses else "DELETE_IN_PROGRESS"

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        event = {"LogicalResourceId": "X", "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": self.refuses}
        return {"StackEvents": [event]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Account, CloudFormation]]:
    """An account with one deployment, its images, and somebody else's bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(), own_queues():
        s3 = boto3.client("s3", region_name="us-east-1")
        for bucket in (*BUCKETS.values(), "acme-others"):
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key="kept", Body=b"1")
        s3.put_bucket_versioning(Bucket="acme-input", VersioningConfiguration={"Status": "Enabled"})
        for number in range(3):
            s3.put_object(Bucket="acme-input", Key="wöche 1/a+b.mp4", Body=str(number).encode())
        s3.delete_object(Bucket="acme-input", Key="wöche 1/a+b.mp4")
        s3.create_multipart_upload(Bucket="acme-input", Key="never finished")
        queue = boto3.client("sqs", region_name="us-east-1").create_queue(QueueName="acme-failed-invocations")
        secret = boto3.client("secretsmanager", region_name="us-east-1").create_secret(
            Name="acme/whatsapp", SecretString="x"
        )
        rows = [("AWS::S3::Bucket", logical, name) for logical, name in BUCKETS.items()]
        rows += [
            ("AWS::SQS::Queue", "FailedInvocationsQueue", queue["QueueUrl"]),
            ("AWS::SecretsManager::Secret", "WhatsAppSalt", secret["ARN"]),
            ("AWS::Lambda::Function", "VideoSplittingFunction", "video-splitting"),
        ]
        cloudformation = CloudFormation({"acme": rows, "acme-2": [], "other-acme": []})
        account = Account("us-east-1")
        account.__dict__["cloudformation"] = cloudformation
        yield account, cloudformation


def _buckets(account: Account) -> set[str]:
    """Buckets of this test alone: the server may be shared."""
    return {item["Name"] for item in account.s3.list_buckets()["Buckets"] if item["Name"].startswith("acme-")}


def test_everything_of_a_deployment_is_deleted_and_nothing_else(made: tuple[Account, CloudFormation]) -> None:
    account, cloudformation = made
    stack = require_stack("acme", account)
    left = leftovers(stack, account)
    assert left.versions == {"acme-input": 5, "acme-gallery": 1}
    assert any("SAM's bucket" in line for line in staying(stack, account))
    findings = list(teardown(stack, left, account, sleep=lambda _: None))
    assert {finding.level for finding in findings} == {"ok"}
    assert findings[0].line == "acme is deleted"
    assert _buckets(account) == {"acme-others"}
    assert account.s3.get_object(Bucket="acme-others", Key="kept")["Body"].read() == b"1"
    assert account.sqs.list_queues().get("QueueUrls", []) == []
    assert account.secrets.list_secrets()["SecretList"] == []
    assert set(cloudformation.stacks) == {"acme-2", "other-acme"}


def test_a_stack_that_cannot_be_deleted_is_left_unchanged(made: tuple[Account, CloudFormation]) -> None:
    account, cloudformation = made
    cloudformation.refuses = "resource is in use"
    stack = require_stack("acme", account)
    with pytest.raises(ResourceError, match="X: resource is in use"):
        list(teardown(stack, leftovers(stack, account), account, sleep=lambda _: None))
    assert _buckets(account) == {*BUCKETS.values(), "acme-others"}
    versions = account.s3.list_object_versions(Bucket="acme-input")
    assert len(versions["Versions"]) + len(versions["DeleteMarkers"]) == 5


def test_more_versions_than_fit_in_a_page_or_a_request_are_deleted(made: tuple[Account, CloudFormation]) -> None:
    account, _ = made
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # a thousand requests would take seconds
    for number in range(1_100):
        backend.put_object("acme-input", f"{number % 7}/a.mp4", value=b"")
    before = account.s3.list_object_versions(Bucket="acme-input")
    assert (before["IsTruncated"], len(before["Versions"])) == (True, 1_000)
    assert empty("acme-input", account) == 1_100 + 5, "those of the fixture, its marker, and these"
    after = account.s3.list_object_versions(Bucket="acme-input")
    assert after.get("Versions", []) == after.get("DeleteMarkers", []) == []
    assert account.s3.list_objects_v2(Bucket="acme-others")["KeyCount"] == 1
    account.s3.delete_bucket(Bucket="acme-input")


def test_resources_deleted_by_hand_are_no_problem(made: tuple[Account, CloudFormation]) -> None:
    account, _ = made
    empty("acme-gallery", account)
    account.s3.delete_bucket(Bucket="acme-gallery")
    stack = require_stack("acme", account)
    found = {item.check: item for item in teardown(stack, leftovers(stack, account), account, sleep=lambda _: None)}
    assert (found["acme-gallery"].level, found["acme-gallery"].line) == ("ok", "was gone already")


def test_sam_s_image_stack_is_deleted_too(made: tuple[Account, CloudFormation]) -> None:
    account, cloudformation = made
    removed = []

    class Registry:
        def delete_repository(self, **call: Any) -> None:
            removed.append(call)

    account.__dict__["ecr"] = Registry()
    cloudformation.stacks["acme-1a2b3c4d-CompanionStack"] = [("AWS::ECR::Repository", "Repo", "acme/analyser")]
    cloudformation.stacks["acme-2-1a2b3c4d-CompanionStack"] = [("AWS::ECR::Repository", "Repo", "acme2/analyser")]
    cloudformation.status.update(dict.fromkeys(cloudformation.stacks, "CREATE_COMPLETE"))
    stack = require_stack("acme", account)
    list(teardown(stack, leftovers(stack, account), account, sleep=lambda _: None))
    assert removed == [{"repositoryName": "acme/analyser", "force": True}]
    assert "acme-2-1a2b3c4d-CompanionStack" in cloudformation.stacks


def test_a_missing_or_foreign_stack_is_refused(made: tuple[Account, CloudFormation]) -> None:
    account, _ = made
    with pytest.raises(OptionsError, match="there is no stack nowhere in us-east-1"):
        require_stack("nowhere", account)
    with pytest.raises(OptionsError, match="not a deployment of Castline"):
        require_stack("acme-2", account).settings()
