"""The deployment under test: where its S3 is, and what its buckets and functions are called."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from castline import aws
from castline.cli.connect import local_keys
from castline.errors import NoBucket, OptionsError
from castline.settings import Settings, settings
from castline.storage import S3Store

Profile = Literal["classic", "full"]
Contract = Literal["auto", "classic", "full"]

#: The course's contract names the functions, whatever the settings say.
_CLASSIC_FUNCTIONS = ("video-splitting", "face-recognition")


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
        """A store without threads of its own: one that hangs would keep the program from ending."""
        return S3Store(self.s3, threads=False)

    @property
    def buckets(self) -> tuple[str, str, str]:
        """Input first: once that is empty, nothing that is still being worked on comes back."""
        return self.input_bucket, self.stage1_bucket, self.output_bucket

    def check(self, *buckets: str) -> None:
        """Make sure that these buckets are there and can be listed.

        Raises:
            NoBucket: there is no such bucket.
            StorageError: it belongs to somebody else, or nothing answers.
        """
        for bucket in buckets:
            try:
                next(self.store.find(bucket), None)
            except NoBucket as error:
                message = f"there is no bucket {bucket} ({self.where}); is the stack deployed?"
                raise NoBucket(message, bucket=bucket) from error


def connect(
    *,
    endpoint_url: str | None,
    access_key: str | None,
    secret_key: str | None,
    asu_id: str | None,
    prefix: str | None,
    profile: Contract = "auto",
) -> Target:
    """Find a deployment; nothing is sent yet, so its buckets need not exist.

    Args:
        endpoint_url: default: ``AWS_ENDPOINT_URL``, then a running local stack, then AWS itself.
        access_key, secret_key: both or neither; default: those of the local stack where it is the endpoint, then
            boto3's own search. Never shown or logged.
        asu_id: prefix of the bucket names, as the course calls it.
        prefix: the same, as Castline calls it; default: the settings' buckets.
        profile: ``auto`` is classic when ``asu_id`` is given, and full otherwise.

    Raises:
        OptionsError: contradicting arguments, or neither a local stack nor credentials for AWS.
    """
    if bool(access_key) != bool(secret_key):
        raise OptionsError("--access_key and --secret_key come together, or not at all")
    if asu_id and prefix and asu_id != prefix:
        raise OptionsError(f"--asu_id {asu_id} and --prefix {prefix} name different buckets; give one of them")
    classic = profile == "classic" or (profile == "auto" and bool(asu_id))
    config = settings()
    if asu_id or prefix or classic:
        named = asu_id or prefix or config.prefix
        buckets = (f"{named}-input", f"{named}-stage-1", f"{named}-output")
    else:  # the settings may name each bucket on its own
        buckets = (config.input_bucket, config.stage1_bucket, config.output_bucket)
    endpoint, where = _find(endpoint_url, config)
    keys = own = local_keys(endpoint, config) if endpoint else {}
    if access_key and secret_key:
        keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    if not endpoint and not keys and not aws.has_credentials():
        raise OptionsError(
            "no local stack is running here (castline up), no endpoint is given (--endpoint-url), "
            "and there are no AWS credentials (--access_key, --secret_key)"
        )
    client = partial(aws.client, endpoint=endpoint, keys=keys, local=bool(own))
    try:
        clients = client("s3"), client("lambda"), client("cloudwatch")
    except ValueError as error:
        raise OptionsError(str(error)) from error
    functions = _CLASSIC_FUNCTIONS if classic else (config.splitter_function, config.analyser_function)
    return Target(*clients, *buckets, *functions, "classic" if classic else "full", where)


def _find(endpoint_url: str | None, config: Settings) -> tuple[str | None, str]:
    """The endpoint (None for AWS itself), and a description of it for people."""
    if endpoint := endpoint_url or os.environ.get("AWS_ENDPOINT_URL"):
        return endpoint, endpoint
    try:
        from castline.local.stack import running_stack

        local = running_stack(config)
    except ImportError:  # without the requirements of a stack, none runs here
        local = None
    if local is None:
        return None, f"AWS, {aws.default_region()}"
    return local.endpoint_url, f"local stack at {local.endpoint_url}"
