"""What a deployment with given parameters would contain, according to the template."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.aws import Account
from castline.errors import OptionsError
from castline.local.resolver import Resolver
from castline.local.template import FUNCTION, default_template, load_template, parameter_values
from castline.operations.account import Plan, PlannedFunction

#: What deployer-options.json is for, by what only other parameters than the defaults create: beginnings of actions.
_OPTIONS = {
    "AWS::Serverless::StateMachine": ("states:", "iam:PassRole"),
    "AWS::Events::Rule": ("events:", "iam:PassRole"),
    "AWS::EFS::FileSystem": ("elasticfilesystem:", "ec2:", "iam:CreateServiceLinkedRole"),
    "AWS::SecretsManager::Secret": ("secretsmanager:",),
    "AWS::Budgets::Budget": ("budgets:", "iam:PassRole", "iam:List", "iam:GetPolicy", "iam:CreatePolicy", "iam:Delete"),
}
_OF_A_KEY = ("kms:",)


def plan_of(stack: str, account: Account, values: Mapping[str, str]) -> Plan:
    """The plan of a deployment into an account.

    Raises:
        OptionsError: the credentials are refused.
        LocalStackError: no template here, or a parameter that it does not have.
    """
    path = default_template()
    template = load_template(path)
    try:
        caller = account.sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        raise OptionsError(f"AWS refuses these credentials: {error}") from error
    number, partition = caller["Account"], caller["Arn"].split(":")[1]
    known = parameter_values(template, values)
    pseudo = {
        "AWS::AccountId": number,
        "AWS::Region": account.region,
        "AWS::Partition": partition,
        "AWS::StackName": stack,
    }
    resolver = Resolver(template, {**known, **pseudo})
    shared = resolver.value(template["Globals"]["Function"]["Environment"]["Variables"])
    functions = resolver.resources(FUNCTION).values()
    prefix = resolver.name("InputBucket").removesuffix("-input")
    filled = {
        "ACCOUNT": number,
        "REGION": account.region,
        "PARTITION": partition,
        "PREFIX": prefix,
        "STACK": stack,
    }
    return Plan(
        stack=stack,
        account=number,
        region=account.region,
        partition=partition,
        values=known,
        buckets=_names(resolver, "AWS::S3::Bucket", "BucketName"),
        queues=_names(resolver, "AWS::SQS::Queue", "QueueName"),
        functions={str(item["FunctionName"]): _planned(item, shared) for item in functions},
        log_groups=_names(resolver, "AWS::Logs::LogGroup", "LogGroupName"),
        allowed=_allowed(path.parent / "docs" / "policies", filled, resolver.kinds(), known),
    )


def _allowed(
    folder: Path, filled: Mapping[str, str], kinds: set[str], values: Mapping[str, str]
) -> dict[str, tuple[dict[str, Any], ...]]:
    """Statements by policy: both that every deployer has, and of that for options what these parameters need."""
    found = {name: tuple(statements(folder / name, filled)) for name in ("deployer.json", "user.json")}
    beginnings = tuple(action for kind, actions in _OPTIONS.items() if kind in kinds for action in actions)
    beginnings += _OF_A_KEY if values["KmsKeyArn"] else ()
    options = tuple(_only(statements(folder / "deployer-options.json", filled), beginnings))
    return {**found, **({"deployer-options.json": options} if options else {})}


def _only(policy: list[dict[str, Any]], beginnings: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Statements with those actions alone that begin so."""
    for statement in policy:
        if actions := [action for action in statement["Action"] if action.startswith(beginnings)]:
            yield {**statement, "Action": actions}


def statements(path: Path, filled: Mapping[str, str]) -> list[dict[str, Any]]:
    """Statements of a policy in docs/policies, with its placeholders filled in; empty if the file is missing."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(name, value)
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def _names(resolver: Resolver, kind: str, name: str) -> tuple[str, ...]:
    return tuple(str(item[name]) for item in resolver.resources(kind).values())


def _planned(function: Mapping[str, Any], shared: Mapping[str, Any]) -> PlannedFunction:
    variables = {**shared, **function["Environment"]["Variables"]}
    return PlannedFunction(
        memory_mb=int(function["MemorySize"]),
        reserved=int(function.get("ReservedConcurrentExecutions", 0)),
        variables=sum(len(f"{name}{value}".encode()) for name, value in variables.items()),
    )
