"""The template as it is written, and after the SAM transform: what would really be created."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from castline.local.resolver import Resolver
from castline.local.template import load_template, parameter_values

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
BUCKETS = ("input", "stage-1", "output", "gallery")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
NETWORK = {"VpcSubnetIds": "subnet-0aaaaaaa,subnet-0bbbbbbb", "VpcSecurityGroupIds": "sg-0aaaaaaa"}
DOORS = {
    "ResultEvents": "sns",
    "LibraryQueue": "true",
    "WebhookUrl": "https://example.org/hook",
    "BatchMarker": "done.txt",
    "EnableWhatsApp": "true",
    "WhatsAppPhoneNumberIds": "1",
    "WhatsAppReply": "true",
}
#: Parameters of every way to deploy that changes the resources or the permissions.
WAYS = [
    pytest.param(
        {
            "Orchestration": orchestration,
            "KmsKeyArn": key,
            "ModelStorage": models,
            **(NETWORK if models == "efs" else {}),
            **(DOORS if doors else {}),
        },
        id=f"{orchestration}-{'key' if key else 'no key'}-{models}{'-doors' if doors else ''}",
    )
    for orchestration in ("queue", "events", "invoke", "stepfunctions")
    for key in ("", KEY)
    for models in ("image", "efs", "s3")
    for doors in (False, True)
]


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return load_template(TEMPLATE)


@pytest.fixture(scope="module")
def transformed(source: dict[str, Any]) -> dict[str, Any]:
    from samtranslator.translator.transform import transform

    template = json.loads(json.dumps(source))
    for resource in template["Resources"].values():
        # After `sam build` and `sam package`.
        if resource.get("Properties", {}).get("PackageType") == "Image":
            resource["Properties"]["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/castline:1"
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://code/key"

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    try:
        result: dict[str, Any] = transform(template, {}, NoPolicies())
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
    return result


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: item["Properties"] for name, item in template["Resources"].items() if item["Type"] == kind}


def resolver(source: dict[str, Any], **parameters: str) -> Resolver:
    """The template with parameters; names begin with castline, and those of functions have no prefix."""
    names = {"Prefix": "castline", "FunctionPrefix": ""}
    return Resolver(source, parameter_values(source, {**names, **parameters}))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
