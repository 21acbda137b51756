"""Follows publications and removals through the deployment's queue, without listing the bucket.

A message only says where to look (``refresh_one``), so a repeated, late or lost one does no harm: the next listing
(``refresh``) finds what was missed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.archive.index import Index
from castline.archive.refresh import refresh_one
from castline.errors import EventError, ResourceError, StorageError
from castline.events import results_changed
from castline.queues import LIBRARY, queue_url
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = logging.getLogger(__name__)

WAIT_S = 3  # of a long poll: 0.9 million requests a month, and the service's end may wait for it
_MOST = 10  # messages that SQS returns at once


class Feed:
    """The queue ``<prefix>-library`` of a deployment.

    Args:
        queues: a client of SQS.

    Raises:
        ResourceError: there is none, or the caller may not use it.
    """

    def __init__(self, queues: Any, settings: Settings) -> None:
        self._queues, self._settings = queues, settings
        try:
            self._url = queue_url(LIBRARY, settings, queues)
        except (ClientError, BotoCoreError) as error:
            raise ResourceError(f"the queue of results cannot be read: {error}") from error

    def follow(self, index: Index, store: ObjectStore, wait_s: int = WAIT_S) -> tuple[str, ...]:
        """Wait for messages, and update the index from what is published of their media now.

        If a media file could not be checked, its message is delivered again later.

        Returns:
            Media files that were checked.

        Raises:
            ResourceError: the queue does not answer.
        """
        try:
            answer = self._queues.receive_message(QueueUrl=self._url, MaxNumberOfMessages=_MOST, WaitTimeSeconds=wait_s)
            messages = answer.get("Messages", [])
            asked = {message["ReceiptHandle"]: tuple(self._media_of(message)) for message in messages}
            left: set[str] = set()
            looked = []
            for media in dict.fromkeys(each for found in asked.values() for each in found):
                try:
                    refresh_one(media, index, store, self._settings)
                    looked.append(media)
                except StorageError as error:
                    logger.warning("the index has not followed: %s", error.message)
                    left.add(media)
            for handle, found in asked.items():
                if left.isdisjoint(found):
                    self._queues.delete_message(QueueUrl=self._url, ReceiptHandle=handle)
        except (ClientError, BotoCoreError) as error:
            raise ResourceError(f"the queue of results does not answer: {error}") from error
        return tuple(looked)

    def _media_of(self, message: Mapping[str, Any]) -> Iterator[str]:
        """Media files of this deployment that a message is about; anything else is logged."""
        try:
            for bucket, media in results_changed({"body": message.get("Body")}):
                if bucket == self._settings.output_bucket:
                    yield media
        except EventError as error:
            logger.warning("%s", error.message)
