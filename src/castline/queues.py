"""Messages of a queue, one by one: what failed comes again later and later, and then goes to the dead letters.

It goes there as Lambda's own failures do, with its reason, so that ``castline redrive`` shows and repeats it.
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
from botocore.exceptions import BotoCoreError, ClientError

from castline import aws, keys
from castline.errors import CastlineError, EventError, ResourceError
from castline.events import Event, is_message, objects_created
from castline.settings import Settings

logger = Logger(child=True)

#: Attempts at a message; the queues' own maxReceiveCount is larger, for messages that nobody ever answers.
MOST_ATTEMPTS = 8
#: Queues by the ends of their names: those of the stages, that of what the failure recorder has to write down, the
#: dead-letter queue, and what tells the library's index of results.
UPLOADS = "uploads"
RANGES = "ranges"
UNITS = "units"
GIVEN_UP = "given-up"
DEAD = "failed-invocations"
LIBRARY = "library"
#: Seconds a message of a stage is hidden: six times Lambda's longest invocation, as AWS advises. The template's too.
HIDDEN_S = 5400
_LONGEST_S = 3600

Message = Mapping[str, Any]
"""One record of an SQS event."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How often a message is tried, and what becomes of it then.

    Attributes:
        attempts: that failed, or ended their process.
        letters: the queue that gets what is given up, without the prefix.
        held_s: hide a message for so long once an attempt begins, so that one whose process dies comes back sooner
            than one that nobody has taken on; 0 leaves it to the queue.
    """

    attempts: int = MOST_ATTEMPTS
    letters: str = DEAD
    held_s: int = 0


DOOR = Terms()
#: An attempt ends after 15 minutes at most: Lambda sees to that.
STAGE = Terms(attempts=5, letters=GIVEN_UP, held_s=930)


def each_message(
    event: Event, do: Callable[[Message], object], settings: Settings, queues: Any | None = None, terms: Terms = DOOR
) -> dict[str, Any]:
    """Do every SQS record of an event.

    Args:
        queues: a client of SQS; default: AWS's.

    Returns:
        ``{"batchItemFailures": [...]}``: those that are to come again; the others are deleted.

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
    """What a stage does with an event that may be of its queue.

    Args:
        do: takes the event, or each message as an event of its own.

    Returns:
        As ``do`` has it, or as ``each_message``.

    Raises:
        Exception: what ``do`` raised of the only message: the invocation has failed, and is to be counted as such.
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
    """Whether an event is a batch of a queue's messages."""
    records = event.get("Records")
    return isinstance(records, list) and bool(records) and all(map(is_message, records))


def delay_s(attempt: int, first_s: float) -> int:
    """Seconds until the next attempt: doubled each time, at most an hour."""
    return int(min(first_s * 2 ** min(max(attempt, 1) - 1, 16), _LONGEST_S))


def attempt_of(attributes: Any, now_s: float | None = None) -> int:
    """Which attempt this is, from 1, by a message's system attributes.

    SQS counts receives, also those after which a throttled function was never invoked. Such a one lasts as long as
    messages are hidden, and an attempt far shorter (``Terms.held_s``): so many receives are taken off.
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
        ClientError, BotoCoreError: there is none, or who asks may not use it.
    """
    return str(queues.get_queue_url(QueueName=f"{settings.prefix}-{queue}")["QueueUrl"])


def queue_of(function: str, event: Event, settings: Settings) -> str | None:
    """The queue of an event of a stage where ``Orchestration=queue``, without the prefix; None for other functions."""
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
    ResourceError: the attempts before have not even answered.
    """
    if not terms.held_s:
        return
    if attempt_of(record.get("attributes")) > terms.attempts:
        raise ResourceError(f"{terms.attempts} attempts ended their process: out of memory, or of time")
    try:
        _hide(record, terms.held_s, queues or sqs())
    except (ClientError, BotoCoreError, KeyError) as problem:
        logger.info("the message is hidden as long as its queue says", reason=str(problem))


def _settled(record: Message, error: Exception, settings: Settings, queues: Any, terms: Terms) -> bool:
    """Whether the message is with the dead letters; otherwise it comes again."""
    attempt = attempt_of(record.get("attributes"))
    final = attempt >= terms.attempts or (isinstance(error, CastlineError) and not error.retryable)
    reason = error.message if isinstance(error, CastlineError) else repr(error)[:300]
    logger.warning("a message failed", reason=reason, attempt=attempt, final=final, id=record.get("messageId"))
    try:
        if final:
            _give_up(record, error, reason, settings, queues, terms)
            return True
        _hide(record, delay_s(attempt, settings.retry_s), queues)
    except (ClientError, BotoCoreError, KeyError) as problem:
        logger.warning("the queue decides what becomes of the message", reason=str(problem))
    return False


def _give_up(record: Message, error: Exception, reason: str, settings: Settings, queues: Any, terms: Terms) -> None:
    """To the dead letters, in the form of a failed invocation. Run again, it has one attempt."""
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
    name = str(record.get("eventSourceARN", "")).rpartition(":")[2]
    url = queues.get_queue_url(QueueName=name)["QueueUrl"]
    queues.change_message_visibility(QueueUrl=url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=seconds)


@lru_cache(maxsize=1)
def sqs() -> Any:
    """The process's client of SQS."""
    return aws.client("sqs")
