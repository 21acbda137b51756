"""Doors: off by default, and how each of them is wired."""

from __future__ import annotations

from typing import Any

from castline.events import RESULT_CORRECTED, RESULT_PUBLISHED, RESULT_REMOVED, SOURCE
from castline.queues import LIBRARY
from tests.template.conftest import DOORS, NETWORK, as_list, resolver

_ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
_OURS = {"ResultAnnouncerFunction", "ResultWebhookFunction", "BatchMarkerFunction", "WhatsAppIngestFunction"}


def test_they_are_off_by_default(source: dict[str, Any]) -> None:
    known = resolver(source)
    assert not _OURS & known.function_names().keys()
    for kind in ("AWS::SecretsManager::Secret", "AWS::Events::Rule"):
        assert known.resources(kind) == {}
    assert resolver(source, Orchestration="events").resources("AWS::Lambda::EventSourceMapping") == {}
    assert "NotificationConfiguration" not in known.resources("AWS::S3::Bucket")["OutputBucket"]
    buckets = resolver(source, Orchestration="events").resources("AWS::S3::Bucket").values()
    assert all("Tags" not in bucket for bucket in buckets)


def test_everything_that_needs_announcements_turns_them_on(source: dict[str, Any]) -> None:
    for asked in (
        {"ResultEvents": "eventbridge"},
        {"WebhookUrl": "https://example.org"},
        {"LibraryQueue": "true"},
        {"EnableWhatsApp": "true", "WhatsAppPhoneNumberIds": "1"},
    ):
        bucket = resolver(source, **asked).resources("AWS::S3::Bucket")["OutputBucket"]
        told = bucket["NotificationConfiguration"]["LambdaConfigurations"]
        assert {item["Function"] for item in told} == {f"{_ARN}result-announcer"}
        assert {(item["Event"], item["Filter"]["S3Key"]["Rules"][0]["Value"]) for item in told} == {
            (f"s3:Object{how}:*", f"/{what}.json")
            for how in ("Created", "Removed")
            for what in ("result", "corrections")
        }
        # S3 checks whether it may invoke, so the permission comes first.
        assert bucket["Tags"] == [{"Key": "waits-for", "Value": "OutputMayInvokeAnnouncer"}]
        assert "PublishedResults" not in resolver(source, **asked).resources("AWS::SNS::Topic")


def test_the_library_is_notified_of_published_and_removed_results(source: dict[str, Any]) -> None:
    known = resolver(source, LibraryQueue="true")
    (rule,) = known.resources("AWS::Events::Rule").values()
    assert rule["EventPattern"] == {
        "source": [SOURCE],
        "detail-type": [RESULT_PUBLISHED, RESULT_CORRECTED, RESULT_REMOVED],
        "detail": {"bucket": ["castline-output"]},
    }
    queue = known.resources("AWS::SQS::Queue")["ResultsForLibrary"]
    assert queue["QueueName"] == f"castline-{LIBRARY}"
    (target,) = rule["Targets"]
    assert target["Arn"].endswith(f":{queue['QueueName']}")
    policy = known.resources("AWS::SQS::QueuePolicy")["ResultsForLibraryPolicy"]
    allow, deny = policy["PolicyDocument"]["Statement"]
    assert (allow["Principal"], allow["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert allow["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(f":rule/{rule['Name']}")
    assert deny["Effect"] == "Deny"


def test_with_a_marker_uploads_start_nothing_by_themselves(source: dict[str, Any]) -> None:
    for orchestration in ("queue", "events", "invoke", "stepfunctions"):
        known = resolver(source, BatchMarker="done.txt", Orchestration=orchestration)
        bucket = known.resources("AWS::S3::Bucket")["InputBucket"]
        assert bucket["NotificationConfiguration"] == {
            "LambdaConfigurations": [
                {
                    "Event": "s3:ObjectCreated:*",
                    "Function": f"{_ARN}batch-marker",
                    "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "done.txt"}]}},
                }
            ]
        }
        assert bucket["Tags"] == [{"Key": "waits-for", "Value": "InputMayInvokeBatch"}]
    machines = resolver(source, BatchMarker="done.txt", BatchBy="invoke").resources("AWS::Serverless::StateMachine")
    assert machines == {}


def test_whatsapp_needs_no_network_wherever_the_models_are(source: dict[str, Any]) -> None:
    functions = resolver(source, ModelStorage="efs", **NETWORK, **DOORS).resources("AWS::Serverless::Function")
    assert functions.keys() >= _OURS
    assert all("VpcConfig" not in functions[name] for name in _OURS)
    assert "VpcConfig" in functions["FaceRecognitionFunction"]


def test_only_this_account_s_messaging_service_may_publish(source: dict[str, Any]) -> None:
    policy = resolver(source, **DOORS).resources("AWS::SNS::TopicPolicy")["WhatsAppEventsPolicy"]
    (statement,) = [item for item in policy["PolicyDocument"]["Statement"] if item["Sid"] == "FromWhatsApp"]
    assert statement["Principal"] == {"Service": "social-messaging.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "000000000000"}}
    assert as_list(statement["Action"]) == ["sns:Publish"]


def test_what_whatsapp_may_write(source: dict[str, Any]) -> None:
    role = resolver(source, **DOORS).resources("AWS::IAM::Role")["WhatsAppIngestRole"]
    found = {item["Sid"]: item for item in role["Policies"][0]["PolicyDocument"]["Statement"]}
    assert found["WriteMedia"]["Resource"] == "arn:aws:s3:::castline-input/????-??-??/*"
    quiet = resolver(source, **{**DOORS, "WhatsAppReply": "false", "WhatsAppPlainNumbers": "true"})
    (policy,) = quiet.resources("AWS::IAM::Role")["WhatsAppIngestRole"]["Policies"]
    sids = {item["Sid"] for item in policy["PolicyDocument"]["Statement"]}
    assert found.keys() - sids == {"Answer", "ReadSalt"}
    assert "WhatsAppSalt" not in quiet.resources("AWS::SecretsManager::Secret")


def test_messages_have_a_retention(source: dict[str, Any]) -> None:
    bucket = resolver(source, MessageRetentionDays="7", **DOORS).resources("AWS::S3::Bucket")["OutputBucket"]
    (rule,) = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if rule["Id"] == "drop-messages"]
    assert (rule["ExpirationInDays"], rule["TagFilters"]) == ("7", [{"Key": "castline", "Value": "message"}])
    assert source["Rules"]["WhatsAppNeedsNumbers"]
