"""Checks that the policy of a KMS key lets everything use the key that must (docs/policies/key.json does)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from castline.operations.account import Plan

_USE = ("kms:Decrypt", "kms:GenerateDataKey")
_LOGS = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey")
_LOGS_CONTEXT = "kms:EncryptionContext:aws:logs:arn"


@dataclass(frozen=True, slots=True)
class Need:
    """Attributes:
    principal: the service's principal.
    context: values of the request's context, with which conditions are compared.
    why: what would not work without it.
    """

    principal: str
    actions: tuple[str, ...]
    context: Mapping[str, str]
    why: str


def missing(policy: Mapping[str, Any], plan: Plan) -> list[str]:
    """A line about each right that the policy does not grant. Denying statements are ignored."""
    statements = [item for item in _as_list(policy.get("Statement")) if item.get("Effect") == "Allow"]
    lines = []
    for need in _needs(plan):
        lacking = [action for action in need.actions if not any(_gives(item, action, need) for item in statements)]
        if lacking:
            lines.append(f"{need.principal} may not {', '.join(lacking)} ({need.why})")
    if not any(_trusts_roles(item, plan) for item in statements):
        lines.append(f"no statement lets the account's roles use it ({_root(plan)} with kms:*)")
    return lines


def _needs(plan: Plan) -> Iterator[Need]:
    """The services that must use the key, given what is deployed."""
    values = plan.values
    source = {"aws:SourceAccount": plan.account}
    services = {
        "sns.amazonaws.com": (True, "failures reach the dead-letter queue"),
        "cloudwatch.amazonaws.com": (True, "alarms reach their topic"),
        "s3.amazonaws.com": (values.get("Orchestration") == "queue", "uploads reach their queue"),
        "events.amazonaws.com": (
            values.get("Orchestration") == "stepfunctions"
            or bool(values.get("WebhookUrl"))
            or values.get("EnableWhatsApp") == "true",
            "rules reach their queues",
        ),
        "budgets.amazonaws.com": (values.get("MonthlyBudget", "0") != "0", "the budget reaches its topic"),
        "social-messaging.amazonaws.com": (values.get("EnableWhatsApp") == "true", "messages reach their topic"),
    }
    yield from (Need(name, _USE, source, why) for name, (wanted, why) in services.items() if wanted)
    for group in plan.log_groups:
        arn = f"arn:{plan.partition}:logs:{plan.region}:{plan.account}:log-group:{group}"
        yield Need(f"logs.{plan.region}.amazonaws.com", _LOGS, {**source, _LOGS_CONTEXT: arn}, f"the logs {group}")


def _gives(statement: Mapping[str, Any], action: str, need: Need) -> bool:
    principal = statement.get("Principal")
    services = _as_list(principal.get("Service")) if isinstance(principal, Mapping) else []
    if need.principal not in services:
        return False
    granted = any(fnmatchcase(action, pattern) for pattern in _as_list(statement.get("Action")))
    return granted and all(_holds(kind, tested, need) for kind, tested in statement.get("Condition", {}).items())


def _holds(kind: str, tested: Mapping[str, Any], need: Need) -> bool:
    """Whether a condition permits the need; a condition on values that we do not know is assumed to."""
    wild = kind.endswith("Like") or kind.startswith("Arn")
    for name, patterns in tested.items():
        known = next((value for key, value in need.context.items() if key.lower() == name.lower()), None)
        if known is None:
            continue
        match = fnmatchcase if wild else str.__eq__
        if not any(match(known, pattern) for pattern in _as_list(patterns)):
            return False
    return True


def _trusts_roles(statement: Mapping[str, Any], plan: Plan) -> bool:
    principal = statement.get("Principal")
    trusted = _as_list(principal.get("AWS")) if isinstance(principal, Mapping) else []
    granted = all(any(fnmatchcase(use, pattern) for pattern in _as_list(statement.get("Action"))) for use in _USE)
    return granted and bool({_root(plan), plan.account} & set(trusted))


def _root(plan: Plan) -> str:
    return f"arn:{plan.partition}:iam::{plan.account}:root"


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
