"""Where users' URLs may lead, and how much may come from there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from castline.errors import AddressRefused, TransferFailed, UrlExpired
from castline.service import wire
from castline.service.wire import Rules, fetch, may_reach, put, send
from tests.service.conftest import LOOPBACK, Bucket

OPEN = Rules(allowed=LOOPBACK)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_PAUSES_S", (0.0, 0.0))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "localhost",
         "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[fe80::1]", "[fc00::1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "224.0.0.1", "255.255.255.255", "[ff02::1]",
        "①②⑦.⓪.⓪.①",
    ],
)  # fmt: skip
def test_no_spelling_of_an_internal_address_is_followed(host: str, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused):
        fetch(f"http://{host}/secret", tmp_path / "x", Rules())
    with pytest.raises(AddressRefused):
        put(f"http://{host}/secret", b"x", Rules())
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/x", "gopher://127.0.0.1/x", "http:///x", "http://[::1", "//127.0.0.1/x",
     "http://ada:secret@example.org/", "http://example.org:x/", "http://example.org:99999999/"],
)  # fmt: skip
def test_only_plain_http_urls_are_followed(url: str, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused):
        fetch(url, tmp_path / "x", OPEN)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "2002:101:101::"])
def test_public_addresses_are_reached(address: str) -> None:
    assert may_reach(address)


def test_only_the_allowed_network_is_reached() -> None:
    assert may_reach("127.0.0.9", LOOPBACK)
    assert may_reach("::ffff:127.0.0.9", LOOPBACK)
    assert not may_reach("10.0.0.1", LOOPBACK)
    assert not may_reach("::1", LOOPBACK)


def test_redirects_are_followed_and_checked_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.files["a.wav"] = b"sound"
    assert fetch(bucket.url(f"to?url={bucket.url('a.wav')}"), tmp_path / "a", OPEN) == 5
    assert fetch(bucket.url("to?url=/a.wav"), tmp_path / "b", OPEN) == 5
    for inner in ("http://169.254.169.254/latest", "http://[::1]/x", "file:///etc/passwd"):
        with pytest.raises(AddressRefused):
            fetch(bucket.url(f"to?url={inner}"), tmp_path / "c", OPEN)
    for round_ in range(7):
        bucket.redirects[f"round{round_}"] = f"/round{round_ + 1}"
    bucket.files["round7"] = b"sound"
    with pytest.raises(TransferFailed, match="redirects more than 5"):
        fetch(bucket.url("round0"), tmp_path / "d", OPEN)
    assert fetch(bucket.url("round2"), tmp_path / "d", OPEN) == 5


def test_a_name_that_changes_its_address_gains_nothing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked: another look-up would find a different one."""
    port = int(bucket.base.rpartition(":")[2])
    bucket.files["a.wav"] = b"sound"
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *arguments: object, **named: object) -> object:
        if host != "rebind.example":
            return real(host, *arguments, **named)  # type: ignore[arg-type]
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert fetch(f"http://rebind.example:{port}/a.wav", tmp_path / "a", OPEN) == 5
    assert asked == ["rebind.example"]
    with pytest.raises(AddressRefused):  # now it is the other one
        fetch(f"http://rebind.example:{port}/a.wav", tmp_path / "b", OPEN)


def test_one_internal_address_among_others_is_enough_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(AddressRefused):
        fetch("http://two.example/a", tmp_path / "a", Rules())


