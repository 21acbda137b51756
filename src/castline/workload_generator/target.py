"""The deployment under test: where its S3 is, and what its buckets and functions are called."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError

from castline import aws
from castline.cli.connect import local_keys
from castline.errors import NoBucket, StorageError
from castline.settings import Settings, settings
from castline.storage import S3Store
from castline.workload_generator.patterns import UsageError

Profile = Literal["classic", "full"]

#: The course's contract names the functions, whatever the settings say.
_CLASSIC_SPLITTER, _CLASSIC_ANALYSER = "video-splitting", "face-recognition"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


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

    @property
    def store(self) -> S3Store:
        """Its threads are the caller's: one that hangs must not keep the program from ending."""
        return S3Store(self.s3, threads=False)

    @property
    def buckets(self) -> tuple[str, str, str]:
        """Input first: where that is emptied first, what is still being worked on does not come back later."""
        return self.input_bucket, self.stage1_bucket, self.output_bucket


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

    endpoint, where = _find(endpoint_url, config)
    try:
        wanted = local_keys(endpoint, config) if endpoint else {}
        if access_key and secret_key:
            wanted = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
        if not endpoint and not wanted and not aws.has_credentials():
            raise UsageError(
                "no local stack is running here (castline up), no endpoint is given (--endpoint-url), "
                "and there are no AWS credentials (--access_key, --secret_key)"
            )
        region = region or aws.region_of_environment()
        local = endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK
        s3, lambda_, cloudwatch = (
            aws.client(service, endpoint=endpoint, keys=wanted, local=local, region=region)
            for service in ("s3", "lambda", "cloudwatch")
        )
    except (BotoCoreError, ValueError) as error:  # a bad profile, region or URL
        raise UsageError(str(error)) from error
    return Target(
        s3,
        lambda_,
        cloudwatch,
        *buckets,
        splitter=_CLASSIC_SPLITTER if classic else config.splitter_function,
        analyser=_CLASSIC_ANALYSER if classic else config.analyser_function,
        profile=chosen,
        where=where or f"AWS, {region}",
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
        next(target.store.find(bucket), None)
    except NoBucket as error:
        raise UsageError(f"there is no bucket {bucket} ({target.where}); is the stack deployed?") from error
    except StorageError as error:
        if isinstance(error.__cause__, BotoCoreError):
            raise UsageError(f"{target.where} does not answer: {error.__cause__}") from error
        raise UsageError(f"bucket {bucket} ({target.where}) cannot be listed: {error.__cause__}") from error


def _find(endpoint_url: str | None, config: Settings) -> tuple[str | None, str | None]:
    """(endpoint, where for people); both None for AWS itself."""
    if endpoint := endpoint_url or os.environ.get("AWS_ENDPOINT_URL"):
        return endpoint, endpoint
    try:
        from castline.local.stack import running_stack
    except ImportError:  # without the requirements of a stack, none runs here
        return None, None
    local = running_stack(config)
    return (local.endpoint_url, f"local stack at {local.endpoint_url}") if local else (None, None)
