"""Signatures: requests that boto3 signs with the right key pass, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castline.errors import RequestRefused
from castline.gate.credentials import Credentials, Keyring
from castline.gate.request import Request
from castline.gate.signatures import needs_body, verify
from tests.gate.conftest import Sign, to_request

OBJECT = {"Bucket": "films", "Key": "wöche 1/a+b ~100%.mp4"}


def refused(request: Request, keyring: Keyring, body: bytes = b"", **when: Any) -> str:
    with pytest.raises(RequestRefused) as found:
        verify(request, keyring, body, **when)
    return found.value.aws_code


def with_field(request: Request, name: str, value: str) -> Request:
    return replace(request, fields=(*(each for each in request.fields if each[0] != name), (name, value)))


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("s3", "list_buckets", {}),
        ("s3", "list_objects_v2", {"Bucket": "films", "Prefix": "ä/ b&c=d", "MaxKeys": 3}),
        ("s3", "get_object", OBJECT),
        ("s3", "put_object", {**OBJECT, "Body": b"media", "Metadata": {"a": "two  words"}, "IfNoneMatch": "*"}),
        ("s3", "upload_part", {**OBJECT, "UploadId": "u/1=", "PartNumber": 2, "Body": b"m"}),
        ("s3", "delete_objects", {"Bucket": "films", "Delete": {"Objects": [{"Key": "a"}]}}),
        ("lambda", "invoke", {"FunctionName": "video-splitting", "Payload": b"{}"}),
        ("lambda", "get_function", {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:video-splitting"}),
        ("sqs", "send_message", {"QueueUrl": "http://127.0.0.1:4566/000000000000/q", "MessageBody": "ä"}),
        ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": "ä & b"}),
        ("cloudformation", "describe_stacks", {"StackName": "castline"}),
        ("logs", "describe_log_groups", {}),
    ],
)  # fmt: skip
def test_requests_signed_by_boto3_pass(sign: Sign, keyring: Keyring, service: str, call: str, arguments: Any) -> None:
    request, body = sign(service, call, **arguments)
    proof = verify(request, keyring, body)
    assert proof.signer == keyring.user
    assert proof.service == service
    assert needs_body(request) == (service != "s3")


def test_the_deployer_s_requests_are_recognised(sign: Sign, keyring: Keyring) -> None:
    request, body = sign("s3", "list_buckets", keyring.deployer)
    assert verify(request, keyring, body).signer == keyring.deployer


def test_a_wrong_secret_and_an_unknown_key_do_not_pass(sign: Sign, keyring: Keyring) -> None:
    wrong = Credentials(keyring.user.access_key, "guess")
    assert refused(sign("s3", "list_buckets", wrong)[0], keyring) == "SignatureDoesNotMatch"
    assert refused(sign("s3", "list_buckets", Credentials("test", "test"))[0], keyring) == "InvalidAccessKeyId"


def test_any_change_invalidates_the_signature(sign: Sign, keyring: Keyring) -> None:
    request, _ = sign("s3", "put_object", **OBJECT, Body=b"media", Metadata={"a": "b"})
    for changed in (
        replace(request, method="DELETE"),
        replace(request, raw_path="/films/other.mp4"),
        replace(request, query="acl"),
        with_field(request, "host", "localhost:4566"),
        with_field(request, "x-amz-meta-a", "c"),
        with_field(request, "x-amz-content-sha256", "0" * 64),
        with_field(request, "x-amz-date", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")[:-3] + "99Z"),
    ):
        assert refused(changed, keyring) == "SignatureDoesNotMatch", changed


def test_other_services_bodies_are_signed_too(sign: Sign, keyring: Keyring) -> None:
    request, body = sign("lambda", "invoke", FunctionName="f", Payload=b'{"a": 1}')
    verify(request, keyring, body)
    assert refused(request, keyring, b'{"a": 2}') == "SignatureDoesNotMatch"


def test_the_signed_digest_of_an_s3_body_is_known(sign: Sign, keyring: Keyring) -> None:
    request, _ = sign("s3", "put_object", **OBJECT, Body=b"media")
    assert verify(request, keyring).body_sha256 == hashlib.sha256(b"media").hexdigest()
    without = tuple(each for each in request.fields if each[0] != "x-amz-content-sha256")
    assert refused(replace(request, fields=without), keyring) == "InvalidRequest"


def test_headers_that_matter_must_be_signed(sign: Sign, keyring: Keyring) -> None:
    request, _ = sign("s3", "get_object", **OBJECT)
    for name, value in (("x-amz-target", "AWSLambda.CreateFunction"), ("x-amz-copy-source", "a/b")):
        assert refused(with_field(request, name, value), keyring) == "AccessDenied"
    harmless = with_field(request, "range", "bytes=0-1")
    assert verify(harmless, keyring).signer == keyring.user


@pytest.mark.parametrize("minutes", [-16, 16, 60 * 24 * 3])
def test_a_clock_may_be_fifteen_minutes_off(sign: Sign, keyring: Keyring, minutes: int) -> None:
    request, _ = sign("s3", "list_buckets")
    now = datetime.now(UTC)
    assert refused(request, keyring, now=now + timedelta(minutes=minutes)) == "RequestTimeTooSkewed"
    assert verify(request, keyring, now=now + timedelta(minutes=14)).service == "s3"


def test_unsigned_requests_do_not_pass(keyring: Keyring) -> None:
    bare = to_request("GET", "http://127.0.0.1:4566/films/a.mp4", {})
    assert refused(bare, keyring) == "MissingAuthenticationToken"
    for header in ("", "AWS a:b", "Bearer x", "AWS4-HMAC-SHA256 Credential=", "Basic dGVzdDp0ZXN0"):
        assert refused(with_field(bare, "authorization", header), keyring) == "InvalidRequest"


def test_no_forged_header_hides_that_the_body_is_needed(sign: Sign, keyring: Keyring) -> None:
    request, body = sign("sns", "list_topics")
    header = request.headers["authorization"]
    assert needs_body(request)
    for forged in (
        header.replace("SignedHeaders=", "SignedHeaders=x/s3/aws4_request;"),
        header.replace("SignedHeaders=", "X=/s3/aws4_request, SignedHeaders="),
        f"{header}, /s3/aws4_request,",
    ):
        assert refused(with_field(request, "authorization", forged), keyring, body) == "InvalidRequest"


def test_a_request_is_signed_in_one_way_only(sign: Sign, keyring: Keyring) -> None:
    request, _ = sign("s3", "get_object", **OBJECT)
    assert refused(replace(request, query="X-Amz-Signature=0"), keyring) == "InvalidRequest"
    twice = replace(request, fields=(*request.fields, ("authorization", request.headers["authorization"])))
    assert refused(twice, keyring) == "InvalidRequest"


class TestPresigned:
    """URLs, as boto3 makes them: Version 2 by default, Version 4 on request."""

    @pytest.fixture(params=["s3", "s3v4"])
    def url(self, request: pytest.FixtureRequest, client: Callable[..., Any]) -> str:
        made = client("s3", signature_version=request.param)
        url: str = made.generate_presigned_url("get_object", Params=OBJECT, ExpiresIn=60)
        return url

    def test_passes(self, url: str, keyring: Keyring) -> None:
        proof = verify(to_request("GET", url, {}), keyring)
        assert (proof.signer, proof.service, proof.body_sha256) == (keyring.user, "s3", None)

    def test_expires(self, url: str, keyring: Keyring) -> None:
        later = datetime.now(UTC) + timedelta(seconds=62)
        assert refused(to_request("GET", url, {}), keyring, now=later) == "AccessDenied"

    def test_is_for_one_object_and_one_method(self, url: str, keyring: Keyring) -> None:
        assert refused(to_request("DELETE", url, {}), keyring) == "SignatureDoesNotMatch"
        assert refused(to_request("GET", url.replace("a%2Bb", "c"), {}), keyring) == "SignatureDoesNotMatch"
        longer = url.replace("X-Amz-Expires=60", "X-Amz-Expires=61").replace("Expires=1", "Expires=2")
        assert refused(to_request("GET", longer, {}), keyring) in ("SignatureDoesNotMatch", "AccessDenied")
        assert refused(to_request("GET", f"{url}&versionId=1", {}), keyring) == "SignatureDoesNotMatch"

    def test_needs_the_right_secret(self, client: Callable[..., Any], keyring: Keyring) -> None:
        wrong = Credentials(keyring.user.access_key, "guess")
        for version in ("s3", "s3v4"):
            made = client("s3", wrong, signature_version=version)
            url = made.generate_presigned_url("get_object", Params=OBJECT)
            assert refused(to_request("GET", url, {}), keyring) == "SignatureDoesNotMatch"

    def test_uploads(self, client: Callable[..., Any], keyring: Keyring) -> None:
        for version, code in (("s3", "SignatureDoesNotMatch"), ("s3v4", "SignatureDoesNotMatch")):
            made = client("s3", signature_version=version)
            url = made.generate_presigned_url("put_object", Params={**OBJECT, "ContentType": "video/mp4"})
            verify(to_request("PUT", url, {"Content-Type": "video/mp4"}), keyring)
            assert refused(to_request("PUT", url, {"Content-Type": "text/html"}), keyring) == code

    def test_names_no_other_service_by_a_form(self, url: str, keyring: Keyring) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert refused(to_request("GET", url, form), keyring) == "AccessDenied"

    def test_may_name_the_bucket_in_the_host_name(self, client: Callable[..., Any], keyring: Keyring) -> None:
        for version in ("s3", "s3v4"):
            made = client(
                "s3", endpoint="http://localhost:4566", signature_version=version, s3={"addressing_style": "virtual"}
            )
            url = made.generate_presigned_url("get_object", Params=OBJECT)
            assert url.startswith("http://films.localhost:4566/w")
            assert verify(to_request("GET", url, {}), keyring).signer == keyring.user

    def test_lives_a_week_at_most(self, client: Callable[..., Any], keyring: Keyring) -> None:
        made = client("s3", signature_version="s3v4")
        url = made.generate_presigned_url("get_object", Params=OBJECT, ExpiresIn=8 * 86400)
        assert refused(to_request("GET", url, {}), keyring) == "AccessDenied"
