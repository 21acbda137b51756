"""The gate as an ASGI application, around an emulator that records what reaches it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from castline.aws import presigner
from castline.gate.credentials import Credentials, Keyring
from castline.gate.gate import HEALTH, Gate
from castline.gate.request import Request
from tests.gate.conftest import Sign, to_request

END = {"type": "http.request", "body": b"", "more_body": False}


class Emulator:
    """Reads as ministack does: until there is no more, however it ends."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        headers = [(b"content-type", b"text/plain"), (b"Access-Control-Allow-Origin", b"*")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"fine", "more_body": False})


Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def ask(emulator: Emulator, keyring: Keyring) -> Ask:
    """Sends a request, with its body in blocks, and returns status, headers and body of the answer."""

    def send_(request: Request, *blocks: bytes, last: Any = END, routed: str = "") -> tuple[int, dict[str, str], bytes]:
        service = routed or request.headers.get("authorization", "/s3/aws4_request").split("/aws4_request")[0]
        gate = Gate(emulator, keyring, lambda *_: service.rpartition("/")[2])
        waiting = [{"type": "http.request", "body": block, "more_body": True} for block in blocks] + [last]
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": request.method,
            "path": request.path,
            "raw_path": request.raw_path.encode(),
            "query_string": request.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in request.fields],
        }
        asyncio.run(gate(scope, receive, send))
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, sent[1]["body"]

    return send_


def test_signed_requests_pass_unchanged(ask: Ask, sign: Sign, emulator: Emulator) -> None:
    body = bytes(range(256)) * 8192  # more than is kept in memory
    request, _ = sign("s3", "put_object", Bucket="films", Key="a", Body=body)
    blocks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    assert ask(request, *blocks)[0] == 200
    request, api = sign("lambda", "invoke", FunctionName="f", Payload=b'{"a": 1}')
    assert ask(request, api[:3], api[3:])[0] == 200
    assert emulator.bodies == [body, api]


def test_no_page_may_read_an_answer(ask: Ask, sign: Sign) -> None:
    for request in (sign("s3", "list_buckets")[0], to_request("GET", f"http://localhost:1{HEALTH}", {})):
        _, headers, _ = ask(request)
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_body_other_than_the_signed_one_never_arrives(ask: Ask, sign: Sign, emulator: Emulator) -> None:
    request, _ = sign("s3", "put_object", Bucket="films", Key="a", Body=b"media")
    status, _, body = ask(request, b"m", b"edia!")
    assert status == 400
    assert b"<Code>XAmzContentSHA256Mismatch</Code>" in body
    request, api = sign("lambda", "invoke", FunctionName="f", Payload=b"{}")
    status, headers, body = ask(request, api + b" ")
    assert (status, headers["x-amzn-errortype"]) == (403, "SignatureDoesNotMatch")
    assert json.loads(body)["__type"] == "SignatureDoesNotMatch"
    assert emulator.bodies == []


def test_an_interrupted_upload_leaves_nothing(ask: Ask, sign: Sign, emulator: Emulator) -> None:
    request, _ = sign("s3", "put_object", Bucket="films", Key="a", Body=b"media")
    assert ask(request, b"med", last={"type": "http.disconnect"})[0] == 400
    assert emulator.bodies == []


def test_pages_and_strangers_are_refused(ask: Ask, sign: Sign, emulator: Emulator) -> None:
    signed, _ = sign("s3", "list_buckets")
    for extra in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        fields = tuple(each for each in signed.fields if each[0] not in extra) + tuple(extra.items())
        assert ask(Request("GET", "/", "/", "", fields))[0] == 403
    bare = {"Host": "127.0.0.1:4566"}
    for method, path in (("GET", "/"), ("POST", "/2015-03-31/functions"), ("OPTIONS", "/"), ("POST", HEALTH),
                         ("POST", "/_ministack/reset"), ("PUT", "/films/a.mp4")):  # fmt: skip
        assert ask(to_request(method, f"http://127.0.0.1:4566{path}", bare))[0] == 403
    assert emulator.bodies == []


