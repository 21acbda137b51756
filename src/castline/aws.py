"""AWS clients: made only here.

The standard variables (``AWS_ENDPOINT_URL``, ``AWS_REGION``, credentials) are boto3's own. The types (mypy-boto3) are
for mypy only and are not imported at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from castline.errors import ResourceError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

#: What a call of a client raises if it did not work: refused, not answered, or answered by something else than AWS.
FAILURES = (ClientError, BotoCoreError, ResponseParserError)
_NO_REGION = "us-east-1"  # requests cannot be signed without a region
_LOOPBACK_ONLY: dict[str, Any] = {
    # The emulator treats compressed metrics as empty.
    "disable_request_compression": True,
    "proxies": {"http": None, "https": None},
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
    service: str,
    *,
    endpoint: str | None = ...,
    keys: Mapping[str, str] | None = ...,
    local: bool = ...,
    region: str = ...,
) -> Any: ...
def client(
    service: str,
    *,
    endpoint: str | None = None,
    keys: Mapping[str, str] | None = None,
    local: bool = False,
    region: str = "",
) -> Any:
    """A client for one service; thread-safe, as boto3's are.

    Args:
        endpoint: instead of AWS or ``AWS_ENDPOINT_URL``.
        keys: ``AWS_ACCESS_KEY_ID`` and the like, instead of the environment's.
        local: whether the endpoint is our own stack on this machine.
        region: instead of the environment's.
    """
    if local and keys:
        with _making:  # a session may be shared between threads, except for making clients
            return _made(_local_session(), service, endpoint, keys, local=True, region=region)
    return _made(boto3.Session(), service, endpoint, keys, local=local, region=region)


_making = Lock()


@lru_cache(maxsize=1)
def _local_session() -> boto3.Session:
    """One session for all clients of the local stack: reading botocore's files costs 70 ms per session."""
    return boto3.Session()


def _made(
    session: boto3.Session,
    service: str,
    endpoint: str | None,
    keys: Mapping[str, str] | None,
    *,
    local: bool,
    region: str,
) -> Any:
    if endpoint and not keys and session.get_credentials() is None:
        # Another emulator accepts any credentials, but boto3 needs some.
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(
        max_pool_connections=32,  # pieces of a long recording are fetched in parallel
        # Bucket names may contain dots, and emulators have no host names for them.
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "max_attempts": 3 if local else 5},
        **(_LOOPBACK_ONLY if local else {}),
    )
    if service == "s3":  # boto3 still signs URLs with version 2 by default
        config = config.merge(Config(signature_version="s3v4"))
    region = region or session.region_name or _NO_REGION
    named = {name.lower(): value for name, value in (keys or {}).items()}
    return session.client(service, endpoint_url=endpoint, region_name=region, config=config, **named)


def presigner(endpoint: str, key: str, secret: str) -> S3Client:
    """A client that signs URLs for any S3: version 4, path style, us-east-1; makes no requests.

    Args:
        key, secret: if empty, those of the environment.
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
    """The text of a secret in Secrets Manager.

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


def region_of_environment() -> str:
    """The region that clients use if none is given."""
    return boto3.Session().region_name or _NO_REGION


def is_offered(service: str, region: str) -> bool | None:
    """Whether a region has a service, according to botocore's list of endpoints.

    Returns:
        None for a service that the list has in no region, or for a region that it does not have.
    """
    session = boto3.Session()
    try:
        partition = session.get_partition_for_region(region)
    except BotoCoreError:
        return None
    regions = session.get_available_regions(service, partition_name=partition)
    known = region in session.get_available_regions("lambda", partition_name=partition)
    return region in regions if regions and known else None


class Account:
    """An account in one region, with clients that are made when they are first used.

    Args:
        region: that of all clients and of all answers about the account.
        make: makes a client for a service; by default AWS's, with the environment's credentials.
    """

    def __init__(self, region: str, make: Callable[[str], Any] | None = None) -> None:
        self.region = region
        self.make = make or (lambda service: client(service, region=region))

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        made: CloudFormationClient = self.make("cloudformation")
        return made

    @cached_property
    def ecr(self) -> ECRClient:
        made: ECRClient = self.make("ecr")
        return made

    @cached_property
    def iam(self) -> IAMClient:
        made: IAMClient = self.make("iam")
        return made

    @cached_property
    def kms(self) -> KMSClient:
        made: KMSClient = self.make("kms")
        return made

    @cached_property
    def lambda_(self) -> LambdaClient:
        made: LambdaClient = self.make("lambda")
        return made

    @cached_property
    def quotas(self) -> ServiceQuotasClient:
        made: ServiceQuotasClient = self.make("service-quotas")
        return made

    @cached_property
    def s3(self) -> S3Client:
        made: S3Client = self.make("s3")
        return made

    @cached_property
    def secrets(self) -> SecretsManagerClient:
        made: SecretsManagerClient = self.make("secretsmanager")
        return made

    @cached_property
    def sqs(self) -> SQSClient:
        made: SQSClient = self.make("sqs")
        return made

    @cached_property
    def sts(self) -> STSClient:
        made: STSClient = self.make("sts")
        return made
