"""Writes docs/policies: exactly the permissions that deploying takes, and those that using the command takes.

    python3 scripts/policies.py

Those who deploy get deployer.json and user.json, and for anything but the defaults (a key of one's own, EFS, state
machines, doors, a budget) deployer-options.json, too. Each fits a managed policy (6144 characters).

They are derived from the calls in the code (its syntax tree), from what CloudFormation calls for each kind of resource
in the template (the handlers' permissions in AWS's own schemas, which cfn-lint contains), and from a list of what the
SAM CLI calls. tests/template/test_policies.py compares the files with this.

ACCOUNT, REGION, PARTITION, PREFIX and STACK stand for yours.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "policies"
SOURCE = ROOT / "src" / "castline"

#: Modules of the commands preflight, smoke and teardown; smoke also stores and removes objects, as all other commands
#: do.
DEPLOYER = ("operations/account.py", "operations/preflight.py", "operations/teardown.py", "cli/plan.py")
#: Modules through which all other commands reach AWS.
USER = (
    "archive/feed.py",
    "queues.py",
    "storage/s3.py",
    "storage/multipart.py",
    "operations/redrive.py",
    "operations/reconcile.py",
    "cli/connect.py",
)

SERVICES = ("cloudformation", "ecr", "iam", "kms", "lambda", "s3", "secretsmanager", "service-quotas", "sqs", "sts")
#: Actions that have another name than the operation (docs.aws.amazon.com/service-authorization, 2025-06).
_ACTIONS: dict[str, tuple[str, ...]] = {
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:ListBuckets": ("s3:ListAllMyBuckets",),
    "s3:HeadObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "s3:GetObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:PutObject": ("s3:PutObject", "s3:PutObjectTagging"),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:CreateMultipartUpload": ("s3:PutObject",),
    "s3:UploadPart": ("s3:PutObject",),
    "s3:CompleteMultipartUpload": ("s3:PutObject",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:ListParts": ("s3:ListMultipartUploadParts",),
    "lambda:Invoke": ("lambda:InvokeFunction",),
}
_PREFIXES = {"service-quotas": "servicequotas"}
#: boto3's own methods, which are not part of the API.
_TRANSFERS = {"upload_file": "s3:PutObject", "download_file": "s3:GetObject"}

#: What CloudFormation may call for features of a resource that the template does not use.
_UNUSED = re.compile(
    r"""s3tables:|firehose:|s3files:|ec2:DescribeVpcs$|billing:
    |s3:.*(Metadata|Website|Replication|Analytics|Inventory|MetricsConfiguration|Accelerate|Intelligent|Abac)
    |s3:.*(ObjectLock|Acl$|REST)|s3:(List)?Tags?ForResource|s3:(Unt|T)agResource$
    |sns:(Get|Put)DataProtectionPolicy
    |lambda:.*(CodeSigning|Recursion|RuntimeManagement|RuntimeAlias|Scaling|CapacityProvider)|lambda:PublishVersion
    |logs:.*(DataProtection|Index|Bearer|DeletionProtection|ResourcePolicy|ResourcePolicies|LogDelivery)
    |iam:.*(Group|User)Policy$|iam:.*PermissionsBoundary
    |secretsmanager:.*Replicat|elasticfilesystem:.*(Replication|Protection|Lifecycle)|kms:RetireGrant
    |ecr:.*(Scanning|Mutability)""",
    re.VERBOSE,
)
#: Services that are needed only with a key or a network of one's own (KmsKeyArn, ModelStorage=efs).
_OF_OPTIONS = ("kms:", "ec2:", "elasticfilesystem:")
#: What `sam deploy` and `sam delete` call besides CloudFormation's own calls (samcli 1.170.0, lib/deploy, lib/package,
#: lib/bootstrap, lib/delete), and Docker when it pushes the image.
SAM = """cloudformation:CreateChangeSet cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet
    cloudformation:DeleteChangeSet cloudformation:DescribeStacks cloudformation:DescribeStackEvents
    cloudformation:GetTemplate cloudformation:GetTemplateSummary cloudformation:ListStackResources
    cloudformation:DescribeStackResource cloudformation:DescribeStackResources cloudformation:DeleteStack
    s3:GetObject s3:PutObject s3:DeleteObject s3:ListBucket s3:GetBucketLocation
    ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:InitiateLayerUpload ecr:UploadLayerPart
    ecr:CompleteLayerUpload ecr:PutImage ecr:BatchGetImage ecr:GetDownloadUrlForLayer ecr:BatchDeleteImage
    ecr:DescribeImages""".split()
#: Stacks that SAM makes beside ours.
_SAM_KINDS = ("AWS::ECR::Repository", "AWS::S3::Bucket", "AWS::S3::BucketPolicy")

#: Actions that cannot be limited to a resource, besides all that list and describe.
_NAMELESS = """ecr:GetAuthorizationToken lambda:GetAccountSettings servicequotas:GetServiceQuota
    sts:GetCallerIdentity iam:SimulatePrincipalPolicy secretsmanager:GetRandomPassword
    cloudformation:GetTemplateSummary cloudwatch:TagResource cloudwatch:UntagResource""".split()
_OF_BUCKETS = ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts")
_ARN = "arn:PARTITION:{}:REGION:ACCOUNT:{}".format
_RESOURCES: dict[str, list[str]] = {
    "budgets": ["arn:PARTITION:budgets::ACCOUNT:*"],
    "cloudformation": [
        _ARN("cloudformation", "stack/STACK*/*"),
        _ARN("cloudformation", "stack/aws-sam-cli-managed-default/*"),
        "arn:PARTITION:cloudformation:REGION:aws:transform/Serverless-2016-10-31",
    ],
    "cloudwatch": [_ARN("cloudwatch", "alarm:PREFIX-*"), "arn:PARTITION:cloudwatch::ACCOUNT:dashboard/PREFIX*"],
    "ecr": [_ARN("ecr", "repository/STACK*")],
    "elasticfilesystem": [_ARN("elasticfilesystem", "file-system/*"), _ARN("elasticfilesystem", "access-point/*")],
    "events": [_ARN("events", "rule/PREFIX-*")],
    "iam": ["arn:PARTITION:iam::ACCOUNT:role/STACK-*", "arn:PARTITION:iam::ACCOUNT:policy/STACK-*"],
    "kms": [_ARN("kms", "key/*")],
    "lambda": [
        _ARN("lambda", "function:*"),
        _ARN("lambda", "layer:PREFIX-ffmpeg*"),
        _ARN("lambda", "event-source-mapping:*"),
    ],
    "logs": [_ARN("logs", "log-group:/aws/lambda/*"), _ARN("logs", "log-group:/aws/vendedlogs/states/PREFIX*")],
    "s3": [
        "arn:PARTITION:s3:::PREFIX-*",
        "arn:PARTITION:s3:::aws-sam-cli-managed-default-*",
    ],
    "secretsmanager": [_ARN("secretsmanager", "secret:PREFIX/*")],
    "sns": [_ARN("sns", "PREFIX-*")],
    "sqs": [_ARN("sqs", "PREFIX-*")],
    "ssm": [_ARN("ssm", "parameter/PREFIX*")],
    "states": [_ARN("states", "stateMachine:PREFIX-*")],
}
_SERVICE_ROLES = "arn:PARTITION:iam::ACCOUNT:role/aws-service-role/elasticfilesystem.amazonaws.com/*"
_OPTIONS_PASSED_TO = ["states.amazonaws.com", "events.amazonaws.com", "budgets.amazonaws.com"]


def policies() -> dict[str, dict[str, Any]]:
    """The policies by file name."""
    base, optional = kinds()
    core = {action for kind in (*base, *_SAM_KINDS) for action in handlers(kind)} | actions(DEPLOYER) | set(SAM)
    options = {action for kind in (*base, *optional) for action in handlers(kind)} | actions(DEPLOYER)
    default = {action for action in core if not action.startswith(_OF_OPTIONS)}
    return {
        "deployer.json": policy(default),
        "deployer-options.json": policy((options - default) | {"iam:PassRole"}, passed_to=_OPTIONS_PASSED_TO),
        "user.json": policy(actions(USER) | {"kms:Decrypt", "kms:GenerateDataKey"}, user=True),
    }


@cache
def _methods() -> dict[str, str]:
    """``service:Operation`` by method of a client; no two services that we use share one."""
    found: dict[str, str] = {}
    session = botocore.session.get_session()
    for service in SERVICES:
        model = ServiceModel(session.get_service_data(service))
        for operation in model.operation_names:
            found.setdefault(xform_name(operation), f"{service}:{operation}")
    return found


def calls(modules: Iterable[str]) -> set[str]:
    """``service:Operation`` of all calls of AWS in modules, by their syntax."""
    return {call for module in modules for call in _calls(ast.parse((SOURCE / module).read_text(encoding="utf-8")))}


def _calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if name == "get_paginator":
            name = str(ast.literal_eval(node.args[0]))
        if name in _TRANSFERS:
            yield _TRANSFERS[name]
        elif name in _methods():
            yield _methods()[name]


def actions(modules: Iterable[str]) -> set[str]:
    """IAM's actions for all calls of AWS in modules."""
    return {action for call in calls(modules) for action in _ACTIONS.get(call, (_plain(call),))}


