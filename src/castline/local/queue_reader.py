"""Event source mappings of the local stack: queues are read, and functions invoked, as Lambda's pollers do it.

The emulator's own poller is one thread for all queues and knows no ``MaximumConcurrency``, so the mappings are deployed
disabled, and the Lambda host reads instead: by SQS's API, with long polls, partial failures and the queue's own
redrive policy. One thing differs: a message whose process died comes again after the pause of any that failed. On
AWS it waits until it is no longer hidden, a quarter of an hour; here nobody wants to wait for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from castline.local.bridge import to_aws
from castline.local.engine import REGION
from castline.local.pool import FunctionPool
from castline.local.runtime_process import Invocation, Outcome
from castline.queues import attempt_of, delay_s

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WAIT_S = 1  # of a long poll; so long the end of a stack waits for it
_PAUSE_S = 0.5  # after a call that failed
_LARGEST_BATCH = 10


@dataclass(frozen=True, slots=True)
class QueueMapping:
    """Attributes:
    queue: its ARN.
    batch: messages of one invocation, at most.
    at_once: invocations at the same time (``MaximumConcurrency``); 0 is as many as the function has processes.
    """

    queue: str
    function: str
    batch: int = 10
    at_once: int = 0

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> QueueMapping:
        """From the properties of an ``AWS::Lambda::EventSourceMapping``."""
        return cls(
            queue=str(properties["EventSourceArn"]),
            function=str(properties["FunctionName"]),
            batch=min(int(properties.get("BatchSize", 10)), _LARGEST_BATCH),
            at_once=int(properties.get("ScalingConfig", {}).get("MaximumConcurrency", 0)),
        )


class QueueReader:
    """One mapping. All methods run in the host's event loop; the calls of SQS in threads of its own.

    Args:
        sqs: a boto3 client.
        first_s: seconds before a message comes again whose invocation failed; doubled each time.
    """

    def __init__(self, mapping: QueueMapping, pool: FunctionPool, sqs: Any, first_s: float) -> None:
        slots = pool.spec.slots
        self._mapping = mapping
        self._pool = pool
        self._sqs = sqs
        self._first_s = first_s
        at_once = min(mapping.at_once or slots, slots)
        self._free = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once + 1, thread_name_prefix=f"queue-of-{mapping.function}")
        self._stopping = False
        self._reading: asyncio.Task[None] | None = None
        self._invocations: set[asyncio.Task[None]] = set()
        self._url = ""

    def start(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def stop_reading(self) -> None:
        """Take no more messages. A poll that is under way is waited for, so that none is taken and dropped."""
        self._stopping = True
        if self._reading is not None:
            await self._reading

    async def stop(self) -> None:
        """Wait for what was invoked, once the function's processes have ended."""
        await self.stop_reading()
        await asyncio.gather(*self._invocations, return_exceptions=True)
        self._threads.shutdown(wait=False)

    async def _read(self) -> None:
        while not self._stopping:
            await self._free.acquire()
            try:
                messages = await self._call(self._receive)
            except (ClientError, BotoCoreError) as error:
                logger.debug("%s cannot be read: %s", self._mapping.queue, error)
                messages = []
                await asyncio.sleep(_PAUSE_S)
            if messages:
                task = asyncio.create_task(self._work_off(messages))
                self._invocations.add(task)
                task.add_done_callback(self._invocations.discard)
            else:
                self._free.release()

    async def _work_off(self, messages: list[dict[str, Any]]) -> None:
        try:
            event = to_aws({"Records": [self._record(message) for message in messages]})
            payload = json.dumps(event, ensure_ascii=False).encode()
            outcome = await self._pool.invoke(Invocation(str(uuid.uuid4()), payload))
            await self._call(lambda: self._settle(messages, outcome))
        except (ClientError, BotoCoreError) as error:
            logger.debug("%s has not heard what became of its messages: %s", self._mapping.queue, error)
        finally:
            self._free.release()

    def _call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    # --- in threads ---

    def _receive(self) -> list[dict[str, Any]]:
        if self._stopping:
            return []
        if not self._url:
            name = self._mapping.queue.rpartition(":")[2]
            self._url = str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=self._mapping.batch,
            WaitTimeSeconds=_WAIT_S,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def _settle(self, messages: list[dict[str, Any]], outcome: Outcome) -> None:
        """Delete what is done; after an error of the whole invocation, its messages come again later."""
        failed = _failed(outcome)
        for message in messages:
            handle = {"QueueUrl": self._url, "ReceiptHandle": message["ReceiptHandle"]}
            if failed is not None and message["MessageId"] not in failed:
                self._sqs.delete_message(**handle)
            elif failed is None:
                again_s = 0 if self._stopping else delay_s(attempt_of(message.get("Attributes")), self._first_s)
                self._sqs.change_message_visibility(**handle, VisibilityTimeout=again_s)

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message as Lambda hands it to a function."""
        attributes = message.get("MessageAttributes", {})
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message.get("Attributes", {})),
            "messageAttributes": {name: _lower(value) for name, value in attributes.items()},
            "md5OfBody": message.get("MD5OfBody", ""),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._mapping.queue,
            "awsRegion": REGION,
        }


def _failed(outcome: Outcome) -> set[str] | None:
    """Ids of the messages that the function says are to come again; None where it all failed."""
    if outcome.error:
        return None
    answer = json.loads(outcome.body or b"null")
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    return {str(item["itemIdentifier"]) for item in items or []}


def _lower(attribute: Mapping[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in attribute.items()}
