"""Removes a whole deployment: the stack, and what the stack leaves behind on purpose.

The stack goes first, because nothing writes any more once its functions are gone; if CloudFormation refuses, nothing
has been lost. Then buckets are emptied of all versions and deleted, and so are queues, secrets, and the image
repositories that SAM keeps in a stack of its own (its "companion").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from botocore.exceptions import BotoCoreError, ClientError

from castline.aws import Account
from castline.errors import ResourceError, StorageError
from castline.operations.account import KEPT, Finding, Resource, Stack, code_of, read_stack, stack_status
from castline.storage import S3Store

_PAUSE_S = 5.0
_LONGEST_S = 3600.0  # AWS takes up to half an hour to remove network interfaces of functions in a VPC
_BATCH = 1000  # of a page of versions, and of what a request deletes
_GONE = {"NoSuchBucket", "404", "ResourceNotFoundException", "RepositoryNotFoundException", "NoSuchUpload"}


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is deleted besides the stack.

    Attributes:
        resources: those that the stack keeps when it is deleted.
        versions: number of objects and versions by bucket, delete markers included.
        companions: stacks that SAM created for the images.
    """

    resources: tuple[Resource, ...]
    versions: dict[str, int]
    companions: tuple[Stack, ...]


def leftovers(stack: Stack, account: Account) -> Leftovers:
    """What the stack would leave behind. Changes nothing."""
    kept = tuple(stack.of_kind(*KEPT))
    store = S3Store(account.s3)
    buckets = [resource.name for resource in kept if resource.kind == "AWS::S3::Bucket" and resource.name]
    versions = {name: sum(1 for _ in store.versions(name)) for name in buckets if _exists(name, account)}
    return Leftovers(kept, versions, tuple(_companions(stack, account)))


def staying(stack: Stack, account: Account) -> list[str]:
    """What is not removed, a line each: it is shared with other deployments, or belongs to somebody else."""
    lines = [
        f"packages of the code, below {stack.name}/ in SAM's bucket (aws-sam-cli-managed-default-…)",
        "metrics and traces, which end by themselves (15 months, 30 days)",
    ]
    yours = {
        "KmsKeyArn": "your key {}: what it encrypted elsewhere can still be read",
        "AccessLogBucket": "access logs in {}",
        "ModelBucket": "models in {}",
    }
    lines += [line.format(stack.values[name]) for name, line in yours.items() if stack.values.get(name)]
    return lines


def teardown(
    stack: Stack, left: Leftovers, account: Account, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Finding]:
    """Delete the stack, then what it leaves behind; yields findings, each as soon as it is known.

    Raises:
        ResourceError: the stack could not be deleted. Buckets, queues and secrets are as they were.
    """
    _delete_stack(stack.name, account, sleep)
    yield Finding("ok", "stack", f"{stack.name} is deleted")
    for resource in left.resources:
        if resource.name:
            yield from _reported(resource.name, partial(_remove, resource, account))
    for companion in left.companions:
        for repository in companion.of_kind("AWS::ECR::Repository"):
            yield from _reported(repository.name, partial(_drop_images, repository.name, account))
        _delete_stack(companion.name, account, sleep)
        yield Finding("ok", "stack", f"{companion.name} is deleted")


def _reported(name: str, remove: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding("ok", name.rpartition("/")[2], remove())
    except (ClientError, StorageError) as error:
        gone = isinstance(error, ClientError) and code_of(error) in _GONE
        line = "was gone already" if gone else f"could not be deleted: {error}"
        yield Finding("ok" if gone else "problem", name.rpartition("/")[2], line)


def _remove(resource: Resource, account: Account) -> str:
    if resource.kind == "AWS::S3::Bucket":
        if not _exists(resource.name, account):
            return "was gone already"
        count = empty(resource.name, account)
        account.s3.delete_bucket(Bucket=resource.name)
        return f"deleted, with {count} objects and versions"
    if resource.kind == "AWS::SQS::Queue":
        if not _queue_is_there(resource.name, account):
            return "was gone already"
        account.sqs.delete_queue(QueueUrl=resource.name)
        return "deleted, with its messages"
    account.secrets.delete_secret(SecretId=resource.name, ForceDeleteWithoutRecovery=True)
    return "deleted"


def empty(bucket: str, account: Account) -> int:
    """Delete every version of every object, delete markers and unfinished uploads.

    Returns:
        How many objects, versions and markers there were.

    Raises:
        StorageError, ClientError: S3 refused.
    """
    store, count = S3Store(account.s3), 0
    # Always from the beginning: not every S3 can go on with a list behind a version that has been deleted.
    while batch := list(islice(store.versions(bucket), _BATCH)):
        store.erase(bucket, batch)
        count += len(batch)
    for page in account.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", ()):
            account.s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return count


def _drop_images(name: str, account: Account) -> str:
    account.ecr.delete_repository(repositoryName=name, force=True)
    return "deleted, with its images"


def _companions(stack: Stack, account: Account) -> Iterator[Stack]:
    """Stacks that ``sam deploy`` named after this one: ``<stack>-<hash>-CompanionStack``."""
    for page in account.cloudformation.get_paginator("describe_stacks").paginate():
        for item in page["Stacks"]:
            name = item["StackName"]
            if (
                name.startswith(f"{stack.name}-")
                and name.endswith("-CompanionStack")
                and name.count("-") == (stack.name.count("-") + 2)
            ):
                found = read_stack(name, account)
                if found:
                    yield found


def _delete_stack(name: str, account: Account, sleep: Callable[[float], None]) -> None:
    try:
        account.cloudformation.delete_stack(StackName=name)
        waited = 0.0
        while (status := stack_status(name, account)) and waited < _LONGEST_S:
            if status == "DELETE_FAILED":
                raise ResourceError(f"{name} could not be deleted: {_reason(name, account)}")
            sleep(_PAUSE_S)
            waited += _PAUSE_S
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"{name} could not be deleted: {error}") from error
    if status:
        raise ResourceError(f"{name} is still {status} after {waited / 60:.0f} minutes; ask again later")


def _reason(name: str, account: Account) -> str:
    events = account.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    said = (
        f"{event.get('LogicalResourceId', '')}: {event.get('ResourceStatusReason', '')}"
        for event in events
        if event.get("ResourceStatus") == "DELETE_FAILED" and event.get("LogicalResourceId") != name
    )
    return "; ".join(list(said)[:3]) or "CloudFormation does not say why"


def _exists(bucket: str, account: Account) -> bool:
    try:
        account.s3.head_bucket(Bucket=bucket)
    except ClientError:
        return False
    return True


def _queue_is_there(url: str, account: Account) -> bool:
    try:
        account.sqs.get_queue_attributes(QueueUrl=url)
    except ClientError:
        return False
    return True