def _plain(call: str) -> str:
    service, _, operation = call.partition(":")
    return f"{_PREFIXES.get(service, service)}:{operation}"


def kinds() -> tuple[set[str], set[str]]:
    """Kinds of resources that a deployment with the default parameters has, and that only others have."""
    from castline.local.resolver import Resolver
    from castline.local.template import parameter_values

    template = transformed()
    default = Resolver(template, parameter_values(template, {})).kinds()
    return default, {str(item["Type"]) for item in template["Resources"].values()} - default


def transformed() -> dict[str, Any]:
    """The template as CloudFormation gets it: SAM's resources resolved."""
    from samtranslator.translator.transform import transform

    from castline.local.template import load_template

    template = load_template(ROOT / "template.yaml")
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if properties.get("PackageType") == "Image":
            properties["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/castline:1"
        for name in {"CodeUri", "ContentUri", "DefinitionUri"} & properties.keys():
            properties[name] = "s3://code/key"

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    made: dict[str, Any] = transform(json.loads(json.dumps(template)), {}, NoPolicies())
    return made


@cache
def _schemas() -> dict[str, set[str]]:
    """What CloudFormation calls, by kind of resource."""
    package = importlib.util.find_spec("cfnlint")
    assert package and package.origin  # noqa: S101 - part of the environment of development
    found: dict[str, set[str]] = {}
    for path in (Path(package.origin).parent / "data" / "schemas" / "resources").glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        for handler in schema.get("handlers", {}).values():
            found.setdefault(schema["typeName"], set()).update(handler.get("permissions", ()))
    return found


def handlers(kind: str) -> set[str]:
    """What CloudFormation calls for a kind of resource, as far as the template uses it.

    Raises:
        KeyError: AWS's schemas do not know the kind.
    """
    return {action for action in _schemas()[kind] if not _UNUSED.match(action)}


def policy(
    wanted: Iterable[str], *, user: bool = False, passed_to: Iterable[str] = ("lambda.amazonaws.com",)
) -> dict[str, Any]:
    """A policy with these actions: listing and describing on everything, all others on our own resources.

    Args:
        passed_to: services that roles may be passed to.
    """
    everything = set(wanted)
    special = everything & {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    looks = {action for action in everything - special if _nameless(action)}
    statements = [_statement("LookAround", looks, ["*"])] if looks else []
    rest = everything - special - looks
    for service in sorted({action.partition(":")[0] for action in rest}):
        of_service = {action for action in rest if action.startswith(f"{service}:")}
        statements.append(_statement(f"On{service.capitalize()}", of_service, _where(service, user)))
    if "iam:PassRole" in special:
        passing = _statement("PassRoles", {"iam:PassRole"}, ["arn:PARTITION:iam::ACCOUNT:role/STACK-*"])
        statements.append({**passing, "Condition": {"StringEquals": {"iam:PassedToService": list(passed_to)}}})
    if "iam:CreateServiceLinkedRole" in special:
        statements.append(_statement("LetEfsHaveItsRole", {"iam:CreateServiceLinkedRole"}, [_SERVICE_ROLES]))
    return {"Version": "2012-10-17", "Statement": statements}


def _nameless(action: str) -> bool:
    verb = action.partition(":")[2]
    return action in _NAMELESS or (verb.startswith(("List", "Describe")) and action not in _OF_BUCKETS)


def _where(service: str, user: bool) -> list[str]:
    if user and service == "s3":
        return ["arn:PARTITION:s3:::PREFIX-*"]
    if user and service == "sqs":
        return [
            _ARN("sqs", f"PREFIX-{name}") for name in ("failed-invocations", "library", "ranges", "uploads", "units")
        ]
    if user and service == "lambda":
        return [_ARN("lambda", f"function:*{name}") for name in ("video-splitting", "face-recognition")]
    return _RESOURCES[service]


def _statement(sid: str, allowed: set[str], where: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(allowed), "Resource": where}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in policies().items():
        (FOLDER / name).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        size = len(json.dumps(made, separators=(",", ":")))
        count = sum(len(item["Action"]) for item in made["Statement"])
        sys.stdout.write(f"{name}: {count} actions, {size} characters\n")


if __name__ == "__main__":
    main()
