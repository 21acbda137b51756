"""run-task: a request through API Gateway: starts one Fargate task that transcribes one file."""

from functools import lru_cache
from typing import Any

from castline.aws import client
from castline.service.run_task import StarterSettings, start


@lru_cache(maxsize=1)
def _settings() -> StarterSettings:
    return StarterSettings()


@lru_cache(maxsize=1)
def _key() -> str:
    return str(client("secretsmanager").get_secret_value(SecretId=_settings().key_secret)["SecretString"])


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return start(event, _settings(), _key, client("ecs"))
