"""Processes a queue's messages one by one: failed ones are retried at growing intervals, and then become dead letters.

A dead letter has the form of Lambda's own failures, with its reason, so that ``castline redrive`` shows and repeats it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger

from castline import aws, keys
from castline.errors import CastlineError, EventError, ResourceError
from castline.events import Event, is_message, objects_created
from castline.settings import Settings

logger = Logger(child=True)

#: Attempts at a message; the queues' own maxReceiveCount is larger, for messages that no function ever answers.
MOST_ATTEMPTS = 8
#: Queues by the ends of their names: those of the stages, the failure recorder's, the dead-letter queue, and the one
#: that tells the library's index of results.
UPLOADS = "uploads"
RANGES = "ranges"
UNITS = "units"
GIVEN_UP = "given-up"
DEAD = "failed-invocations"
LIBRARY = "library"
#: Seconds a message of a stage is hidden: six times Lambda's longest invocation, as AWS advises. Also in the template.
HIDDEN_S = 5400
_LONGEST_S = 3600

Message = Mapping[str, Any]
"""One record of an SQS event."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How often a message is tried, and where it goes then.

    Attributes:
        attempts: how many may fail, or end their process.
        letters: the queue for given-up messages, without the prefix.
        held_s: hide a message for so long once an attempt begins, so that one whose process dies returns sooner than
            one that was never started; 0 leaves it to the queue.
    """

    attempts: int = MOST_ATTEMPTS
    letters: str = DEAD
    held_s: int = 0


DOOR = Terms()
#: Lambda ends an attempt after 15 minutes at most.
_ATTEMPT_S = 930
STAGE = Terms(attempts=5, letters=GIVEN_UP, held_s=_ATTEMPT_S)
RECORDER = Terms(held_s=_ATTEMPT_S)


def each_message(
    event: Event, do: Callable[[Message], object], settings: Settings, queues: Any | None = None, terms: Terms = DOOR
) -> dict[str, Any]:
    """Process every SQS record of an event.

    Args:
        queues: a client of SQS; default: AWS's.

    Returns:
        ``{"batchItemFailures": [...]}``: those to be delivered again; the others are deleted.

    Raises:
        EventError: the event is not SQS's.
    """
    records = event.get("Records")
    if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
        raise EventError("an event that is not of a queue")
    failed = []
    for record in records:
        try:
            _begin(record, terms, queues)
            do(record)
        except Exception as error:
            if not _settled(record, error, settings, queues or sqs(), terms):
                failed.append({"itemIdentifier": str(record.get("messageId", ""))})
    return {"batchItemFailures": failed}


def stage_messages(
    event: Event, do: Callable[[Event], dict[str, Any]], settings: Settings, queues: Any | None = None
) -> dict[str, Any]:
    """Process an event of a stage, which may come from its queue.

    Args:
        do: takes the event, or each message as an event of its own.

    Returns:
        As ``do``, or as ``each_message``.

    Raises:
        Exception: what ``do`` raised for the only message: the invocation has failed, and must be counted as such.
    """
    if not of_queue(event):
        return do(event)
    errors: list[Exception] = []

    def noted(record: Message) -> None:
        try:
            do({"Records": [record]})
        except Exception as error:
            errors.append(error)
            raise

    answer = each_message(event, noted, settings, queues, STAGE)
    if errors and len(answer["batchItemFailures"]) == len(event["Records"]):
        raise errors[-1]
    return answer


def of_queue(event: Event) -> bool:
    """Whether an event is a batch of messages from a queue."""
    records = event.get("Records")
    return isinstance(records, list) and bool(records) and all(map(is_message, records))


def delay_s(attempt: int, first_s: float) -> int:
    """Seconds until the next attempt: doubled each time, at most an hour."""
    return int(min(first_s * 2 ** min(max(attempt, 1) - 1, 16), _LONGEST_S))


def attempt_of(attributes: Any, now_s: float | None = None) -> int:
    """Which attempt this is, from 1, according to a message's system attributes.

    SQS also counts receives after which a throttled function was never invoked. Such a receive lasts as long as
    messages are hidden, an attempt far less (``Terms.held_s``); so those receives are subtracted.
    """
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        received = int(attributes["ApproximateReceiveCount"])
        first_s = float(attributes.get("ApproximateFirstReceiveTimestamp") or "inf") / 1000
        waited_s = (time.time() if now_s is None else now_s) - first_s
        return max(1, received - max(0, int(waited_s // HIDDEN_S) if waited_s > 0 else 0))
    return 1


def send(body: Mapping[str, Any], queue: str, settings: Settings, queues: Any | None = None) -> None:
    """Put a message into one of the deployment's queues.

    Args:
        queue: its name without the prefix.

    Raises:
        ClientError, BotoCoreError: it could not be.
    """
    client = queues or sqs()
    client.send_message(QueueUrl=queue_url(queue, settings, client), MessageBody=json.dumps(body))


def queue_url(queue: str, settings: Settings, queues: Any) -> str:
    """URL of one of the deployment's queues.

    Args:
        queue: its name without the prefix.

    Raises:
        ClientError, BotoCoreError: there is none, or the caller may not use it.
    """
    return str(queues.get_queue_url(QueueName=f"{settings.prefix}-{queue}")["QueueUrl"])


def queue_of(function: str, event: Event, settings: Settings) -> str | None:
    """The queue for a stage's event with ``Orchestration=queue``, without the prefix; None for other functions."""
    if function == settings.analyser_function:
        return UNITS
    if function != settings.splitter_function:
        return None
    with contextlib.suppress(EventError):
        if any(item.bucket == settings.stage1_bucket and keys.parse_range(item.key) for item in objects_created(event)):
            return RANGES
    return UPLOADS


