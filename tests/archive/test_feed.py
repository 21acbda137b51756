"""The index follows the queue's messages, and nothing else; messages from strangers do no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from castline import keys
from castline.archive.feed import Feed
from castline.archive.search import search
from castline.errors import ResourceError, StorageError
from castline.storage import MemoryStore
from tests.archive.conftest import Shelf


class Queue:
    """What a feed needs of SQS: messages stay until they are deleted."""

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}

    def tell(self, media: object, kind: str = "Result Published", bucket: str = "castline-output") -> None:
        self.put({"source": "castline", "detail-type": kind, "detail": {"media": media, "bucket": bucket}})

    def put(self, content: object) -> None:
        body = content if isinstance(content, str) else json.dumps(content)
        self.messages[f"handle {len(self.messages)}"] = body

    def get_queue_url(self, QueueName: str) -> dict[str, str]:  # noqa: N803 - SQS's name
        assert QueueName == "castline-library"
        return {"QueueUrl": "https://queue"}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        found = [{"ReceiptHandle": handle, "Body": body} for handle, body in self.messages.items()]
        return {"Messages": found[:10]} if found else {}

    def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803 - SQS's names
        del self.messages[ReceiptHandle]


@pytest.fixture
def queue() -> Queue:
    return Queue()


def _lists_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> None:
        raise AssertionError("the bucket was listed")

    monkeypatch.setattr(MemoryStore, "find", find)


def test_published_corrected_and_removed_without_listing(
    shelf: Shelf, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lists_nothing(shelf, monkeypatch)
    feed = Feed(queue, shelf.settings)
    assert feed.follow(shelf.index, shelf.store) == ()
    shelf.publish("a.mp4", ["The budgit is small."])
    queue.tell("a.mp4")
    assert feed.follow(shelf.index, shelf.store) == ("a.mp4",)
    assert search(shelf.index, "budgit").hits

    shelf.publish("a.mp4", ["The budget is small."])
    queue.tell("a.mp4")
    queue.tell("a.mp4")  # twice is once
    assert feed.follow(shelf.index, shelf.store) == ("a.mp4",)
    assert not search(shelf.index, "budgit").hits
    assert search(shelf.index, "budget").hits

    shelf.remove("a.mp4")
    queue.tell("a.mp4", "Result Removed")
    feed.follow(shelf.index, shelf.store)
    assert shelf.index.etags() == {} and queue.messages == {}


def test_a_late_message_leads_to_the_current_state(shelf: Shelf, queue: Queue) -> None:
    shelf.publish("a.mp4", ["One."])
    queue.tell("a.mp4", "Result Removed")  # about an earlier result
    queue.tell("gone.mp4")
    Feed(queue, shelf.settings).follow(shelf.index, shelf.store)
    assert list(shelf.index.etags()) == ["a.mp4"]


def test_foreign_messages_are_deleted(shelf: Shelf, queue: Queue) -> None:
    shelf.publish("a.mp4", ["One."])
    queue.tell("a.mp4", bucket="another-output")
    queue.tell("a.mp4", "Something Else")
    for hostile in ("", "{", "[" * 5000, "null", '"text"', {"Records": [{"body": "{"}]}, {"detail": 7}):
        queue.put(hostile)
    for media in (None, 7, "", ["a.mp4"], "../../etc/passwd", "\u0000", "x" * 5000):
        queue.tell(media)
    feed = Feed(queue, shelf.settings)
    while queue.messages:
        feed.follow(shelf.index, shelf.store)
    assert shelf.index.etags() == {}


def test_a_message_stays_until_its_result_has_been_read(
    shelf: Shelf, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for media in ("a.mp4", "b.mp4"):
        shelf.publish(media, ["One."])
        queue.tell(media)
    head = MemoryStore.head

    def refused(self: MemoryStore, bucket: str, key: str) -> Any:
        if key == keys.result_key("a.mp4"):
            raise StorageError("S3 is away")
        return head(self, bucket, key)

    feed = Feed(queue, shelf.settings)
    with monkeypatch.context() as broken:
        broken.setattr(MemoryStore, "head", refused)
        assert feed.follow(shelf.index, shelf.store) == ("b.mp4",)
    assert len(queue.messages) == 1
    assert feed.follow(shelf.index, shelf.store) == ("a.mp4",)
    assert not queue.messages


def test_a_missing_queue_is_reported(shelf: Shelf, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "GetQueueUrl")

    def none(*_: object, **__: object) -> None:
        raise error

    feed = Feed(queue, shelf.settings)
    monkeypatch.setattr(Queue, "get_queue_url", none)
    monkeypatch.setattr(Queue, "receive_message", none)
    with pytest.raises(ResourceError, match="the queue of results cannot be read"):
        Feed(queue, shelf.settings)
    with pytest.raises(ResourceError, match="does not answer"):
        feed.follow(shelf.index, shelf.store)
