"""Dead letters: reads the queue of failed invocations, and runs them again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from castline import keys, queues
from castline.errors import OUT_OF_RETRIES, CastlineError, EventError, UnreadableObject
from castline.events import MAX_EVENT_BYTES, InvocationFailed, invocations_failed
from castline.operations.reconcile import Sender
from castline.records import Manifest
from castline.records.reading import read_json
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

logger = logging.getLogger(__name__)

_BATCH = 10  # SQS's limit of messages per call
_HIDDEN_S = 300  # hidden from others while they are shown to a person
_EMPTY_ANSWERS = 3  # a queue is spread over servers, and one call asks only a few of them


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of the dead-letter queue.

    Attributes:
        failed: the invocations it is about; empty for a message that we do not understand.
        receipt: the handle that deletes it.
    """

    failed: tuple[InvocationFailed, ...]
    body: str
    receipt: str

    def objects(self) -> Iterator[tuple[str, str, str, str]]:
        """(function, bucket, key, reason) of everything in it; bucket and key are empty if no object is concerned."""
        for failed in self.failed:
            named = [(item.bucket, item.key) for item in failed.objects()]
            for bucket, key in named or [("", "")]:
                yield failed.function, bucket, key, failed.reason


def queue_url(sqs: Any, settings: Settings) -> str:
    """URL of the dead-letter queue."""
    return queues.queue_url(queues.DEAD, settings, sqs)


def read_dead_letters(sqs: Any, url: str) -> list[DeadLetter]:
    """All present messages; they are hidden from others for five minutes, not deleted."""
    found: dict[str, DeadLetter] = {}
    empty = 0
    while empty < _EMPTY_ANSWERS:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=_BATCH, VisibilityTimeout=_HIDDEN_S)
        messages = answer.get("Messages", [])
        empty = 0 if messages else empty + 1
        for message in messages:
            found[message["MessageId"]] = DeadLetter(
                tuple(_failed(message["Body"])), message["Body"], message["ReceiptHandle"]
            )
    return list(found.values())


def put_back(sqs: Any, url: str, letters: Iterable[DeadLetter]) -> None:
    """Make messages visible again that are not to be run."""
    for letter in letters:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=letter.receipt, VisibilityTimeout=0)


def redrive(
    letters: Iterable[DeadLetter],
    client: Callable[[str], Any],
    url: str,
    store: ObjectStore,
    settings: Settings,
    tell: Callable[[str], None] = logger.warning,
) -> int:
    """Run failed invocations again, then delete their messages; those that cannot be run or understood stay.

    Args:
        client: makes a boto3 client of a service.
        tell: called with a line about each message that could not be run.

    Returns:
        How many events were sent.
    """
    sqs, send = client("sqs"), Sender(client, settings)
    count = 0
    for letter in letters:
        if not letter.failed:
            put_back(sqs, url, [letter])
            continue
        try:
            for failed in letter.failed:
                for item in failed.objects():
                    if item.bucket == settings.input_bucket and (media := keys.media_of(item.key)):
                        forget_failed_split(media, store, settings)
                    elif item.bucket == settings.stage1_bucket and (of_range := keys.parse_range(item.key)):
                        store.delete(settings.stage1_bucket, [keys.range_done_key(*of_range)])
                send(failed.function or _function_for(failed, settings), failed.event)
                count += 1
        except CastlineError as error:
            tell(f"a message stays in the queue: {error.message}")
            put_back(sqs, url, [letter])
            continue
        sqs.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt)
    return count


def forget_failed_split(media: str, store: ObjectStore, settings: Settings) -> None:
    """Remove manifests that are unreadable, or only say that splitting was given up: they would stop a new attempt."""
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        for info in list(store.find(bucket, f"{media}/")):
            parsed = keys.parse_manifest(info.key)
            if not parsed or parsed[0] != media:
                continue
            try:
                manifest = read_object(Manifest, store, bucket, info.key)
            except UnreadableObject:
                store.delete(bucket, [info.key])
                continue
            if manifest and manifest.error and manifest.error.code == OUT_OF_RETRIES:
                store.delete(bucket, [info.key])


def _function_for(failed: InvocationFailed, settings: Settings) -> str:
    item = next(iter(failed.objects()), None)
    of_splitter = item is not None and (item.bucket == settings.input_bucket or keys.parse_range(item.key))
    return settings.splitter_function if of_splitter else settings.analyser_function


def _failed(body: str) -> list[InvocationFailed]:
    """The failed invocations in a message: an on-failure envelope, SNS's event with one, or a plain S3 event."""
    try:
        event = read_json(body.encode(errors="replace"), "message", max_bytes=MAX_EVENT_BYTES)
    except UnreadableObject:
        return []
    found: list[InvocationFailed] = []
    with contextlib.suppress(EventError):
        found.extend(invocations_failed(event))
    if not found and isinstance(event, dict):
        plain = InvocationFailed(event, "", "it never reached a function")
        return [plain] if plain.objects() else []
    return found