def test_health_needs_no_keys_but_is_closed_to_pages(ask: Ask) -> None:
    url = f"http://127.0.0.1:4566{HEALTH}"
    assert ask(to_request("GET", url, {}))[0] == 200
    assert ask(to_request("GET", url, {"Sec-Fetch-Site": "cross-site"}))[0] == 403


def test_code_comes_from_the_deployer_only(ask: Ask, sign: Sign, keyring: Keyring, emulator: Emulator) -> None:
    arguments = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Code": {"ZipFile": b"z"}}
    request, body = sign("lambda", "create_function", **arguments)
    status, headers, _ = ask(request, body)
    assert (status, headers["x-amzn-errortype"]) == (403, "AccessDenied")
    assert emulator.bodies == []
    request, body = sign("lambda", "create_function", keyring.deployer, **arguments)
    assert ask(request, body)[0] == 200
    assert emulator.bodies == [body]


def test_errors_have_the_form_that_each_client_reads(ask: Ask, sign: Sign, keyring: Keyring) -> None:
    wrong = Credentials(keyring.user.access_key, "guess")
    _, _, body = ask(*sign("s3", "list_buckets", wrong))
    assert body.startswith(b"<?xml") and b"<Error><Code>SignatureDoesNotMatch</Code>" in body
    _, _, body = ask(*sign("cloudformation", "describe_stacks", wrong))
    assert b"<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>" in body
    _, _, body = ask(*sign("sqs", "list_queues", wrong))
    assert json.loads(body)["__type"] == "SignatureDoesNotMatch"
    status, _, body = ask(sign("s3", "head_bucket", wrong, Bucket="films")[0])
    assert (status, body) == (403, b"")


def test_a_websocket_is_closed_before_it_opens(keyring: Keyring, emulator: Emulator) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(Gate(emulator, keyring, lambda *_: "s3")({"type": "websocket"}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def _part(keyring: Keyring, method: str = "PUT", **changed: str) -> Request:
    """A page's request for uploading a part, presigned with the user's key."""
    client = presigner("http://127.0.0.1:4566", keyring.user.access_key, keyring.user.secret_key)
    named = {"Bucket": "films", "Key": "a.mp4", "UploadId": "u", "PartNumber": 1}
    url = client.generate_presigned_url("upload_part", Params=named)
    asked = {"Access-Control-Request-Method": "PUT"} if method == "OPTIONS" else {}
    headers = {"Host": "127.0.0.1:4566", "Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-site", **asked}
    before, after = changed.pop("url", "a.mp4 a.mp4").split(" ")
    return to_request(method, url.replace(before, after), {**headers, **changed})


def test_a_local_page_may_upload_a_part_with_a_presigned_url(ask: Ask, keyring: Keyring, emulator: Emulator) -> None:
    for method in ("OPTIONS", "PUT"):
        status, headers, _ = ask(_part(keyring, method), b"part", routed="s3")
        assert status == (204 if method == "OPTIONS" else 200)
        assert headers["access-control-allow-origin"] == "http://127.0.0.1:8000"
        assert headers["access-control-expose-headers"] == "etag"
    assert emulator.bodies == [b"part"]


@pytest.mark.parametrize("method", ["OPTIONS", "PUT"])
@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"url": "partNumber=1 partNumber=2"},
        {"url": "a.mp4 b.mp4"},
        {"url": "uploadId=u versionId=u"},
        {"url": "X-Amz-Signature= X-Amz-Signature=0"},
    ],
)
def test_no_other_page_and_no_other_url_may(
    ask: Ask, keyring: Keyring, emulator: Emulator, changed: dict[str, str], method: str
) -> None:
    assert ask(_part(keyring, method, **changed), b"part", routed="s3")[0] == 403
    assert emulator.bodies == []
