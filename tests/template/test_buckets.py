"""Buckets: their properties, their notifications, and how long objects are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from castline.local.resolver import Resolver
from castline.local.template import parameter_values
from tests.template.conftest import BUCKETS, resolver

UNITS = {".zip", ".flac", "/manifest.json"}
RANGES = ".range"


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


def test_retained_resources_do_not_outlive_a_failed_first_deploy(source: dict[str, Any]) -> None:
    """Every retained resource has a name: left over from a rolled-back deploy, it would make the next one fail."""
    kept = {name for name, item in source["Resources"].items() if item.get("UpdateReplacePolicy") == "Retain"}
    assert {source["Resources"][name]["DeletionPolicy"] for name in kept} == {"RetainExceptOnCreate"}
    buckets = {name for name, item in source["Resources"].items() if item["Type"] == "AWS::S3::Bucket"}
    assert kept == buckets | {"FailedInvocationsQueue", "WhatsAppQueue", "WhatsAppSalt"}


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
    functions = {unit["Filter"]["S3Key"]["Rules"][0]["Value"]: unit["Function"].rpartition(":")[2] for unit in units}
    assert functions == {**dict.fromkeys(suffixes, "face-recognition"), RANGES: "video-splitting"}
    assert all("NotificationConfiguration" not in buckets[name] for name in ("OutputBucket", "GalleryBucket"))


def test_buckets_wait_for_the_permission_to_invoke(source: dict[str, Any]) -> None:
    assert source["Resources"]["InputBucket"]["DependsOn"] == "InputMayInvokeSplitter"
    assert source["Resources"]["Stage1Bucket"]["DependsOn"] == ["Stage1MayInvokeAnalyser", "Stage1MayInvokeSplitter"]


def test_names_follow_the_prefixes(source: dict[str, Any]) -> None:
    known = resolver(source, Prefix="1225-abc", FunctionPrefix="dev-")
    assert known.name("Stage1Bucket") == "1225-abc-stage-1"
    assert sorted(known.function_names().values()) == [
        "dev-face-recognition",
        "dev-failure-recorder",
        "dev-video-splitting",
    ]


def test_by_default_every_deployment_has_its_own_names(source: dict[str, Any]) -> None:
    known = Resolver(source, parameter_values(source, {}))
    assert known.name("InputBucket") == "castline-000000000000-us-east-1-input"
    assert sorted(known.function_names().values())[0] == "castline-000000000000-us-east-1-face-recognition"
    second = Resolver(source, parameter_values(source, {"Prefix": "second"}))
    assert {"second-video-splitting", "second-face-recognition"} < set(second.function_names().values())
    classic = Resolver(source, parameter_values(source, {"Prefix": "1225", "PipelineProfile": "classic"}))
    assert {"video-splitting", "face-recognition"} < set(classic.function_names().values())
    assert classic.name("Stage1Bucket") == "1225-stage-1"


def test_every_name_goes_through_the_map(source: dict[str, Any]) -> None:
    """The parameter itself may be empty; ``!Sub ["${Prefix}-x", *Names]`` never is."""

    def parts(item: Any) -> Iterator[Any]:
        yield item
        for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
            yield from parts(inner)

    names = {"Prefix", "FunctionPrefix"}
    for name in ("Globals", "Resources", "Outputs"):
        for item in parts(source[name]):
            if not isinstance(item, dict) or item.keys() != {"Fn::Sub"} or isinstance(item["Fn::Sub"], list):
                continue
            of_the_map = item["Fn::Sub"] == "${Prefix}-"
            assert of_the_map or not names & set(re.findall(r"\$\{(\w+)\}", item["Fn::Sub"])), item


def _rules(source: dict[str, Any], bucket: str, **parameters: str) -> dict[str, dict[str, Any]]:
    found = resolver(source, **parameters).resources("AWS::S3::Bucket")[bucket]
    return {rule["Id"]: rule for rule in found["LifecycleConfiguration"]["Rules"]}


def test_reproducible_objects_expire_and_the_others_stay(source: dict[str, Any]) -> None:
    assert set(_rules(source, "InputBucket")) == {"drop-replaced-versions"}
    assert _rules(source, "Stage1Bucket")["drop-units"]["ExpirationInDays"] == "30"
    output = _rules(source, "OutputBucket")
    assert {name: rule.get("ExpirationInDays") for name, rule in output.items() if "TagFilters" in rule} == {
        "drop-parts": "90",
        "drop-pictures-of-people": "365",
    }, "people's embeddings and pictures are not kept for ever"
    assert "LifecycleConfiguration" not in resolver(source).resources("AWS::S3::Bucket")["GalleryBucket"]


def test_every_class_has_its_retention(source: dict[str, Any]) -> None:
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


def test_access_logs_go_to_the_given_bucket(source: dict[str, Any]) -> None:
    assert all("LoggingConfiguration" not in item for item in resolver(source).resources("AWS::S3::Bucket").values())
    logged = resolver(source, AccessLogBucket="audit").resources("AWS::S3::Bucket").values()
    assert {(item["LoggingConfiguration"]["DestinationBucketName"]) for item in logged} == {"audit"}
    assert {item["LoggingConfiguration"]["LogFilePrefix"] for item in logged} == {
        f"castline-{name}/" for name in BUCKETS
    }


def test_another_orchestration_leaves_the_buckets_unchanged(source: dict[str, Any]) -> None:
    """Changing the parameter may change who is notified, but nothing that would replace a bucket."""
    assert all("Condition" not in item for item in source["Resources"].values() if item["Type"] == "AWS::S3::Bucket")
    found = []
    for orchestration in ("queue", "events", "invoke", "stepfunctions"):
        buckets = resolver(source, Orchestration=orchestration).resources("AWS::S3::Bucket")
        for properties in buckets.values():
            properties.pop("NotificationConfiguration", None)
            properties.pop("Tags", None)
        found.append(buckets)
    assert all(one == found[0] for one in found)
