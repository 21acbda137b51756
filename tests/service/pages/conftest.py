"""The library's pages over HTTP, on a store in memory with a few results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import EndpointConnectionError

from castline.service.pages.shelf import Deployment
from tests.archive.conftest import Shelf, make, postgresql_shelf, shelf, sqlite_shelf
from tests.service.conftest import Running, running, service_settings

__all__ = ["Pages", "make", "postgresql_shelf", "shelf", "sqlite_shelf"]


class Pages:
    """A service that shows a shelf's recordings. ``calls``: the requests to Lambda."""

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.shelf, self._folder = shelf, folder
        self.calls: list[dict[str, Any]] = []

    @contextmanager
    def open(self, **changed: Any) -> Iterator[Running]:
        there = Deployment(self.shelf.store, self.shelf.settings, "memory", lambda service: self)
        service = service_settings(self._folder, **{"pages_refresh_s": 600, **changed})
        with running(service, self.shelf.settings, lambda: there) as up:
            up.app.state.shelf._index = self.shelf.index
            up.app.state.shelf.look()
            yield up

    def invoke(self, **call: Any) -> None:
        self.calls.append(call)

    def get_queue_url(self, **_: Any) -> None:
        """There are no queues here."""
        raise EndpointConnectionError(endpoint_url="none")


def browser(up: Running, **headers: str) -> httpx.Client:
    """Requests like those of a browser that shows a page of this service."""
    own = {"Accept": "text/html", "Origin": up.url, "Sec-Fetch-Site": "same-origin", **headers}
    return httpx.Client(base_url=up.url, headers=own, timeout=600)


@pytest.fixture
def pages(shelf: Shelf, tmp_path: Path) -> Pages:
    return Pages(shelf, tmp_path / "service")
