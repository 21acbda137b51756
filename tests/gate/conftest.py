"""Requests signed by botocore, and a stack's keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from castline.gate.credentials import Credentials, Keyring
from castline.gate.request import Request

ENDPOINT = "http://127.0.0.1:4566"
Sign = Callable[..., tuple[Request, bytes]]


def to_request(method: str, url: str, headers: dict[str, Any]) -> Request:
    """What the gate sees of a client's request."""
    host, _, rest = url.removeprefix("http://").partition("/")
    raw_path, _, query = f"/{rest}".partition("?")
    fields = [(name.lower(), value.decode() if isinstance(value, bytes) else value) for name, value in headers.items()]
    if "host" not in dict(fields):
        fields.append(("host", host))
    return Request(method, raw_path, unquote(raw_path), query, tuple(fields))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(Credentials.random(), Credentials.random())


@pytest.fixture
def client(keyring: Keyring) -> Callable[..., Any]:
    """Makes boto3 clients: ``client("s3", who=..., signature_version="s3v4")``."""

    def make(service: str, who: Credentials | None = None, endpoint: str = ENDPOINT, **config: Any) -> Any:
        who = who or keyring.user
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=who.access_key,
            aws_secret_access_key=who.secret_key,
            config=Config(retries={"max_attempts": 0}, **config),
        )

    return make


@pytest.fixture
def sign(client: Callable[..., Any]) -> Sign:
    """The request, with its body, that boto3 would send: ``sign("s3", "list_buckets", who, Bucket=...)``."""

    def build(service: str, call: str, who: Credentials | None = None, **arguments: Any) -> tuple[Request, bytes]:
        sent: list[AWSPreparedRequest] = []

        def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            sent.append(request)
            raise ConnectionAbortedError

        made = client(service, who)
        made.meta.events.register("before-send.*.*", keep)
        with pytest.raises(ConnectionAbortedError):
            getattr(made, call)(**arguments)
        [request] = sent
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        body = body.encode() if isinstance(body, str) else body
        return to_request(request.method, request.url, dict(request.headers)), body

    return build
