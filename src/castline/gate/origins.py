"""Finds out where a request comes from: this machine's own programs, or a page in a browser.

A page can send a request to any port of this machine, with methods and bodies of its choice, and through DNS
rebinding under a host name of its own. It cannot choose the headers that the browser adds: ``Host``, ``Origin``,
``Sec-Fetch-Site`` and ``User-Agent``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from castline.errors import RequestRefused
from castline.gate.request import Request

_LOOPBACK = r"localhost|127\.0\.0\.1|\[::1\]"
#: S3's virtual-hosted style: a bucket as a name below localhost, which is resolved without a DNS server.
_BUCKET = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
_HOST = re.compile(rf"({_LOOPBACK}|{_BUCKET}\.(s3\.)?localhost)(:\d{{1,5}})?", re.IGNORECASE)
_OWN_ORIGIN = re.compile(rf"http://({_LOOPBACK})(:\d{{1,5}})?", re.IGNORECASE)
_PLAIN_HOST = re.compile(rf"({_LOOPBACK})(:\d{{1,5}})?", re.IGNORECASE)
#: ``none`` means that a person typed or pasted an address; ``same-site`` would be any other port of this machine.
_OWN_SITES = frozenset({"none", "same-origin"})


def refuse_pages(headers: Mapping[str, str]) -> None:
    """Refuse requests from pages of other origins. A presigned URL that a person opens is accepted.

    Args:
        headers: names in lower case.

    Raises:
        RequestRefused: the host is not this machine by its own name, or the origin is a different one.
    """
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise RequestRefused("this is a local stack: Host must be localhost, 127.0.0.1 or [::1]")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        raise RequestRefused("requests of pages from other origins are refused")
    if headers.get("sec-fetch-site", "none").lower() not in _OWN_SITES:
        raise RequestRefused("requests of pages from other sites are refused")


def uploading_page(request: Request) -> str:
    """The origin of a page of this machine that puts a part of an upload, or sends the preflight; otherwise empty.

    Such a request is allowed because of its presigned URL, which no other page can know, not because of its origin.
    """
    asked = request.headers.get("access-control-request-method") if request.method == "OPTIONS" else request.method
    origin = request.headers.get("origin", "")
    of_a_part = {"X-Amz-Signature", "uploadId", "partNumber"} <= request.parameters.keys()
    return origin if asked == "PUT" and of_a_part and _OWN_ORIGIN.fullmatch(origin) else ""


def refuse_browsers(headers: Mapping[str, str]) -> None:
    """Refuse every browser, whatever page it shows: for listeners that only our own programs use.

    Args:
        headers: names in lower case.

    Raises:
        RequestRefused: a header shows that it comes from a browser.
    """
    if not _PLAIN_HOST.fullmatch(headers.get("host", "")):
        raise RequestRefused("this listener is reached as localhost or 127.0.0.1 only")
    if "origin" in headers or "referer" in headers or any(name.startswith("sec-") for name in headers):
        raise RequestRefused("this listener does not talk to browsers")
    if headers.get("user-agent", "").startswith("Mozilla/"):
        raise RequestRefused("this listener does not talk to browsers")


def bucket_of(host: str) -> str:
    """The bucket named by a virtual-hosted request; empty for path style."""
    label = re.fullmatch(rf"({_BUCKET})\.(s3\.)?localhost(:\d+)?", host, re.IGNORECASE)
    return label[1].lower() if label else ""
