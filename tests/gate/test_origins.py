"""The headers that a browser adds to a request are enough to refuse it."""

from __future__ import annotations

import pytest

from castline.errors import RequestRefused
from castline.gate.origins import bucket_of, refuse_browsers, refuse_pages

HOST = "127.0.0.1:4566"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:4566", "localhost:4566", "LOCALHOST:1", "[::1]:4566", "localhost", "films.localhost:4566",
     "films.s3.localhost:4566"],
)  # fmt: skip
def test_this_machine_s_own_names(host: str) -> None:
    refuse_pages({"host": host})
    refuse_pages({"host": host, "origin": f"http://{host.lower()}", "sec-fetch-site": "same-origin"})
    refuse_pages({"host": host, "sec-fetch-site": "none", "user-agent": "Mozilla/5.0"})


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:4566", "127.0.0.1.evil.example", "localhost.evil.example:4566", "0.0.0.0:4566",
     "192.168.1.2:4566", "127.0.0.2", "evil.example#localhost", "localhost:4566, evil.example",
     "127.0.0.1@evil.example", "x.execute-api.localhost",
     "x.lambda-url.us-east-1.localhost", "localhost:999999", "2130706433", "[::ffff:7f00:1]",
     "localhost.", "films.localhost\n"],
)  # fmt: skip
def test_any_other_name_may_be_rebound(host: str) -> None:
    with pytest.raises(RequestRefused, match="Host"):
        refuse_pages({"host": host})
    with pytest.raises(RequestRefused):
        refuse_browsers({"host": host})


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "http://localhost:8000", "https://127.0.0.1:4566", "http://127.0.0.1",
     "http://localhost:4566", "file://", "chrome-extension://x"],
)  # fmt: skip
def test_pages_of_other_origins(origin: str) -> None:
    with pytest.raises(RequestRefused, match="origin"):
        refuse_pages({"host": HOST, "origin": origin})


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", ""])
def test_pages_that_send_no_origin(site: str) -> None:
    with pytest.raises(RequestRefused, match="sites"):
        refuse_pages({"host": HOST, "sec-fetch-site": site})


def test_internal_listeners_refuse_every_browser() -> None:
    refuse_browsers({"host": HOST, "user-agent": "Python-urllib/3.11"})
    refuse_browsers({"host": "localhost:1"})
    for name, value in (
        ("origin", f"http://{HOST}"),
        ("referer", "http://x/"),
        ("sec-fetch-mode", "navigate"),
        ("sec-ch-ua", "x"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ):
        with pytest.raises(RequestRefused):
            refuse_browsers({"host": HOST, name: value})
    with pytest.raises(RequestRefused):
        refuse_browsers({"host": "films.localhost:1"})


def test_a_bucket_may_be_part_of_the_host_name() -> None:
    assert bucket_of("films.localhost:4566") == bucket_of("films.s3.localhost") == "films"
    assert bucket_of("localhost:4566") == bucket_of("127.0.0.1") == bucket_of("a.b.localhost") == ""
