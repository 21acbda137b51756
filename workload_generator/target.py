"""The deployment under test: where its S3 is, and what its buckets and functions are called."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from castline.errors import CastlineError, LocalStackError
from castline.settings import Settings, settings

Profile = Literal["classic", "full"]

#: The course's contract names the functions, whatever the settings say.
_CLASSIC_SPLITTER, _CLASSIC_ANALYSER = "video-splitting", "face-recognition"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: Connections per client; above any sensible number of threads.
_POOL = 64
#: A synchronous invocation may take as long as Lambda allows, and a bit.
_READ_TIMEOUT_S = {"lambda": 920, "s3": 60, "cloudwatch": 60}


class UsageError(CastlineError):
    """What was asked for cannot be done: one line for the person who asked."""

    code = "usage"
    retryable = False


@dataclass(frozen=True)
class Target:
    """A deployment, and the clients that reach it; all of them are safe to share between threads.

    Attributes:
        s3, lambda_, cloudwatch: boto3 clients.
        splitter, analyser: function names.
        where: for people: "local stack at …", an endpoint, or "AWS, <region>".
    """

    s3: Any = field(repr=False)
    lambda_: Any = field(repr=False)
    cloudwatch: Any = field(repr=False)
    input_bucket: str
    stage1_bucket: str
    output_bucket: str
    splitter: str
    analyser: str
    profile: Profile
    where: str


def connect(
    *,
    endpoint_url: str | None,
    access_key: str | None,
    secret_key: str | None,
    asu_id: str | None,
    prefix: str | None,
    profile: str = "auto",
    region: str | None = None,
) -> Target:
    """Find a deployment; nothing is sent yet, so its buckets need not exist.

    Args:
        endpoint_url: default: ``AWS_ENDPOINT_URL``, then a running local stack, then AWS itself.
        access_key, secret_key: both or neither; default: those of the local stack where it is the endpoint, then
            boto3's own search. Never shown or logged.
        asu_id: prefix of the bucket names in the course's words.
        prefix: the same in Castline's words; default: the settings' buckets.
        profile: ``classic``, ``full``, or ``auto``: classic when ``asu_id`` is given.
        region: default: boto3's own search, then us-east-1.

    Raises:
        UsageError: contradicting arguments, or neither a local stack nor credentials for AWS.
    """
    if bool(access_key) != bool(secret_key):
        raise UsageError("--access_key and --secret_key come together, or not at all")
    if asu_id and prefix and asu_id != prefix:
        raise UsageError(f"--asu_id {asu_id} and --prefix {prefix} name different buckets; give one of them")
    if profile not in ("auto", "classic", "full"):
        raise UsageError(f"--profile is auto, classic or full, not {profile!r}")
    chosen = cast("Profile", profile if profile != "auto" else "classic" if asu_id else "full")
    config = settings()
    classic = chosen == "classic"
    named = asu_id or prefix
    if named or classic:
        named = named or config.prefix
        buckets = (f"{named}-input", f"{named}-stage-1", f"{named}-output")
    else:  # the settings may name each bucket on its own
        buckets = (config.input_bucket, config.stage1_bucket, config.output_bucket)

    endpoint, where, found_region = _find(endpoint_url, config)
    if endpoint and not access_key:
        access_key, secret_key = _local_keys(endpoint, config)
    session = boto3.Session(
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
        region_name=region or found_region,
    )
    try:
        anonymous = session.get_credentials() is None
        if anonymous and endpoint is None:
            raise UsageError(
                "no local stack is running here (castline up), no endpoint is given (--endpoint-url), "
                "and there are no AWS credentials (--access_key, --secret_key)"
            )
        clients = {name: _client(session, name, endpoint, anonymous) for name in _READ_TIMEOUT_S}
    except (BotoCoreError, ValueError) as error:  # a bad profile, region or URL
        raise UsageError(str(error)) from error
    return Target(
        s3=clients["s3"],
        lambda_=clients["lambda"],
        cloudwatch=clients["cloudwatch"],
        input_bucket=buckets[0],
        stage1_bucket=buckets[1],
        output_bucket=buckets[2],
        splitter=_CLASSIC_SPLITTER if classic else config.splitter_function,
        analyser=_CLASSIC_ANALYSER if classic else config.analyser_function,
        profile=chosen,
        where=where or f"AWS, {clients['s3'].meta.region_name}",
    )


def check(target: Target) -> None:
    """Make sure that media can go in and results can be listed, before anything is uploaded.

    Raises:
        UsageError: a bucket is not there or not ours, or nothing answers; one line says which.
    """
    for bucket in (target.input_bucket, target.output_bucket):
        check_bucket(target, bucket)


def check_bucket(target: Target, bucket: str) -> None:
    """As ``check``, for one bucket."""
    try:
        target.s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchBucket", "404"):
            raise UsageError(f"there is no bucket {bucket} ({target.where}); is the stack deployed?") from error
        raise UsageError(f"bucket {bucket} ({target.where}) cannot be listed: {code}") from error
    except BotoCoreError as error:
        raise UsageError(f"{target.where} does not answer: {error}") from error


def _find(endpoint_url: str | None, config: Settings) -> tuple[str | None, str | None, str | None]:
    """(endpoint, where for people, region it insists on); all None for AWS itself."""
    endpoint = endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return endpoint, endpoint, None
    try:
        from castline.local import LocalStack
        from castline.local.engine import REGION

        local = LocalStack.attach(config).endpoint_url
    except (LocalStackError, ImportError):  # none runs here, or its requirements are not installed
        return None, None, None
    return local, f"local stack at {local}", REGION


def _local_keys(endpoint: str, config: Settings) -> tuple[str | None, str | None]:
    """Access key and secret key that our own stack wants; nothing for any other endpoint."""
    try:
        from castline.local.access import local_credentials
    except ImportError:  # without the requirements of a stack, none runs here
        return None, None
    found = local_credentials(endpoint, config)
    return (found.access_key, found.secret_key) if found else (None, None)


def _client(session: boto3.Session, service: str, endpoint: str | None, anonymous: bool) -> Any:
    # Another emulator takes any credentials, but boto3 insists on some.
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} if anonymous else {}
    local = endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK
    return session.client(
        service,
        endpoint_url=endpoint,
        region_name=session.region_name or "us-east-1",
        config=Config(
            s3={"addressing_style": "path"} if endpoint else {},
            retries={"mode": "standard"},
            max_pool_connections=_POOL,
            read_timeout=_READ_TIMEOUT_S[service],
            proxies={"http": None, "https": None} if local else None,
        ),
        **keys,
    )
