"""Messages of a queue, one by one: what failed comes again later and later, and then goes to the dead letters.

It goes there as Lambda's own failures do, with its reason, so that ``castline redrive`` shows and repeats it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from castline import aws
from castline.errors import CastlineError, EventError, ResourceError
from castline.events import Event
from castline.settings import Settings

logger = Logger(child=True)

#: Attempts at a message; the queues' own maxReceiveCount is larger, for messages that end the process.
MOST_ATTEMPTS = 8
_FIRST_S = 15
_LONGEST_S = 3600

Message = Mapping[str, Any]
"""One record of an SQS event."""


def each_message(
    event: Event, do: Callable[[Message], None], settings: Settings, queues: Any | None = None
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
            do(record)
        except Exception as error:
            if not _settled(record, error, settings, queues or _sqs()):
                failed.append({"itemIdentifier": str(record.get("messageId", ""))})
    return {"batchItemFailures": failed}


def delay_s(attempt: int) -> int:
    """Seconds until the next attempt: doubled each time, at most an hour."""
    return int(min(_FIRST_S * 2 ** min(max(attempt, 1) - 1, 16), _LONGEST_S))


def _settled(record: Message, error: Exception, settings: Settings, queues: Any) -> bool:
    """Whether the message is with the dead letters; otherwise it comes again."""
    attempt = _attempt(record)
    final = attempt >= MOST_ATTEMPTS or (isinstance(error, CastlineError) and not error.retryable)
    reason = error.message if isinstance(error, CastlineError) else repr(error)[:300]
    logger.warning("a message failed", reason=reason, attempt=attempt, final=final, id=record.get("messageId"))
    try:
        if final:
            _give_up(record, error, reason, settings, queues)
            return True
        _later(record, attempt, queues)
    except (ClientError, BotoCoreError, KeyError) as problem:
        logger.warning("the queue decides what becomes of the message", reason=str(problem))
    return False


def _give_up(record: Message, error: Exception, reason: str, settings: Settings, queues: Any) -> None:
    """To the dead letters, in the form of a failed invocation. Run again, it has one attempt."""
    attributes = record.get("attributes")
    attributes = {**attributes} if isinstance(attributes, Mapping) else {}
    again = {**record, "attributes": {**attributes, "ApproximateReceiveCount": str(MOST_ATTEMPTS)}}
    letter = {
        "requestContext": {"functionArn": settings.function_name, "condition": "RetriesExhausted"},
        "requestPayload": {"Records": [again]},
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": reason},
    }
    url = queues.get_queue_url(QueueName=f"{settings.prefix}-failed-invocations")["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody=json.dumps(letter))


def _later(record: Message, attempt: int, queues: Any) -> None:
    name = str(record.get("eventSourceARN", "")).rpartition(":")[2]
    url = queues.get_queue_url(QueueName=name)["QueueUrl"]
    queues.change_message_visibility(
        QueueUrl=url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=delay_s(attempt)
    )


def _attempt(record: Message) -> int:
    attributes = record.get("attributes")
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return int(attributes["ApproximateReceiveCount"]) if isinstance(attributes, Mapping) else 1
    return 1


@lru_cache(maxsize=1)
def _sqs() -> Any:
    return aws.client("sqs")


def secret_text(secret: str) -> str:
    """The text of a secret of Secrets Manager.

    Raises:
        ResourceError: it could not be read, or is empty.
    """
    try:
        text = str(aws.client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString") or "")
    except (ClientError, BotoCoreError) as error:
        raise ResourceError(f"the secret {secret} cannot be read: {error}") from error
    if not text:
        raise ResourceError(f"the secret {secret} is empty")
    return text
