"""Buckets: what they are, whom they tell, and how long things are kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.conftest import BUCKETS, resolver

UNITS = {".zip", ".flac", "/manifest.json"}


def test_buckets_are_private_encrypted_and_tls_only(source: dict[str, Any]) -> None:
    known = resolver(source)
    buckets = {item["BucketName"]: item for item in known.resources("AWS::S3::Bucket").values()}
    assert set(buckets) == {f"castline-{name}" for name in BUCKETS}
    policies = {item["Bucket"]: item["PolicyDocument"] for item in known.resources("AWS::S3::BucketPolicy").values()}
    for name, bucket in buckets.items():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        [statement] = policies[name]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    assert buckets["castline-input"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(
        item.get("DeletionPolicy") == "Retain"
        for item in source["Resources"].values()
        if item["Type"] == "AWS::S3::Bucket"
    )


@pytest.mark.parametrize(("profile", "suffixes"), [("full", UNITS), ("classic", UNITS | {".jpg"})])
def test_uploads_reach_the_functions(source: dict[str, Any], profile: str, suffixes: set[str]) -> None:
    buckets = resolver(source, PipelineProfile=profile, Orchestration="events").resources("AWS::S3::Bucket")
    uploaded, removed = buckets["InputBucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert uploaded == {
        "Event": "s3:ObjectCreated:*",
        "Function": "arn:aws:lambda:us-east-1:000000000000:function:video-splitting",
    }
    assert removed == {
        **uploaded,
        "Event": "s3:ObjectRemoved:*",
        "Filter": {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".json"}]}},
    }
    units = buckets["Stage1Bucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert {unit["Filter"]["S3Key"]["Rules"][0]["Value"] for unit in units} == suffixes
    assert {unit["Function"].rpartition(":")[2] for unit in units} == {"face-recognition"}
    assert all("NotificationConfiguration" not in buckets[name] for name in ("OutputBucket", "GalleryBucket"))


def test_bucket_waits_for_the_permission_to_invoke(source: dict[str, Any]) -> None:
    assert source["Resources"]["InputBucket"]["DependsOn"] == "InputMayInvokeSplitter"
    assert source["Resources"]["Stage1Bucket"]["DependsOn"] == "Stage1MayInvokeAnalyser"


def test_names_follow_the_prefixes(source: dict[str, Any]) -> None:
    known = resolver(source, Prefix="1225-abc", FunctionPrefix="dev-")
    assert known.name("Stage1Bucket") == "1225-abc-stage-1"
    assert sorted(known.function_names().values()) == [
        "dev-face-recognition",
        "dev-failure-recorder",
        "dev-video-splitting",
    ]


def _rules(source: dict[str, Any], bucket: str, **parameters: str) -> dict[str, dict[str, Any]]:
    found = resolver(source, **parameters).resources("AWS::S3::Bucket")[bucket]
    return {rule["Id"]: rule for rule in found["LifecycleConfiguration"]["Rules"]}


def test_what_can_be_made_again_goes_and_the_rest_stays(source: dict[str, Any]) -> None:
    assert set(_rules(source, "InputBucket")) == {"drop-replaced-versions"}
    assert _rules(source, "Stage1Bucket")["drop-units"]["ExpirationInDays"] == "30"
    output = _rules(source, "OutputBucket")
    assert {name: rule.get("ExpirationInDays") for name, rule in output.items() if "TagFilters" in rule} == {
        "drop-parts": "90",
        "drop-pictures-of-people": "365",
    }, "everybody's embeddings and pictures do not stay for ever"
    assert "LifecycleConfiguration" not in resolver(source).resources("AWS::S3::Bucket")["GalleryBucket"]


def test_every_class_has_its_days(source: dict[str, Any]) -> None:
    days = {
        "InputRetentionDays": "1",
        "NoncurrentRetentionDays": "2",
        "Stage1RetentionDays": "3",
        "PartsRetentionDays": "4",
        "CropsRetentionDays": "5",
    }
    inputs = _rules(source, "InputBucket", **days)
    assert inputs["drop-uploads"]["ExpirationInDays"] == "1"
    assert inputs["drop-replaced-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": "2"}
    assert _rules(source, "Stage1Bucket", **days)["drop-units"]["ExpirationInDays"] == "3"
    outputs = _rules(source, "OutputBucket", **days)
    tagged = {
        rule["TagFilters"][0]["Value"]: rule["ExpirationInDays"] for rule in outputs.values() if "TagFilters" in rule
    }
    assert tagged == {"part": "4", "crop": "5"}


def test_access_logs_go_where_they_are_sent(source: dict[str, Any]) -> None:
    assert all("LoggingConfiguration" not in item for item in resolver(source).resources("AWS::S3::Bucket").values())
    logged = resolver(source, AccessLogBucket="audit").resources("AWS::S3::Bucket").values()
    assert {(item["LoggingConfiguration"]["DestinationBucketName"]) for item in logged} == {"audit"}
    assert {item["LoggingConfiguration"]["LogFilePrefix"] for item in logged} == {
        f"castline-{name}/" for name in BUCKETS
    }


def test_another_orchestration_leaves_the_buckets_as_they_are(source: dict[str, Any]) -> None:
    """A change of the parameter may change who is notified, and nothing that would replace a bucket."""
    assert all("Condition" not in item for item in source["Resources"].values() if item["Type"] == "AWS::S3::Bucket")
    found = []
    for orchestration in ("queue", "events", "invoke", "stepfunctions"):
        buckets = resolver(source, Orchestration=orchestration).resources("AWS::S3::Bucket")
        for properties in buckets.values():
            properties.pop("NotificationConfiguration", None)
            properties.pop("Tags", None)
        found.append(buckets)
    assert all(one == found[0] for one in found)
