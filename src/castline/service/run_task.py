"""A request with the published headers starts one Fargate task (docs/SERVICE.md, "Task per job").

It runs in a Lambda function behind API Gateway, and imports only what a zip without engines contains.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pydantic_settings import BaseSettings, SettingsConfigDict

#: Checked in this order; the answer names the first that is missing.
REQUIRED = ("X_API_KEY", "DEC_LANG", "SR", "NUM_CHANNELS", "SAC", "DIA", "BUCKET_NAME", "OBJECT_PATH", "USER_ID")
OPTIONAL = {
    "CUSTOM_GRAPH": "none",
    "PRIV": "yes",
    "OBJECT_URL": "none",
    "NUM_SPK": "1",
    "CAP_PROV": "FARGATE_SPOT",
    "FE_API_KEY": "none",
    "JOB_ID": "none",
    "NUM_THREADS": "4",
    "RETURN_URL": "",
}
_ALLOWED = {
    "DEC_LANG": {"eng", "afr", "zul", "sto", "mul"},
    "SR": {"8000", "NB", "16000", "BB"},
    "SAC": {"yes", "no"},
    "DIA": {"yes", "no"},
    "CAP_PROV": {"FARGATE", "FARGATE_SPOT"},
}
_MOST = 2048  # characters of one value; ECS accepts 8 KB in all
_SECRET = "X_API_KEY"  # noqa: S105 - the header's name


class StarterSettings(BaseSettings):
    """Where tasks run; ``RUN_TASK_…``."""

    model_config = SettingsConfigDict(env_prefix="RUN_TASK_", extra="ignore")

    cluster: str
    definition: str
    container: str = "task"
    subnets: str
    security_group: str
    key_secret: str = ""
    """ARN of the secret that X_API_KEY must be."""


def start(event: Mapping[str, Any], settings: StarterSettings, key: str, ecs: Any) -> dict[str, Any]:
    """Answer one request.

    Args:
        event: API Gateway's, in either version of its format.
        key: what X_API_KEY must be.
        ecs: a boto3 client.

    Returns:
        ``{"statusCode", "headers", "body"}``; the body is a JSON string, as published.
    """
    asked = {name.upper().replace("-", "_"): str(value) for name, value in (event.get("headers") or {}).items()}
    for name in REQUIRED:
        if name not in asked:
            return _answer(400, f"Bad request: {name} not present in POST headers")
    if not hmac.compare_digest(asked[_SECRET].encode(), key.encode()):
        return _answer(401, "Authentication error: Incorrect X_API_KEY")
    given = {name: asked.get(name, default) for name, default in OPTIONAL.items()}
    given |= {name: asked[name] for name in REQUIRED if name != _SECRET}
    given |= {"TAG": asked.get("TAG", uuid4().hex), "OBJECT_NAME": asked["OBJECT_PATH"].rpartition("/")[2]}
    for name, value in given.items():
        if len(value) > _MOST or value not in _ALLOWED.get(name, {value}):
            return _answer(400, f"Bad request: {name} is not valid")
    started = ecs.run_task(
        cluster=settings.cluster,
        taskDefinition=settings.definition,
        count=1,
        platformVersion="LATEST",
        capacityProviderStrategy=[{"capacityProvider": given["CAP_PROV"], "weight": 1}],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": settings.subnets.split(","),
                "securityGroups": [settings.security_group],
                "assignPublicIp": "ENABLED",
            }
        },
        overrides={
            "containerOverrides": [
                {
                    "name": settings.container,
                    "environment": [{"name": name, "value": value} for name, value in sorted(given.items())],
                }
            ]
        },
    )
    if started.get("failures"):
        return _answer(503, f"No task could be started: {started['failures'][0].get('reason', 'unknown')}")
    return _answer(200, f"Fargate task started sucesfully. See {given['BUCKET_NAME']}/decoded/")


def _answer(status: int, text: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(text)}
