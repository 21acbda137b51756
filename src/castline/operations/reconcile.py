"""Finds inputs without a result, from the buckets alone, and runs them.

Events may be lost: when an emulator dies, while a permission is wrong, or before the stack exists.
Objects are not. Runs are idempotent, so doing too much is harmless.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.display import counted
from castline.errors import ResourceError
from castline.events import opened
from castline.operations.pending import pending
from castline.queues import queue_of, queue_url
from castline.settings import Settings
from castline.storage import ObjectStore

logger = logging.getLogger(__name__)


def reconcile(client: Callable[[str], Any], store: ObjectStore, settings: Settings) -> int:
    """Send again what ``castline.operations.pending`` lists.

    Args:
        client: makes a boto3 client of a service.

    Returns:
        How many events were sent.
    """
    send = Sender(client, settings)
    count = 0
    for function, event in pending(store, settings):
        send(function, event)
        count += 1
    if count:
        logger.info("%s sent again", counted(count, "unfinished event"))
    return count


class Sender:
    """Sends events to functions as S3 would: into a stage's queue where the deployment has one, else by invoking.

    Of ten thousand asynchronous invocations, Lambda drops those that wait for six hours; messages wait for 14 days.

    Args:
        client: makes a boto3 client of a service.
    """

    def __init__(self, client: Callable[[str], Any], settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._urls: dict[str, str | None] = {}

    def __call__(self, function: str, event: Mapping[str, Any]) -> None:
        """Raises:
        ResourceError: AWS refused.
        """
        try:
            messages = [(self._queue(function, one), json.dumps(one)) for one in _each(event)]
            if all(url for url, _ in messages):
                for url, body in messages:
                    self._client("sqs").send_message(QueueUrl=url, MessageBody=body)
                return
            payload = json.dumps(event).encode()
            self._client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        except (ClientError, BotoCoreError) as error:
            raise ResourceError(f"{function} could not be invoked: {error}") from error

    def _queue(self, function: str, event: Mapping[str, Any]) -> str | None:
        """The URL of an event's queue; None if it has none or the caller may not use it."""
        name = queue_of(function, event, self._settings)
        if name is None:
            return None
        if name not in self._urls:
            try:
                self._urls[name] = queue_url(name, self._settings, self._client("sqs"))
            except (ClientError, BotoCoreError) as error:
                logger.debug("no queue for %s: %s", function, error)
                self._urls[name] = None
        return self._urls[name]


def _each(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """One event per object, taken out of its envelopes."""
    for content in opened(event):
        yield {"Records": [content]} if content.get("eventSource") == "aws:s3" else content
