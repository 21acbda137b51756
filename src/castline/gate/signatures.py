"""Checks AWS signatures by computing them again with botocore's own signers.

Accepted are Signature Version 4 in the header, and presigned S3 URLs of Version 4 and 2 (boto3's default is still 2).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials

from castline.errors import RequestRefused
from castline.gate.credentials import Credentials, Keyring
from castline.gate.origins import bucket_of
from castline.gate.request import Request

SKEW = timedelta(minutes=15)
_LONGEST = timedelta(days=7)
_TIME = "%Y%m%dT%H%M%SZ"
_CREDENTIAL = r"(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[a-z0-9-]+)/aws4_request"
_HEADER = re.compile(
    rf"AWS4-HMAC-SHA256 Credential={_CREDENTIAL},\s*SignedHeaders=(?P<signed>[a-z0-9;_-]+),"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTENT_SHA256 = "x-amz-content-sha256"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a valid signature proves.

    Attributes:
        service: what the request is for, by its name in signatures.
        body_sha256: hex digest that the body must have; None where the signature leaves it open.
    """

    signer: Credentials
    service: str
    body_sha256: str | None = None


def needs_body(request: Request) -> bool:
    """Whether the body must be at hand to check the request: for all services but S3."""
    parts = _HEADER.fullmatch(request.headers.get("authorization", ""))
    return parts is not None and parts["service"] != "s3"


def verify(request: Request, keyring: Keyring, body: bytes = b"", *, now: datetime | None = None) -> Proof:
    """Check the signature of a request.

    Args:
        body: the body, if ``needs_body``.

    Raises:
        RequestRefused: it is missing, by an unknown key, too old, or for another request.
    """
    now = now or datetime.now(UTC)
    in_query = {name for name in ("X-Amz-Signature", "Signature") if name in request.parameters}
    if len(in_query) + ("authorization" in request.headers) > 1:
        raise RequestRefused("only one way of signing is allowed in a request", aws_code="InvalidRequest", status=400)
    if "authorization" in request.headers:
        return _in_header(request, keyring, body, now)
    if "X-Amz-Signature" in in_query:
        return _in_url(request, keyring, now)
    if "Signature" in in_query:
        return _in_url_version_2(request, keyring, now)
    raise RequestRefused(
        "the request is not signed; castline up prints the keys of this stack", aws_code="MissingAuthenticationToken"
    )


def _in_header(request: Request, keyring: Keyring, body: bytes, now: datetime) -> Proof:
    parts = _HEADER.fullmatch(request.headers["authorization"])
    if not parts:
        raise RequestRefused("the Authorization header is not valid for AWS4-HMAC-SHA256", aws_code="InvalidRequest")
    signer = _signer(keyring, parts["key"])
    stamp = request.headers.get("x-amz-date", "")
    if abs(now - _time(stamp, parts["day"])) > SKEW:
        raise RequestRefused("the request's time is too far from this machine's", aws_code="RequestTimeTooSkewed")
    content = request.headers.get(_CONTENT_SHA256)
    if content is None and parts["service"] == "s3":
        raise RequestRefused(f"S3 requests carry {_CONTENT_SHA256}", aws_code="InvalidRequest", status=400)
    kind = auth.S3SigV4Auth if parts["service"] == "s3" else auth.SigV4Auth
    _compare(kind(_boto(signer), parts["service"], parts["region"]), request, parts["signed"], stamp, parts, body)
    expected = content if content and _DIGEST.fullmatch(content) else None
    return Proof(signer, parts["service"], expected)


def _in_url(request: Request, keyring: Keyring, now: datetime) -> Proof:
    credential = re.fullmatch(_CREDENTIAL, request.parameter("X-Amz-Credential"))
    seconds = request.parameter("X-Amz-Expires")
    if not credential or request.parameter("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" or not seconds.isdecimal():
        raise RequestRefused(
            "the presigned URL is incomplete", aws_code="AuthorizationQueryParametersError", status=400
        )
    if credential["service"] != "s3" or request.is_form:
        raise RequestRefused("presigned URLs are for objects in S3 only")
    signer = _signer(keyring, credential["key"])
    stamp = request.parameter("X-Amz-Date")
    signed_at, lifetime = _time(stamp, credential["day"]), timedelta(seconds=min(int(seconds), 10**8))
    if lifetime > _LONGEST or signed_at > now + SKEW or now > signed_at + lifetime:
        raise RequestRefused("Request has expired")
    bare = "&".join(pair for pair in request.query.split("&") if not pair.startswith("X-Amz-Signature="))
    unsigned = Request(request.method, request.raw_path, request.path, bare, request.fields)
    signature = {"signature": request.parameter("X-Amz-Signature")}
    signed = request.parameter("X-Amz-SignedHeaders")
    kind = auth.S3SigV4QueryAuth(_boto(signer), "s3", credential["region"])
    _compare(kind, unsigned, signed, stamp, signature, b"")
    return Proof(signer, "s3")


def _in_url_version_2(request: Request, keyring: Keyring, now: datetime) -> Proof:
    expires = request.parameter("Expires")
    signer = _signer(keyring, request.parameter("AWSAccessKeyId"))
    if request.is_form or not expires.isdecimal() or len(expires) > 12 or now.timestamp() > int(expires):
        raise RequestRefused("Request has expired")
    bucket = bucket_of(request.headers.get("host", ""))
    check = auth.HmacV1QueryAuth(_boto(signer))
    check._get_date = lambda: expires  # the signed text has it in place of the date
    split = urlsplit(request.url)
    path = f"/{bucket}{request.raw_path}" if bucket else None
    expected = check.get_signature(request.method, split, _headers(request, None), auth_path=path)
    _same(expected, request.parameter("Signature"))
    return Proof(signer, "s3")


def _compare(check: Any, request: Request, signed: str, stamp: str, parts: Any, body: bytes) -> None:
    """Sign the request anew and compare.

    Whatever affects what a request does must be signed: Host, and all headers that begin with ``x-amz-``.
    """
    names = set(signed.split(";"))
    decisive = {name for name in request.headers if name.startswith("x-amz-")}
    if not names >= decisive | {"host"}:
        raise RequestRefused("Host and all X-Amz headers must be signed")
    again = AWSRequest(request.method, request.url, _headers(request, names), body)
    again.context["timestamp"] = stamp
    text = check.string_to_sign(again, check.canonical_request(again))
    _same(check.signature(text, again), parts["signature"])


def _same(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise RequestRefused(
            "the signature does not match: check the secret key, and that nothing changed the request on its way",
            aws_code="SignatureDoesNotMatch",
        )


def _headers(request: Request, names: set[str] | None) -> HTTPHeaders:
    found = HTTPHeaders()
    for name, value in request.fields:
        if names is None or name in names:
            found.add_header(name, value)
    return found


def _signer(keyring: Keyring, access_key: str) -> Credentials:
    signer = keyring.find(access_key)
    if signer is None:
        raise RequestRefused(
            "this stack does not know the access key; castline up prints its keys", aws_code="InvalidAccessKeyId"
        )
    return signer


def _boto(credentials: Credentials) -> BotoCredentials:
    return BotoCredentials(credentials.access_key, credentials.secret_key)


def _time(stamp: str, day: str) -> datetime:
    try:
        time = datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
    except ValueError:
        time = None
    if time is None or not stamp.startswith(day):
        raise RequestRefused("X-Amz-Date is missing or is of another day", aws_code="SignatureDoesNotMatch")
    return time
