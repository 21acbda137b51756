"""Clients of AWS: made here, and nowhere else.

The standard variables (``AWS_ENDPOINT_URL``, ``AWS_REGION``, credentials) are boto3's own. Typed (mypy-boto3) where
mypy runs; nothing of them is imported at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from castline.errors import ResourceError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_LOOPBACK_ONLY: dict[str, Any] = {
    # The emulator takes compressed metrics for empty ones.
    "disable_request_compression": True,
    "proxies": {"http": None, "https": None},
    "max_pool_connections": 32,
}


@overload
def client(
    service: Literal["s3"], *, endpoint: str | None = ..., keys: Mapping[str, str] | None = ..., local: bool = ...
) -> S3Client: ...
@overload
def client(
    service: Literal["lambda"], *, endpoint: str | None = ..., keys: Mapping[str, str] | None = ..., local: bool = ...
) -> LambdaClient: ...
@overload
def client(
    service: str, *, endpoint: str | None = ..., keys: Mapping[str, str] | None = ..., local: bool = ...
) -> Any: ...
def client(
    service: str, *, endpoint: str | None = None, keys: Mapping[str, str] | None = None, local: bool = False
) -> Any:
    """A client of one service; thread-safe, as boto3's are.

    Args:
        endpoint: instead of AWS, or of what ``AWS_ENDPOINT_URL`` says.
        keys: ``AWS_ACCESS_KEY_ID`` and the like, instead of those of the environment.
        local: the endpoint is our own stack on this machine.
    """
    session = boto3.Session()
    if endpoint and not keys and session.get_credentials() is None:
        # Another emulator takes any credentials, but boto3 insists on some.
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(
        # Bucket names may have dots, and emulators no names of their own.
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "max_attempts": 3 if local else 5},
        **(_LOOPBACK_ONLY if local else {}),
    )
    region = session.region_name or "us-east-1"  # nothing can be signed without one
    named = {name.lower(): value for name, value in (keys or {}).items()}
    return session.client(service, endpoint_url=endpoint, region_name=region, config=config, **named)


def presigner(endpoint: str, key: str, secret: str) -> S3Client:
    """A client that signs URLs for any S3: version 4, path style, us-east-1; asks nobody.

    Args:
        key, secret: empty for those of the environment.
    """
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    named = {"aws_access_key_id": key or None, "aws_secret_access_key": secret or None}
    made: S3Client = boto3.Session().client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **named
    )
    return made


@lru_cache(maxsize=1)
def _lambda() -> LambdaClient:
    return client("lambda")


def invoke_later(function: str, payload: bytes) -> None:
    """Invoke a function asynchronously.

    Raises:
        ResourceError: it could not be.
    """
    try:
        _lambda().invoke(FunctionName=function, InvocationType="Event", Payload=payload)
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"{function} could not be invoked: {error}") from error


def secret_text(secret: str) -> str:
    """The text of a secret of Secrets Manager.

    Raises:
        ResourceError: it could not be read, or is empty.
    """
    try:
        text = str(client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString") or "")
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"the secret {secret} cannot be read: {error}") from error
    if not text:
        raise ResourceError(f"the secret {secret} is empty")
    return text


def has_credentials() -> bool:
    """Whether boto3 finds any."""
    return boto3.Session().get_credentials() is not None


def default_region() -> str:
    """The region of the environment, for people."""
    return boto3.Session().region_name or "default region"