def test_server_responses(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(UrlExpired):
        fetch(bucket.url("status/403/x"), tmp_path / "x", OPEN)
    with pytest.raises(UrlExpired):
        put(bucket.url("status/403/x"), b"x", OPEN)
    for status in (404, 500, 204):
        with pytest.raises(TransferFailed, match=str(status)):
            fetch(bucket.url(f"status/{status}/x"), tmp_path / "x", OPEN)
    assert put(bucket.url("status/302/x"), b"x", OPEN) == 302  # not followed
    assert put(bucket.url("y?Signature=a%2Fb%3D&x=1"), b"body", OPEN) == 200
    assert bucket.puts == [("/y?Signature=a%2Fb%3D&x=1", b"body")]
    bucket.files["wei rd/ä.wav"] = b"sound"
    with pytest.raises(TransferFailed, match="404"):
        fetch(bucket.url("wei rd/ä.wav"), tmp_path / "x", OPEN)
    assert bucket.gets[-1] == "/wei%20rd/%C3%A4.wav"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_three_times(bucket: Bucket, tmp_path: Path, status: int) -> None:
    bucket.answers["a"] = [status, status]
    send(bucket.url("a"), b"body", OPEN, "json")
    assert bucket.puts == [("/a", b"body")] * 3
    bucket.answers["b"] = [status] * 3
    with pytest.raises(TransferFailed, match=f"answered {status} when uploading json to {bucket.url('b')}"):
        send(bucket.url("b"), b"body", OPEN, "json")
    with pytest.raises(TransferFailed, match=str(status)):
        fetch(bucket.url(f"status/{status}/c"), tmp_path / "c", OPEN)
    assert bucket.gets == [f"/status/{status}/c"] * 3


@pytest.mark.parametrize("status", [302, 400, 404, 501])
def test_what_does_not_pass_is_not_tried_again(bucket: Bucket, tmp_path: Path, status: int) -> None:
    bucket.answers["a"] = [status]
    with pytest.raises(TransferFailed):
        send(bucket.url("a"), b"body", OPEN, "json")
    with pytest.raises(TransferFailed):
        fetch(bucket.url(f"status/{status}/c"), tmp_path / "c", OPEN)
    assert (len(bucket.puts), len(bucket.gets)) == (1, 1)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"], ids=["nothing", "half"])
def test_a_connection_that_breaks_is_made_again(tmp_path: Path, first: bytes) -> None:
    answers = [first, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"]
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path / "x", OPEN)
        thread.join()
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_no_more_is_read_than_the_limit(bucket: Bucket, tmp_path: Path) -> None:
    bucket.files["large"] = bytes(3_000_000)
    assert fetch(bucket.url("large"), tmp_path / "x", Rules(allowed=LOOPBACK, max_bytes=3_000_000)) == 3_000_000
    with pytest.raises(TransferFailed, match="larger than"):
        fetch(bucket.url("large"), tmp_path / "x", Rules(allowed=LOOPBACK, max_bytes=2_999_999))


def test_a_disk_that_is_full_is_not_the_server_s_fault(bucket: Bucket) -> None:
    bucket.files["large"] = bytes(3_000_000)
    with pytest.raises(TransferFailed, match=r"^the input cannot be kept: No space left on device$"):
        fetch(bucket.url("large"), Path("/dev/full"), OPEN)
    assert len(bucket.gets) == 1


@contextmanager
def dripping(head: bytes, block: bytes) -> Iterator[str]:
    """A server that sends a header, and then one block after the other without end."""
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                while not over.wait(0.02):
                    try:
                        connection.sendall(block)
                    except OSError:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Much: "], ids=["body", "head"])
def test_a_server_that_drips_is_abandoned(head: bytes, tmp_path: Path) -> None:
    rules = Rules(allowed=LOOPBACK, seconds=0.5)
    start = time.monotonic()
    with dripping(head, b"x") as url, pytest.raises(TransferFailed, match=r"too long|timed out"):
        fetch(url, tmp_path / "x", rules)
    with dripping(b"HTTP/1.1 200 OK\r\nX-Much: ", b"x") as url, pytest.raises(TransferFailed, match=r"too long|timed"):
        put(url, b"x", rules, seconds=0.5)
    assert time.monotonic() - start < 10


def test_a_declared_length_is_not_trusted(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with dripping(head, b"1000\r\n" + bytes(4096) + b"\r\n") as url, pytest.raises(TransferFailed):
        fetch(url, tmp_path / "x", Rules(allowed=LOOPBACK, max_bytes=100_000))


def test_an_unreachable_server_is_one_line(tmp_path: Path) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TransferFailed, match=r"no answer from 127\.0\.0\.1"):
        fetch(f"http://127.0.0.1:{port}/", tmp_path / "x", OPEN)
    with pytest.raises(TransferFailed, match="cannot be resolved"):
        fetch("http://no.such.host.invalid/", tmp_path / "x", OPEN)
