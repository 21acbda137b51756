"""The gate: an ASGI application around the emulator's, in the emulator's process. There is no way around it.

A body reaches the emulator only when it is complete and has the signed hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from castline.errors import RequestRefused
from castline.gate.credentials import Keyring
from castline.gate.origins import refuse_pages, uploading_page
from castline.gate.permissions import check_shape, check_user
from castline.gate.request import Request
from castline.gate.signatures import Proof, needs_body, verify

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
#: Method, path, headers, parameters: the service that the emulator will send the request to.
Router = Callable[[str, str, dict[str, str], dict[str, list[str]]], str]

#: The only path that needs no signature: whether the emulator is up. It reveals nothing of its content.
HEALTH = "/_ministack/health"
#: Lambda's own limit is 6 MB, SQS's 1 MB.
_MAX_API_BODY = 64 * 1024 * 1024
#: S3's limit for one PutObject or UploadPart.
_MAX_OBJECT = 5 * 1024**3
#: Larger bodies are kept on disk.
_IN_MEMORY = 1024 * 1024
_HEADERS = [(b"cross-origin-resource-policy", b"same-origin"), (b"x-content-type-options", b"nosniff")]


class Gate:
    """Lets through requests from this machine's programs that are signed with the right key.

    Args:
        app: the emulator.
        route: the emulator's own function that finds the service of a request.
    """

    def __init__(self, app: App, keyring: Keyring, route: Router) -> None:
        self._app = app
        self._keyring = keyring
        self._route = route

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # browsers open WebSockets without a preflight
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request.of(scope)
        origin = uploading_page(request)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*_without_cors(message["headers"]), *(_cors(origin) if origin else _HEADERS)]
            await send(message)

        try:
            if origin and request.method == "OPTIONS":
                self._check(replace(request, method="PUT"), b"")
                await answer({"type": "http.response.start", "status": 204, "headers": []})
                await answer({"type": "http.response.body", "body": b"", "more_body": False})
                return
            passed = await self._admit(request, receive, origin)
            await self._app(scope, passed, answer)
        except RequestRefused as refused:
            logger.warning("refused %s %s: %s", request.method, request.raw_path[:200], refused.message)
            if not started:
                await _refuse(request, refused, answer)

    async def _admit(self, request: Request, receive: Receive, origin: str) -> Receive:
        """The ASGI ``receive`` from which the emulator reads the request.

        Args:
            origin: of the page that may put this object; its signature is checked like any other's.

        Raises:
            RequestRefused: the request does not pass.
        """
        of_page = ("origin", "sec-fetch-site") if origin else ()
        refuse_pages({name: value for name, value in request.headers.items() if name not in of_page})
        if request.path == HEALTH and request.method == "GET":
            return receive
        if needs_body(request):
            body, digest = await _read(receive, _MAX_API_BODY)
            proof = self._check(request, body)
        else:
            proof = self._check(request, b"")
            body, digest = await _read(receive, _MAX_OBJECT)
        if proof.body_sha256 is not None and not hmac.compare_digest(digest, proof.body_sha256):
            raise RequestRefused(
                "the body is not the one that was signed", aws_code="XAmzContentSHA256Mismatch", status=400
            )
        return _again(body, receive)

    def _check(self, request: Request, body: bytes) -> Proof:
        proof = verify(request, self._keyring, body)
        routed = self._route(request.method, request.path, request.headers, request.parameters)
        check_shape(request, proof.service, routed)
        if proof.signer != self._keyring.deployer:
            check_user(request, proof.service, body)
        return proof


async def _read(receive: Receive, limit: int) -> tuple[bytes, str]:
    """The body and its SHA-256.

    A large one goes to disk until it is complete: an upload that breaks off costs no memory, and the emulator, which
        would append each block to a copy of all before it, gets it in one piece.
    """
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":  # the emulator would treat the part that has arrived as the whole
                raise RequestRefused("the body ended early", aws_code="IncompleteBody", status=400)
            block = message.get("body", b"")
            size += len(block)
            if size > limit:
                raise RequestRefused("the body is too large", aws_code="EntityTooLarge", status=413)
            digest.update(block)
            file.write(block)
            more = message.get("more_body", False)
        file.seek(0)
        return file.read(), digest.hexdigest()


def _again(body: bytes, receive: Receive) -> Receive:
    """Replays a body that was already read, then whatever follows it."""
    read = False

    async def next_message() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _without_cors(headers: Any) -> list[tuple[bytes, bytes]]:
    """Removes CORS headers: the emulator allows every origin everything, but no page needs to read an answer."""
    return [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]


def _cors(origin: str) -> list[tuple[bytes, bytes]]:
    """The headers that let one page put parts, and see that they have arrived."""
    return [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-allow-methods", b"PUT"),
        (b"access-control-expose-headers", b"etag"),
        (b"vary", b"Origin"),
        (b"cross-origin-resource-policy", b"same-site"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def _refuse(request: Request, refused: RequestRefused, send: Send) -> None:
    """Answer in the form that the service's clients understand."""
    number = str(uuid4())
    code, message = refused.aws_code, refused.message
    if "x-amz-target" in request.headers or request.path.startswith("/20"):
        kind = b"application/x-amz-json-1.1"
        body = json.dumps({"__type": code, "message": message, "Message": message})
    elif request.method == "POST" and request.path == "/":
        kind = b"text/xml"
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>{number}</RequestId></ErrorResponse>"
    else:
        kind = b"application/xml"
        inside = f"<Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{number}</RequestId>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'
    content = b"" if request.method == "HEAD" else body.encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
        (b"x-amzn-requestid", number.encode()),
        (b"x-amz-request-id", number.encode()),
        (b"x-amzn-errortype", code.encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