def _begin(record: Message, terms: Terms, queues: Any | None) -> None:
    """Raises:
    ResourceError: the previous attempts never answered.
    """
    if not terms.held_s:
        return
    if attempt_of(record.get("attributes")) > terms.attempts:
        raise ResourceError(f"{terms.attempts} attempts ended their process: out of memory, or of time")
    try:
        _hide(record, terms.held_s, queues or sqs())
    except (*aws.FAILURES, KeyError) as problem:
        logger.info("the message stays hidden for as long as its queue says", reason=str(problem))


def _settled(record: Message, error: Exception, settings: Settings, queues: Any, terms: Terms) -> bool:
    """Whether the message was put into the dead-letter queue; otherwise it is delivered again."""
    attempt = attempt_of(record.get("attributes"))
    final = attempt >= terms.attempts or (isinstance(error, CastlineError) and not error.retryable)
    reason = error.message if isinstance(error, CastlineError) else repr(error)[:300]
    logger.warning("a message failed", reason=reason, attempt=attempt, final=final, id=record.get("messageId"))
    try:
        if final:
            _give_up(record, error, reason, settings, queues, terms)
            return True
        _hide(record, delay_s(attempt, settings.retry_s), queues)
    except (*aws.FAILURES, KeyError) as problem:
        logger.warning("the message stays hidden, and comes again when that ends", reason=str(problem))
    return False


def _give_up(record: Message, error: Exception, reason: str, settings: Settings, queues: Any, terms: Terms) -> None:
    """Put a message into the dead-letter queue as a failed invocation. If it is run again, it has one attempt."""
    attributes = record.get("attributes")
    attributes = {**attributes} if isinstance(attributes, Mapping) else {}
    attributes.pop("ApproximateFirstReceiveTimestamp", None)
    again = {**record, "attributes": {**attributes, "ApproximateReceiveCount": str(terms.attempts)}}
    letter = {
        "requestContext": {"functionArn": settings.function_name, "condition": "RetriesExhausted"},
        "requestPayload": {"Records": [again]},
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": reason},
    }
    send(letter, terms.letters, settings, queues)


def _hide(record: Message, seconds: int, queues: Any) -> None:
    """Hide a message for so long from now on.

    Raises:
        aws.FAILURES: it did not work in three times, each with the client's own
            retries, which are few after many errors.
    """
    name = str(record.get("eventSourceARN", "")).rpartition(":")[2]
    for left in (2, 1, 0):
        try:
            url = queues.get_queue_url(QueueName=name)["QueueUrl"]
            queues.change_message_visibility(
                QueueUrl=url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=seconds
            )
        except aws.FAILURES:
            if not left:
                raise
        else:
            return


@lru_cache(maxsize=1)
def sqs() -> Any:
    """The process's SQS client."""
    return aws.client("sqs")
