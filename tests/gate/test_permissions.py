"""The user's key moves data and invokes functions; code and configuration need the deployer's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ministack.core.router import detect_service

from castline.errors import RequestRefused
from castline.gate.permissions import check_shape, check_user, operation
from tests.gate.conftest import Sign, to_request

ROLE = "arn:aws:iam::000000000000:role/any"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OBJECT = {"Bucket": "films", "Key": "a/b.mp4"}
QUEUE = "http://127.0.0.1:4566/000000000000/q"


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("s3", "put_object", {**OBJECT, "Body": b"1", "Tagging": "a=b", "IfNoneMatch": "*"}),
        ("s3", "copy_object", {**OBJECT, "CopySource": "a/b"}),
        ("s3", "create_multipart_upload", OBJECT),
        ("s3", "upload_part", {**OBJECT, "UploadId": "1", "PartNumber": 1, "Body": b"1"}),
        ("s3", "complete_multipart_upload", {**OBJECT, "UploadId": "1"}),
        ("s3", "abort_multipart_upload", {**OBJECT, "UploadId": "1"}),
        ("s3", "delete_object", {**OBJECT, "VersionId": "1"}),
        ("s3", "delete_objects", {"Bucket": "films", "Delete": {"Objects": [{"Key": "a"}]}}),
        ("s3", "create_bucket", {"Bucket": "mine"}),
        ("s3", "get_bucket_notification_configuration", {"Bucket": "films"}),
        ("lambda", "invoke", {"FunctionName": "f", "InvocationType": "Event"}),
        ("lambda", "invoke", {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f"}),
        ("lambda", "get_function_configuration", {"FunctionName": "f"}),
        ("lambda", "list_functions", {}),
        ("sqs", "receive_message", {"QueueUrl": QUEUE}),
        ("sqs", "delete_message", {"QueueUrl": QUEUE, "ReceiptHandle": "1"}),
        ("sqs", "list_queues", {}),
        ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": "m"}),
        ("sns", "list_subscriptions", {}),
        ("cloudwatch", "put_metric_data", {"Namespace": "n", "MetricData": [{"MetricName": "m"}]}),
        ("cloudwatch", "get_metric_statistics", {"Namespace": "n", "MetricName": "m", "StartTime": 0, "EndTime": 1,
                                                 "Period": 60}),
        ("cloudformation", "describe_stacks", {}),
        ("stepfunctions", "start_execution", {"stateMachineArn": f"{ROLE}/m"}),
        ("stepfunctions", "get_execution_history", {"executionArn": f"{ROLE}/m"}),
        ("events", "put_events", {"Entries": [{"Source": "s"}]}),
        ("sts", "get_caller_identity", {}),
    ],
)  # fmt: skip
def test_what_the_user_may_do(sign: Sign, service: str, call: str, arguments: Any) -> None:
    request, body = sign(service, call, **arguments)
    name = {"cloudwatch": "monitoring", "stepfunctions": "states"}.get(service, service)
    check_shape(request, name, detect_service(request.method, request.path, request.headers, request.parameters))
    check_user(request, name, body)


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("lambda", "create_function", {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"z"}}),
        ("lambda", "update_function_code", {"FunctionName": "f", "ZipFile": b"z"}),
        ("lambda", "update_function_configuration", {"FunctionName": "f", "Handler": "os.system"}),
        ("lambda", "publish_layer_version", {"LayerName": "l", "Content": {"ZipFile": b"z"}}),
        ("lambda", "delete_function", {"FunctionName": "f"}),
        ("lambda", "add_permission", {"FunctionName": "f", "StatementId": "s", "Action": "a", "Principal": "p"}),
        ("lambda", "create_event_source_mapping", {"FunctionName": "f"}),
        ("lambda", "create_function_url_config", {"FunctionName": "f", "AuthType": "NONE"}),
        ("lambda", "put_function_concurrency", {"FunctionName": "f", "ReservedConcurrentExecutions": 1}),
        ("cloudformation", "create_stack", {"StackName": "s", "TemplateBody": "{}"}),
        ("cloudformation", "update_stack", {"StackName": "s", "TemplateBody": "{}"}),
        ("cloudformation", "delete_stack", {"StackName": "s"}),
        ("iam", "create_role", {"RoleName": "r", "AssumeRolePolicyDocument": "{}"}),
        ("iam", "create_access_key", {}),
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "s2"}),
        ("sqs", "create_queue", {"QueueName": "q"}),
        ("sqs", "set_queue_attributes", {"QueueUrl": QUEUE, "Attributes": {}}),
        ("sns", "subscribe", {"TopicArn": ROLE, "Protocol": "http", "Endpoint": "http://evil.example"}),
        ("cloudwatch", "put_metric_alarm", {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "x"}),
        ("events", "put_rule", {"Name": "r"}),
        ("events", "put_targets", {"Rule": "r", "Targets": [{"Id": "1", "Arn": ROLE}]}),
        ("stepfunctions", "create_state_machine", {"name": "m", "definition": "{}", "roleArn": ROLE}),
        ("stepfunctions", "update_state_machine", {"stateMachineArn": f"{ROLE}/m"}),
        ("ecs", "run_task", {"taskDefinition": "t"}),
        ("ec2", "run_instances", {"MinCount": 1, "MaxCount": 1}),
        ("ssm", "put_parameter", {"Name": "n", "Value": "v"}),
        ("s3", "put_bucket_notification_configuration", {"Bucket": "films", "NotificationConfiguration": {}}),
        ("s3", "put_bucket_policy", {"Bucket": "films", "Policy": "{}"}),
        ("s3", "put_bucket_cors", {"Bucket": "films", "CORSConfiguration": {"CORSRules": []}}),
        ("s3", "put_bucket_versioning", {"Bucket": "films", "VersioningConfiguration": {}}),
        ("s3", "delete_bucket_lifecycle", {"Bucket": "films"}),
        ("s3", "put_bucket_website", {"Bucket": "films", "WebsiteConfiguration": {}}),
        ("s3", "put_object_acl", {**OBJECT, "ACL": "public-read"}),
    ],
)  # fmt: skip
def test_what_only_the_deployer_may_do(sign: Sign, service: str, call: str, arguments: Any) -> None:
    request, body = sign(service, call, **arguments)
    with pytest.raises(RequestRefused, match="deploy step"):
        check_user(request, {"cloudwatch": "monitoring", "stepfunctions": "states"}.get(service, service), body)


def test_a_request_is_for_the_service_that_it_is_signed_for(sign: Sign) -> None:
    request, _ = sign("s3", "list_buckets")
    with pytest.raises(RequestRefused, match="another service"):
        check_shape(request, "s3", "cloudformation")
    query = replace(request, query="Action=CreateStack", fields=())
    assert detect_service("GET", "/", query.headers, query.parameters) == "cloudformation"


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("s3", "/_ministack/reset"),
        ("s3", "/_aws/lambda-url/x/"),
        ("s3", "/_localstack/health"),
        ("s3", "/v2/x/blobs/y"),
        ("s3", "/Execute"),
        ("lambda", "/films/2015-03-31/functions"),
        ("sqs", "/v2/apis"),
        ("sqs", "/films/a"),
    ],
)
def test_indirect_ways_are_closed(service: str, path: str) -> None:
    request = to_request("POST", f"http://127.0.0.1:4566{path}", {})
    with pytest.raises(RequestRefused):
        check_shape(request, service, service)


def test_a_bucket_in_the_host_name_opens_no_indirect_way() -> None:
    def shape(path: str, service: str = "s3") -> None:
        check_shape(to_request("GET", f"http://films.localhost:4566{path}", {}), service, service)

    shape("/_any/key.mp4")
    for path in ("/_aws/lambda-url/x/", "/_ministack/reset", "/_alb/x"):
        with pytest.raises(RequestRefused):
            shape(path)
    with pytest.raises(RequestRefused):
        shape("/2015-03-31/functions", "lambda")


@pytest.mark.parametrize(
    "path",
    [
        "/2015-03-31/functions",
        "/2015-03-31/functions/f/code",
        "/2015-03-31/functions/f/invocations/../code",
        "/2015-03-31/functions/a/b/invocations",
        "/2015-03-31/functions/f/invocations\n",
    ],
)
def test_only_an_invocation_counts_as_one(path: str) -> None:
    request = replace(to_request("POST", "http://127.0.0.1:4566/", {}), path=path)
    with pytest.raises(RequestRefused):
        check_user(request, "lambda", b"")


def test_an_operation_named_twice_is_unknown() -> None:
    def named(url: str, headers: dict[str, str], body: bytes = b"") -> str:
        return operation(to_request("POST", f"http://127.0.0.1:4566/{url}", headers), body)

    assert named("", {"X-Amz-Target": "AmazonSQS.SendMessage"}) == "SendMessage"
    assert named("?Action=ListTopics", {}) == "ListTopics"
    assert named("", FORM, b"Action=ListTopics&Version=1") == "ListTopics"
    assert named("", {}, b"Action=ListTopics") == ""
    assert named("?Action=ListTopics", FORM, b"Action=CreateTopic") == ""
    assert named("?Action=ListTopics&Action=CreateTopic", {}) == ""
    assert named("", {**FORM, "X-Amz-Target": "AmazonSQS.ListQueues"}, b"Action=CreateQueue") == ""
