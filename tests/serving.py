"""A test's server, in a separate thread; and queues that no other test sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TypeVar

import boto3

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, running until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def own_queues() -> Iterator[None]:
    """Only the queues made in the block: another module's mock of AWS may be active around this one's."""
    client = boto3.client("sqs", region_name="us-east-1")

    def clear() -> None:
        for url in client.list_queues().get("QueueUrls", ()):
            client.delete_queue(QueueUrl=url)

    clear()
    yield
    clear()
