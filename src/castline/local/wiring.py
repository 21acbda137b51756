"""Compares what is deployed with the template, and restores what the emulator dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from castline.errors import LocalStackError
from castline.local.resolver import Resolver
from castline.local.template import FUNCTION, MAPPING, STATE_MACHINE

ClientFactory = Callable[[str], Any]


def repair(resolver: Resolver, client: ClientFactory) -> list[str]:
    """Set through the API what CloudFormation should have set but did not.

    Returns:
        What was set, one line each.
    """
    done = []
    for problem, fix in _problems(resolver, client):
        if fix is not None:
            fix()
            done.append(problem)
    return done


def assert_wiring(resolver: Resolver, client: ClientFactory) -> None:
    """Check every bucket, notification, function, permission, subscription and queue of the template.

    Raises:
        LocalStackError: something is missing; the message names it.
    """
    missing = [problem for problem, _ in _problems(resolver, client)]
    if missing:
        raise LocalStackError(f"the deployed stack lacks: {'; '.join(missing)}")


_Problem = tuple[str, Callable[[], Any] | None]


def _problems(resolver: Resolver, client: ClientFactory) -> Iterator[_Problem]:
    yield from _bucket_problems(resolver, client("s3"))
    yield from _function_problems(resolver, client("lambda"))
    yield from _permission_problems(resolver, client("lambda"))
    yield from _queue_problems(resolver, client("sqs"))
    yield from _subscription_problems(resolver, client("sns"))
    yield from _machine_problems(resolver, client)
    yield from _rule_problems(resolver, client("events"))
    yield from _mapping_problems(resolver, client("lambda"))


def _bucket_problems(resolver: Resolver, s3: Any) -> Iterator[_Problem]:
    for properties in resolver.resources("AWS::S3::Bucket").values():
        name = properties["BucketName"]
        if not _answer(s3.head_bucket, Bucket=name):
            yield f"bucket {name}", partial(s3.create_bucket, Bucket=name)
            continue
        status = properties.get("VersioningConfiguration", {}).get("Status")
        if status and s3.get_bucket_versioning(Bucket=name).get("Status") != status:
            fix = partial(s3.put_bucket_versioning, Bucket=name, VersioningConfiguration={"Status": status})
            yield f"versioning of {name}", fix
        configured = properties.get("NotificationConfiguration", {})
        form = _notifications(configured)
        found = s3.get_bucket_notification_configuration(Bucket=name)
        # A notification left by an earlier deployment is wrong, too: it would deliver a second time.
        if _shapes(form) != _shapes(found) or ("EventBridgeConfiguration" in form) != (
            "EventBridgeConfiguration" in found
        ):
            fix = partial(s3.put_bucket_notification_configuration, Bucket=name, NotificationConfiguration=form)
            yield f"notifications of {name}", fix


def _function_problems(resolver: Resolver, lambda_: Any) -> Iterator[_Problem]:
    for properties in resolver.resources(FUNCTION).values():
        name = properties["FunctionName"]
        configuration = _answer(lambda_.get_function_configuration, FunctionName=name)
        if not configuration:
            yield f"function {name}", None
            continue
        yield from _async_problems(lambda_, name, properties.get("EventInvokeConfig"))
        queue = properties.get("DeadLetterQueue", {}).get("TargetArn")
        if queue and configuration.get("DeadLetterConfig", {}).get("TargetArn") != queue:
            form = {"TargetArn": queue}
            fix = partial(lambda_.update_function_configuration, FunctionName=name, DeadLetterConfig=form)
            yield f"dead-letter queue of {name}", fix
        reserved = properties.get("ReservedConcurrentExecutions")
        if reserved is not None:
            answer = _answer(lambda_.get_function_concurrency, FunctionName=name)
            if answer.get("ReservedConcurrentExecutions") != int(reserved):
                fix = partial(
                    lambda_.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=int(reserved)
                )
                yield f"reserved concurrency of {name}", fix


def _async_problems(lambda_: Any, name: str, wanted: dict[str, Any] | None) -> Iterator[_Problem]:
    if wanted is None:
        return
    retries = int(wanted["MaximumRetryAttempts"])
    destination = {"OnFailure": {"Destination": wanted["DestinationConfig"]["OnFailure"]["Destination"]}}
    found = _answer(lambda_.get_function_event_invoke_config, FunctionName=name, Qualifier="$LATEST")
    if (
        found.get("MaximumRetryAttempts") != retries
        or found.get("DestinationConfig", {}).get("OnFailure") != destination["OnFailure"]
    ):
        fix = partial(
            lambda_.put_function_event_invoke_config,
            FunctionName=name,
            Qualifier="$LATEST",
            MaximumRetryAttempts=retries,
            DestinationConfig=destination,
        )
        yield f"retries and on-failure destination of {name}", fix


def _permission_problems(resolver: Resolver, lambda_: Any) -> Iterator[_Problem]:
    for logical_id, properties in resolver.resources("AWS::Lambda::Permission").items():
        name, principal, source = (properties[key] for key in ("FunctionName", "Principal", "SourceArn"))
        policy = str(_answer(lambda_.get_policy, FunctionName=name).get("Policy", ""))
        if source not in policy or principal not in policy:
            fix = partial(
                lambda_.add_permission,
                FunctionName=name,
                StatementId=logical_id,
                Action=properties["Action"],
                Principal=principal,
                SourceArn=source,
            )
            yield f"permission of {principal} to invoke {name}", fix


def _queue_problems(resolver: Resolver, sqs: Any) -> Iterator[_Problem]:
    for properties in resolver.resources("AWS::SQS::Queue").values():
        name = properties["QueueName"]
        url = _answer(sqs.get_queue_url, QueueName=name).get("QueueUrl")
        if not url:
            yield f"queue {name}", partial(sqs.create_queue, QueueName=name)
            continue
        wanted = _queue_attributes(properties)
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
        if {key: _read(found.get(key)) for key in wanted} != {key: _read(value) for key, value in wanted.items()}:
            yield f"attributes of queue {name}", partial(sqs.set_queue_attributes, QueueUrl=url, Attributes=wanted)


def _queue_attributes(properties: dict[str, Any]) -> dict[str, str]:
    """A queue's properties in the form of SQS's API."""
    numbers = ("VisibilityTimeout", "MessageRetentionPeriod")
    found = {name: str(properties[name]) for name in numbers if name in properties}
    if policy := properties.get("RedrivePolicy"):
        found["RedrivePolicy"] = json.dumps(policy)
    return found


def _read(attribute: str | None) -> Any:
    return json.loads(attribute) if attribute else None


def _subscription_problems(resolver: Resolver, sns: Any) -> Iterator[_Problem]:
    for properties in resolver.resources("AWS::SNS::Subscription").values():
        topic, protocol, endpoint = (properties[key] for key in ("TopicArn", "Protocol", "Endpoint"))
        found = _answer(sns.list_subscriptions_by_topic, TopicArn=topic).get("Subscriptions", [])
        if not any(item["Protocol"] == protocol and item["Endpoint"] == endpoint for item in found):
            fix = partial(sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
            yield f"subscription of {endpoint} to {topic}", fix


def _machine_problems(resolver: Resolver, client: ClientFactory) -> Iterator[_Problem]:
    machines = resolver.resources(STATE_MACHINE)
    if not machines:
        return
    deployed = client("stepfunctions").list_state_machines()["stateMachines"]
    for properties in machines.values():
        if not any(item["name"] == properties["Name"] for item in deployed):
            yield f"state machine {properties['Name']}", None


def _rule_problems(resolver: Resolver, events: Any) -> Iterator[_Problem]:
    for properties in resolver.resources("AWS::Events::Rule").values():
        found = _answer(events.list_targets_by_rule, Rule=properties["Name"]).get("Targets", [])
        for target in properties["Targets"]:
            if not any(item["Arn"] == target["Arn"] for item in found):
                yield f"target {target['Arn']} of rule {properties['Name']}", None


def _mapping_problems(resolver: Resolver, lambda_: Any) -> Iterator[_Problem]:
    for properties in resolver.resources(MAPPING).values():
        source, name = properties["EventSourceArn"], properties["FunctionName"]
        found = _answer(lambda_.list_event_source_mappings, EventSourceArn=source).get("EventSourceMappings", [])
        if not found:
            yield f"{name} as reader of {source}", None
        for item in found:  # two readers of a queue would take messages from each other
            if item["State"] == "Enabled":
                fix = partial(lambda_.update_event_source_mapping, UUID=item["UUID"], Enabled=False)
                yield f"the emulator's own reading of {source}", fix


#: S3's name of the list, its key of the target, and CloudFormation's names for both.
_TOLD = (
    ("LambdaFunctionConfigurations", "LambdaFunctionArn", "LambdaConfigurations", "Function"),
    ("QueueConfigurations", "QueueArn", "QueueConfigurations", "Queue"),
)


def _notifications(configured: dict[str, Any]) -> dict[str, Any]:
    """A bucket's notifications from CloudFormation's form in that of S3's API."""
    form: dict[str, Any] = {
        ours: [_notification(item, target, item[name]) for item in configured.get(theirs, [])]
        for ours, target, theirs, name in _TOLD
    }
    return {**form, **({"EventBridgeConfiguration": {}} if "EventBridgeConfiguration" in configured else {})}


def _notification(item: dict[str, Any], target: str, arn: str) -> dict[str, Any]:
    rules = item.get("Filter", {}).get("S3Key", {}).get("Rules", [])
    form: dict[str, Any] = {target: arn, "Events": [item["Event"]]}
    return {**form, "Filter": {"Key": {"FilterRules": rules}}} if rules else form


def _shapes(form: dict[str, Any]) -> set[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]]:
    return {_shape(item, target) for ours, target, _, _ in _TOLD for item in form.get(ours, [])}


def _shape(item: dict[str, Any], target: str) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    rules = item.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return (
        item[target],
        tuple(sorted(item["Events"])),
        tuple(sorted((rule["Name"].lower(), rule["Value"]) for rule in rules)),
    )


def _answer(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The answer of an API call; empty if its object does not exist."""
    try:
        answer: dict[str, Any] = call(**arguments)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500:
            raise
        return {}
    return answer
