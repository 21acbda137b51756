"""What the two keys may do: the user's moves data and runs what is deployed, the deployer's changes what is deployed.

Everything that is not listed is refused: code or configuration in the emulator runs with the user's rights.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from castline.errors import RequestRefused
from castline.gate.request import Request

_READS = re.compile(r"(Get|List|Describe|Head|BatchGet|Filter|Lookup)[A-Z]\w*")
_WRITES = {
    "sqs": {
        "SendMessage",
        "SendMessageBatch",
        "ReceiveMessage",
        "DeleteMessage",
        "DeleteMessageBatch",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
        "PurgeQueue",
    },
    "sns": {"Publish", "PublishBatch"},
    "monitoring": {"PutMetricData"},
    "logs": {"CreateLogGroup", "CreateLogStream", "PutLogEvents"},
    "events": {"PutEvents"},
    "states": {
        "StartExecution",
        "StopExecution",
        "RedriveExecution",
        "SendTaskSuccess",
        "SendTaskFailure",
        "SendTaskHeartbeat",
    },
    "cloudformation": set(),
    "iam": set(),
    "sts": set(),
    "secretsmanager": set(),
}
#: Parameters of S3 requests that write objects; a write with any other changes the bucket's configuration.
_OBJECT_PARAMETERS = re.compile(
    r"uploads|uploadId|partNumber|versionId|tagging|delete|x-id"
    r"|X-Amz-\w+(-\w+)*|AWSAccessKeyId|Signature|Expires|content-type|content-md5|x-amz-[\w-]+"
)
_INVOKE = re.compile(
    r"/2015-03-31/functions/[^/]+/invocations|/2014-11-13/functions/[^/]+/invoke-async/?"
    r"|/2021-11-15/functions/[^/]+/response-streaming-invocations"
)
#: ministack checks for these before it determines the service, whatever the host.
_SIDE_DOOR = re.compile(r"/_(ministack|localstack|aws|alb)(/|$)")
_BUCKET_PATH = re.compile(r"/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?)?", re.DOTALL)


def check_shape(request: Request, service: str, routed: str) -> None:
    """Refuse a request that the emulator would route to a service other than the one it is signed for.

    Args:
        service: the service it is signed for.
        routed: the service to which the emulator would route it.

    Raises:
        RequestRefused: they differ, or the path is one of the emulator's own endpoints.
    """
    if service != routed:
        raise RequestRefused("the credential is scoped to another service", aws_code="SignatureDoesNotMatch")
    if _SIDE_DOOR.match(request.path):
        raise RequestRefused("the emulator's own pages are closed")
    host = request.headers.get("host", "").lower()
    if service == "s3":
        in_place = ".localhost" in host or _BUCKET_PATH.fullmatch(request.path) is not None
    elif service == "lambda":
        in_place = re.match(r"/20\d\d-\d\d-\d\d/", request.path) is not None
    else:
        in_place = request.path == "/"
    if not in_place or (service != "s3" and ".localhost" in host):
        raise RequestRefused(f"there is no such path in {service}")


def check_user(request: Request, service: str, body: bytes) -> None:
    """Refuse requests that the user's key may not make.

    Raises:
        RequestRefused: the request changes code or configuration, or it is not clear what it does.
    """
    if service == "s3":
        allowed = request.method in ("GET", "HEAD") or all(map(_OBJECT_PARAMETERS.fullmatch, request.parameters))
    elif service == "lambda":
        allowed = request.method == "GET" or (request.method == "POST" and bool(_INVOKE.fullmatch(request.path)))
    else:
        name = operation(request, body)
        allowed = service in _WRITES and (bool(_READS.fullmatch(name)) or name in _WRITES[service])
    if not allowed:
        raise RequestRefused("only the deploy step may change code or configuration of the local stack")


def operation(request: Request, body: bytes) -> str:
    """Name of the operation of a JSON or Query service; empty if it is missing or given more than once."""
    form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True) if request.is_form else {}
    target = request.headers.get("x-amz-target")
    named = [*([target.rpartition(".")[2]] if target else []), *request.parameters.get("Action", [])]
    named += form.get("Action", [])
    return named[0] if len(named) == 1 else ""
