"""A request with the published headers starts one Fargate task (docs/SERVICE.md, "Task per job").

It runs in a Lambda function behind API Gateway, and imports only what a zip without engines contains.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

logger = logging.getLogger(__name__)

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
#: Of those that the task does not read; ``TaskSettings`` has the others.
_ALLOWED = {
    "SR": {"8000", "NB", "16000", "BB"},
    "SAC": {"yes", "no"},
    "CAP_PROV": {"FARGATE", "FARGATE_SPOT"},
}
_MOST = 8192  # characters of RunTask's overrides, as JSON (API reference, 2026-11-27)
_URL = r"^(none|https?://.+)?$"
_SECRET = "X_API_KEY"  # noqa: S105 - the header's name


class TaskSettings(BaseSettings):
    """What a task reads of the published headers, which are its environment: checked before it starts, and in it.

    Attributes:
        dia: whether words have a speaker.
    """

    model_config = SettingsConfigDict(extra="ignore")

    bucket_name: str = Field(min_length=1)
    object_path: str = Field(min_length=1)
    object_url: str = Field("none", pattern=_URL)
    dec_lang: Literal["eng", "afr", "zul", "sto", "mul"] = "eng"
    dia: Literal["yes", "no"] = "no"
    tag: str = Field(default_factory=lambda: uuid4().hex, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    num_threads: int = Field(4, ge=1)
    return_url: str = Field("", pattern=_URL)
    fe_api_key: str = "none"
    user_id: str = ""
    job_id: str = "none"


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


def start(event: Mapping[str, Any], settings: StarterSettings, key: Callable[[], str], ecs: Any) -> dict[str, Any]:
    """Answer one request.

    Args:
        event: API Gateway's, in either version of its format.
        key: reads what X_API_KEY must be.
        ecs: a boto3 client.

    Returns:
        ``{"statusCode", "headers", "body"}``; the body is a JSON string, as published.
    """
    asked = {name.upper().replace("-", "_"): str(value) for name, value in (event.get("headers") or {}).items()}
    for name in REQUIRED:
        if name not in asked:
            return _answer(400, f"Bad request: {name} not present in POST headers")
    try:
        if not hmac.compare_digest(asked[_SECRET].encode(), key().encode()):
            return _answer(401, "Authentication error: Incorrect X_API_KEY")
        return _started(asked, settings, ecs)
    except (ClientError, BotoCoreError) as error:
        logger.exception("no task was started")
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return _answer(503, f"No task could be started: {code}")


def _started(asked: Mapping[str, str], settings: StarterSettings, ecs: Any) -> dict[str, Any]:
    """Check what the task would not accept, and start it.

    Raises:
        ClientError, BotoCoreError: ECS refuses, or does not answer.
    """
    given = {name: asked.get(name, default) for name, default in OPTIONAL.items()}
    given |= {name: asked[name] for name in REQUIRED if name != _SECRET}
    given |= {"TAG": asked.get("TAG", uuid4().hex), "OBJECT_NAME": asked["OBJECT_PATH"].rpartition("/")[2]}
    for name in _wrong(given):
        return _answer(400, f"Bad request: {name} is not valid")
    environment = [{"name": name, "value": value} for name, value in sorted(given.items())]
    overrides = {"containerOverrides": [{"name": settings.container, "environment": environment}]}
    if len(json.dumps(overrides)) > _MOST:
        return _answer(400, "Bad request: the POST headers are too long")
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
        overrides=overrides,
    )
    if started.get("failures"):
        return _answer(503, f"No task could be started: {started['failures'][0].get('reason', 'unknown')}")
    return _answer(200, f"Fargate task started sucesfully. See {given['BUCKET_NAME']}/decoded/")


def _wrong(given: Mapping[str, str]) -> list[str]:
    """The headers whose values are not valid."""
    found = [name for name, allowed in _ALLOWED.items() if given[name] not in allowed]
    try:
        TaskSettings(**{name.lower(): value for name, value in given.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        found += [str(each["loc"][0]).upper() for each in error.errors()]
    return found


def _answer(status: int, text: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(text)}
