"""Event source mappings of the local stack: reads queues and invokes functions as Lambda's pollers do.

The emulator's own poller is one thread for all queues and does not support ``MaximumConcurrency``, so the mappings are
deployed disabled, and the Lambda host reads instead: through SQS's API, with long polls, partial failures and the
queue's own redrive policy. One thing differs: a message whose process died is delivered again after the usual pause for
failures. On AWS it stays hidden for a quarter of an hour, which would be too long here.
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

from castline import aws
from castline.local.bridge import to_aws
from castline.local.engine import REGION
from castline.local.pool import FunctionPool
from castline.local.runtime_process import Invocation, Outcome
from castline.queues import attempt_of, delay_s

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WAIT_S = 1  # of a long poll; the stack's end may wait for so long
_PAUSE_S = 0.5  # pause after a call that failed
_REPORTS = 20  # attempts to report the outcome of messages
_LARGEST_BATCH = 10


@dataclass(frozen=True, slots=True)
class QueueMapping:
    """Attributes:
    queue: its ARN.
    batch: messages per invocation, at most.
    at_once: concurrent invocations (``MaximumConcurrency``); 0 means as many as the function has processes.
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
    """One mapping. All methods run in the host's event loop, and SQS calls in threads of its own.

    Args:
        sqs: a boto3 client.
        first_s: seconds before a message whose invocation failed is delivered again; doubled each time.
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
        """Take no more messages. A poll in progress is awaited, so that no message is received and dropped."""
        if not self._stopping:
            self._stopping = True
            self._free.release()  # it may be waiting for a running invocation to end, which takes up to 15 minutes
        if self._reading is not None:
            await self._reading

    async def stop(self) -> None:
        """Wait for running invocations, once the function's processes have ended."""
        await self.stop_reading()
        await asyncio.gather(*self._invocations, return_exceptions=True)
        self._threads.shutdown(wait=False)

    async def _read(self) -> None:
        while not self._stopping:
            await self._free.acquire()
            try:
                messages = await self._call(self._receive)
            except aws.FAILURES as error:
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
            await self._report(messages, outcome)
        finally:
            self._free.release()

    async def _report(self, messages: list[dict[str, Any]], outcome: Outcome) -> None:
        """Tell SQS the outcome; a message of which it hears nothing stays hidden for a quarter of an hour.

        An emulator that is restarted answers again after a moment.
        """
        for left in reversed(range(_REPORTS)):
            try:
                await self._call(lambda: self._settle(messages, outcome))
            except aws.FAILURES as error:
                logger.debug("the outcome of messages could not be reported to %s: %s", self._mapping.queue, error)
                if self._stopping or not left:
                    return
                await asyncio.sleep(_PAUSE_S)
            else:
                return

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
        """Delete processed messages; after an error of the whole invocation, its messages are delivered again later."""
        failed = _failed(outcome)
        for message in messages:
            handle = {"QueueUrl": self._url, "ReceiptHandle": message["ReceiptHandle"]}
            if failed is not None and message["MessageId"] not in failed:
                self._sqs.delete_message(**handle)
            elif failed is None:
                again_s = 0 if self._stopping else delay_s(attempt_of(message.get("Attributes")), self._first_s)
                self._sqs.change_message_visibility(**handle, VisibilityTimeout=again_s)

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message as Lambda passes it to a function."""
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
    """Ids of the messages that the function reports as failed; None if the whole invocation failed."""
    if outcome.error:
        return None
    answer = json.loads(outcome.body or b"null")
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    return {str(item["itemIdentifier"]) for item in items or []}


def _lower(attribute: Mapping[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in attribute.items()}
