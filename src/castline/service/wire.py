"""Fetches and sends by URLs that users give, without giving them access to this network.

Every address to which a name resolves is checked, again at each redirect, and the connection is made to the address
that was checked: a name that resolves differently a moment later gains nothing. Lengths that servers declare are not
trusted; data is written to disk as it arrives. A request has a deadline for all of it, so that a server that sends now
and then a byte, of its head or of its body, gains nothing either. Connections that break and statuses that pass
(``PASSING``) are tried again: hours of work do not depend on one of them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit
from uuid import uuid4

import httpcore

from castline import __version__
from castline.errors import AddressRefused, TransferFailed, UrlExpired
from castline.service.asked import PASSING
from castline.service.settings import Network, ServiceSettings

_CONNECT_S, _SILENCE_S, _SEND_S = 10.0, 60.0, 600.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BLOCK = 1 << 20
_SENT = 1 << 16
_PAUSES_S = (0.5, 2.0)
_T = TypeVar("_T")


class _Interrupted(TransferFailed):
    """Another attempt may succeed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Attributes:
    allowed: non-public networks that may be reached.
    """

    allowed: Sequence[Network] = ()
    max_bytes: int = 4 * 1024**3
    seconds: float = 1800.0
    redirects: int = 5

    @classmethod
    def of(cls, settings: ServiceSettings) -> Rules:
        return cls(settings.allow, settings.max_bytes, settings.fetch_timeout_s, settings.redirects)


def fetch(url: str, into: Path, rules: Rules) -> int:
    """GET a URL into a file, in up to three attempts.

    Returns:
        Bytes written.

    Raises:
        AddressRefused: it, or a redirect, is not an http(s) URL of a public address.
        UrlExpired: the server answers 403.
        TransferFailed: anything else: no connection, another answer, too large, too slow, too many redirects.
    """
    deadline = time.monotonic() + rules.seconds
    return _patiently(lambda: _fetched(url, into, rules, deadline))


def _fetched(url: str, into: Path, rules: Rules, deadline: float) -> int:
    with _pool(rules, deadline) as pool:
        for _ in range(rules.redirects + 1):
            with _asked(pool, "GET", url) as response:
                if response.status in _REDIRECTS and (place := _header(response, b"location")):
                    url = urljoin(url, place)
                    continue
                if response.status == 403:
                    raise UrlExpired("the server of the input answered 403")
                if response.status != 200:
                    kind = _Interrupted if response.status in PASSING else TransferFailed
                    raise kind(f"the server of the input answered {response.status}")
                return _write(response.iter_stream(), into, rules.max_bytes)
    raise TransferFailed(f"the input redirects more than {rules.redirects} times")


def put(url: str, body: bytes, rules: Rules, *, content_type: str | None = None, seconds: float = _SEND_S) -> int:
    """PUT bytes to a URL, in so many seconds at most; no redirect is followed.

    Returns:
        The status of the answer, except 403.

    Raises:
        AddressRefused, UrlExpired, TransferFailed: as ``fetch``.
    """
    headers = {"Content-Type": content_type} if content_type else {}
    return _sent("PUT", url, body, headers, rules, seconds)


def send(url: str, body: bytes, rules: Rules, what: str) -> None:
    """PUT bytes to a URL, in up to three attempts.

    Args:
        what: for messages.

    Raises:
        AddressRefused: as ``fetch``.
        UrlExpired: the server answers 403.
        TransferFailed: it does not answer, or with a status other than 2xx.
    """

    def sent() -> None:
        status = put(url, body, rules)
        if not 200 <= status < 300:
            kind = _Interrupted if status in PASSING else TransferFailed
            raise kind(f"the server answered {status} when uploading {what} to {url}")

    _patiently(sent)


def _patiently(attempt: Callable[[], _T]) -> _T:
    for pause_s in _PAUSES_S:
        try:
            return attempt()
        except _Interrupted:
            time.sleep(pause_s)
    return attempt()


def post_file(url: str, name: str, body: bytes, headers: Mapping[str, str], rules: Rules) -> int:
    """POST a form whose only field, ``file``, is a file; otherwise as ``put``."""
    boundary = uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    form = head.encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return _sent("POST", url, form, {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"}, rules)


def _sent(
    method: str, url: str, body: bytes, headers: Mapping[str, str], rules: Rules, seconds: float = _SEND_S
) -> int:
    with _pool(rules, time.monotonic() + seconds) as pool, _asked(pool, method, url, body, headers) as response:
        if response.status == 403:
            raise UrlExpired("the server answered 403")
        return int(response.status)


def _write(stream: Iterable[bytes], into: Path, max_bytes: int) -> int:
    size = 0
    try:
        with into.open("wb", buffering=_BLOCK) as file:
            for block in stream:
                size += len(block)
                if size > max_bytes:
                    raise TransferFailed(f"the input is larger than {max_bytes} bytes")
                file.write(block)
    except OSError as error:  # those of the connection are httpcore's
        raise TransferFailed(f"the input cannot be kept: {error.strerror}") from error
    return size


def _pool(rules: Rules, deadline: float) -> httpcore.ConnectionPool:
    guarded = _Guarded(rules.allowed, deadline)
    return httpcore.ConnectionPool(ssl_context=ssl.create_default_context(), max_connections=1, network_backend=guarded)


@contextmanager
def _asked(
    pool: httpcore.ConnectionPool,
    method: str,
    url: str,
    body: bytes | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[httpcore.Response]:
    target, host = _target(url)
    timeouts = {"connect": _CONNECT_S, "read": _SILENCE_S, "write": _SILENCE_S}
    headers = [(b"Host", host), (b"User-Agent", f"castline/{__version__}".encode()), (b"Accept-Encoding", b"identity")]
    if body is not None:
        headers.append((b"Content-Length", str(len(body)).encode()))
    headers += [(name.encode(), value.encode()) for name, value in (more or {}).items()]
    try:
        with pool.stream(method, target, headers=headers, content=body, extensions={"timeout": timeouts}) as response:
            yield response
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        reason = str(error) or type(error).__name__
        kind = (
            _Interrupted if isinstance(error, httpcore.NetworkError | httpcore.RemoteProtocolError) else TransferFailed
        )
        raise kind(f"no answer from {host.decode()}: {reason}") from error


def _target(url: str) -> tuple[httpcore.URL, bytes]:
    """Where to connect, from a single parse of the URL, and the ``Host`` header."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except (ValueError, UnicodeError) as error:
        raise AddressRefused(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused("only http and https URLs are followed")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("a URL with a user's name in it is not followed")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    shown = b"[" + host + b"]" if b":" in host else host
    header = shown if port is None else shown + f":{port}".encode()
    return httpcore.URL(scheme=parts.scheme, host=host, port=port, target=f"{path}{query}"), header


def _header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "")


