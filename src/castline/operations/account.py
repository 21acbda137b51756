"""A deployment in an account: what is planned, what exists, what checks found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from castline.aws import Account
from castline.errors import OptionsError
from castline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

#: Kinds of resources that a deleted stack leaves behind, because they hold people's data (``DeletionPolicy``).
KEPT = ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        level: a ``problem`` keeps a deployment from working, a ``note`` is worth knowing or could not be determined.
        line: one line; for a problem, it says what to do.
    """

    level: Literal["ok", "note", "problem"]
    check: str
    line: str


@dataclass(frozen=True, slots=True)
class PlannedFunction:
    """Attributes:
    variables: bytes of all environment variables, names and values, in UTF-8.
    reserved: reserved executions; 0 for none.
    """

    memory_mb: int
    reserved: int
    variables: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment that these parameters would create.

    Attributes:
        values: all parameters of the template.
        log_groups: names.
        allowed: statements of the policies in docs/policies that such a deployment needs, by file name, with
            placeholders filled in.
    """

    stack: str
    account: str
    region: str
    partition: str
    values: Mapping[str, str]
    buckets: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    functions: Mapping[str, PlannedFunction] = field(default_factory=dict)
    log_groups: tuple[str, ...] = ()
    allowed: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    kind: str
    logical_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack.

    Attributes:
        values: parameters it was deployed with.
        resources: physical names; for a queue, its URL.
    """

    name: str
    status: str
    values: Mapping[str, str]
    resources: tuple[Resource, ...]

    def of_kind(self, *kinds: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.kind in kinds]

    def named(self, logical_id: str) -> str:
        """The physical name of a resource.

        Raises:
            OptionsError: the stack has no resource of that id, so it is not one of ours.
        """
        for resource in self.resources:
            if resource.logical_id == logical_id:
                return resource.name
        raise OptionsError(f"the stack {self.name} has no {logical_id}: it is not a deployment of Castline")

    def settings(self) -> Settings:
        """Settings with which commands use this deployment."""
        return Settings(
            input_bucket=self.named("InputBucket"),
            stage1_bucket=self.named("Stage1Bucket"),
            output_bucket=self.named("OutputBucket"),
            gallery_bucket=self.named("GalleryBucket"),
            prefix=self.named("InputBucket").removesuffix("-input"),
            splitter_function=self.named("VideoSplittingFunction"),
            analyser_function=self.named("FaceRecognitionFunction"),
            profile="classic" if self.values.get("PipelineProfile") == "classic" else "full",
        )


def read_stack(name: str, account: Account) -> Stack | None:
    """A stack with its resources; None if it does not exist.

    Raises:
        ClientError: CloudFormation refused.
    """
    found = _described(name, account)
    if found is None:
        return None
    values = {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", ())}
    pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = tuple(
        Resource(item["ResourceType"], item["LogicalResourceId"], item.get("PhysicalResourceId", ""))
        for page in pages
        for item in page["StackResourceSummaries"]
        if item["ResourceStatus"] != "DELETE_COMPLETE"
    )
    return Stack(name, found["StackStatus"], values, resources)


def stack_status(name: str, account: Account) -> str:
    """``CREATE_COMPLETE`` and the like; empty if there is no such stack.

    Raises:
        ClientError: CloudFormation refused.
    """
    found = _described(name, account)
    return found["StackStatus"] if found else ""


def require_stack(name: str, account: Account) -> Stack:
    """A stack with its resources.

    Raises:
        OptionsError: there is no stack of that name.
    """
    try:
        found = read_stack(name, account)
    except (ClientError, BotoCoreError) as error:
        raise OptionsError(f"the stack {name} could not be read: {error}") from error
    if found is None:
        raise OptionsError(f"there is no stack {name} in {account.region}; --stack and --region say which is meant")
    return found


def _described(name: str, account: Account) -> StackTypeDef | None:
    try:
        found = account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has no error code of its own for a stack that does not exist.
        if code_of(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