class _Guarded(httpcore.NetworkBackend):
    """Connects only to addresses that were checked, until a deadline."""

    def __init__(self, allowed: Sequence[Network], deadline: float) -> None:
        self._allowed, self._deadline = allowed, deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        refused: Exception | None = None
        for address in resolve(host, port, self._allowed):
            try:
                left = _left(self._deadline, timeout)
                stream = self._backend.connect_tcp(address, port, left, local_address, socket_options)
                return _Timed(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused or httpcore.ConnectError(f"{host} has no address")


class _Timed(httpcore.NetworkStream):
    """A connection that ends at a deadline, however often something arrives."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _SENT):
            self._stream.write(buffer[at : at + _SENT], _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    """
    Raises:
        httpcore.ReadTimeout: there is no time left.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("it took too long")
    return left if timeout is None else min(left, timeout)


def resolve(host: str, port: int, allowed: Sequence[Network] = ()) -> list[str]:
    """The addresses of a name.

    Raises:
        AddressRefused: one of them is not public, nor in an allowed network.
        TransferFailed: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransferFailed(f"the name {host} cannot be resolved") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not may_reach(address, allowed):
            raise AddressRefused(f"{host} is not a public address")
    return addresses


def may_reach(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an address is public or allowed; an address that embeds another is judged by the embedded one."""
    ip = _inner(ip_address(address.partition("%")[0]))
    if any(ip.version == network.version and ip in network for network in allowed):
        return True
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
    return ip
